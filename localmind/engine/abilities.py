"""What a chat template can write, found out by rendering a small conversation once, at load.

Templates differ in whether they describe tools, write calls back, take arguments as a dict or as text,
want `content` to be none beside calls, and allow two calls at once. None of it is read from names: a
needle is put in, and looked for in what comes out.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from localmind.engine.template import ChatTemplate, Refusal
from localmind.errors import ModelFileBroken

NAME, KEY, VALUE, OTHER, RESULT = "probe_tool", "probe_key", "probe value", "probe other", "probe result"
TEXT = "probe text"
HELLO = {"role": "user", "content": "Hello"}
LONG_ID, SHORT_ID = "call_probe0123456789abcd", "probe0123"
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": NAME,
        "description": "A probe.",
        "parameters": {"type": "object", "properties": {KEY: {"type": "string", "description": "A key."}}},
    },
}


@dataclass(slots=True, frozen=True)
class Abilities:
    """How to give a template tools, calls and results. The defaults are a template that knows nothing of them."""

    tools: Literal["argument", "system", "none"] = "none"
    """Where it takes descriptions from: `tools`, a key of the system message (Phi-4-mini), nowhere."""
    calls: bool = False
    """It writes an assistant's calls."""
    results: bool = False
    """It writes messages of role "tool"."""
    text_arguments: bool = False
    """Arguments of a call are to be JSON text; otherwise a dict."""
    empty_content: Literal["", None] = ""
    """What stands for no content beside calls."""
    several: bool = False
    """Two calls may be in one message."""
    beside_text: bool = True
    """Calls are written when there is text beside them, too."""
    list_of_none: bool = False
    """Wants an empty list where there are no tools, instead of none."""
    short_ids: bool = False
    """Ids of calls must be nine letters or digits."""


def probe(template: ChatTemplate) -> Abilities:
    """Renders a few conversations of a few words. Never raises: what cannot be rendered is not an ability."""
    try:
        return _probe(template)
    except ModelFileBroken:  # it goes over its bounds, and will say so to whoever asks it something
        return Abilities()


def _probe(template: ChatTemplate) -> Abilities:
    tools = _tools(template)
    list_of_none = not _render(template, [HELLO], None) and bool(_render(template, [HELLO], []))
    given = [TOOL] if tools == "argument" else None
    for short, text, empty in itertools.product((False, True), (False, True), ("", None)):
        shown = _render(template, _conversation([VALUE], short=short, text=text, empty=empty), given)
        if _has_call(shown, VALUE):
            beside = _render(template, _conversation([VALUE], short=short, text=text, empty=TEXT), given)
            several = _render(template, _conversation([VALUE, OTHER], short=short, text=text, empty=empty), given)
            return Abilities(
                tools=tools,
                calls=True,
                results=RESULT in shown,
                text_arguments=text,
                empty_content="" if empty == "" else None,
                several=_has_call(several, VALUE) and _has_call(several, OTHER),
                beside_text=_has_call(beside, VALUE),
                list_of_none=list_of_none,
                short_ids=short,
            )
    told = [turn for turn in _conversation([VALUE], short=False, text=False, empty="") if "tool_calls" not in turn]
    results = tools != "none" and RESULT in _render(template, told, given)
    return Abilities(tools=tools, results=results, list_of_none=list_of_none)


def _tools(template: ChatTemplate) -> Literal["argument", "system", "none"]:
    if NAME in _render(template, [HELLO], [TOOL]):
        return "argument"
    system = {"role": "system", "content": "Help.", "tools": f'[{{"name": "{NAME}"}}]'}
    return "system" if NAME in _render(template, [system, HELLO], None) else "none"


def _conversation(values: Sequence[str], *, short: bool, text: bool, empty: str | None) -> list[dict[str, Any]]:
    first = SHORT_ID if short else LONG_ID
    ids = [first[:-1] + str(number) for number in range(len(values))]
    calls = [
        {
            "id": ids[number],
            "type": "function",
            "function": {"name": NAME, "arguments": f'{{"{KEY}": "{value}"}}' if text else {KEY: value}},
        }
        for number, value in enumerate(values)
    ]
    results = [{"role": "tool", "content": RESULT, "tool_call_id": call, "name": NAME} for call in ids]
    return [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": empty, "tool_calls": calls},
        *results,
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "Thanks"},
    ]


def _has_call(shown: str, value: str) -> bool:
    """Name, key and value are there, and neither as Python writes a dict nor as text inside a string."""
    wrong = (f"'{KEY}'", f'\\"{KEY}\\"')
    return NAME in shown and KEY in shown and value in shown and not any(form in shown for form in wrong)


def _render(template: ChatTemplate, turns: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> str:
    try:
        return template.render(turns, tools)
    except Refusal:
        return ""
