"""A conversation laid out by a template, whatever its order of roles and whatever the template knows.

First it is rendered as it is; when the template refuses, or leaves somebody's words out, lighter and then
heavier changes (turns.py) are tried until a prompt holds everything that was said. A conversation that
ends with the assistant's text is continued there, where the template allows it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localmind.engine import turns
from localmind.engine.abilities import Abilities, probe
from localmind.engine.output import OutputFormat
from localmind.engine.output.form import GENERIC_FORMAT
from localmind.engine.output.told import describe_tools, write_calls
from localmind.engine.template import ChatTemplate, Refusal
from localmind.engine.turns import Change, Turn
from localmind.errors import InvalidRequest
from localmind.messages import Message, Tool

NEEDLE = "\ue001"
"""Marks where an answer that is to be continued ends; of Unicode's private use area."""

PHI_SYSTEM = "You are a helpful assistant with some tools."


@dataclass(slots=True, frozen=True)
class Page:
    """A rendered conversation."""

    text: str
    form: OutputFormat
    """How the answer will be written: the model's form, or the generic one where we described the tools."""
    prefilled: bool
    """It ends inside the assistant's answer."""


class Layout:
    """One model's template with what was found out about it."""

    def __init__(self, template: ChatTemplate, form: OutputFormat) -> None:
        self._template = template
        self.form = form
        self.abilities = probe(template)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        names: Mapping[str, Any] | None = None,
        *,
        guard: Callable[[str], str] = str,
    ) -> Page:
        """The prompt. `guard` is applied to every text that came from outside, in JSON to every string.

        Raises InvalidRequest when the template refuses every order, ModelFileBroken when it misbehaves.
        """
        wired = [self._turn(message, guard) for message in messages]
        described = [_described(tool, guard) for tool in tools]
        fallback: Page | None = None
        refusal: Refusal | None = None
        tried: list[tuple[bool, list[Turn]]] = []
        for told, changes in self._ladder():
            conversation = self._adapted(wired, described, told)
            for change in changes:
                conversation = change(conversation)
            conversation = conversation or [{"role": "user", "content": turns.NOTHING_SAID}]
            if (told, conversation) in tried:
                continue
            tried.append((told, conversation))
            try:
                page = self._page(conversation, described, names, told=told)
            except Refusal as problem:
                refusal = refusal or problem
                continue
            if _holds(page.text, [*wired, *_named(described)]):
                return page
            fallback = fallback or page
        if fallback is not None:
            return fallback
        raise InvalidRequest(f"the model's chat template refuses these messages: {refusal}")

    def _ladder(self) -> list[tuple[bool, tuple[Change, ...]]]:
        """Sets of changes from light to heavy; the flag says that we tell tools, calls and results ourselves."""
        front, orphans, blanks = turns.systems_first, turns.orphans_told, turns.blanks_dropped
        no_system = (front, orphans, blanks, turns.joined, turns.systems_in_user, turns.user_first, turns.joined)
        return [
            (False, ()),
            (False, (front,)),
            (False, (front, orphans)),
            (False, (front, orphans, turns.joined)),
            (False, (front, orphans, blanks, turns.joined)),
            (False, (front, orphans, blanks, turns.joined, turns.user_first)),
            (False, no_system),
            (True, (front, blanks, turns.joined)),
            (True, (front, blanks, turns.joined, turns.user_first)),
            (True, no_system),
        ]

    def _adapted(self, wired: list[Turn], described: Sequence[Turn], told: bool) -> list[Turn]:
        able = Abilities() if told else self.abilities
        form = GENERIC_FORMAT if told else self.form
        conversation = wired
        if not (able.calls and able.results):
            change = turns.all_told(
                lambda calls: write_calls(form, calls), calls=not able.calls, results=not able.results
            )
            conversation = change(conversation)
        if able.calls and not able.beside_text:
            conversation = turns.text_before_calls(conversation)
        if able.calls and not able.several:
            conversation = turns.one_call_each(conversation)
        if described and able.tools != "argument":
            conversation = turns.systems_first(conversation)
            system = conversation[0] if conversation and conversation[0]["role"] == "system" else None
            rest = conversation[1:] if system else conversation
            if able.tools == "system":
                system = system or {"role": "system", "content": PHI_SYSTEM}
                functions = [tool["function"] for tool in described]
                system = {**system, "tools": json.dumps(functions, ensure_ascii=False)}
            else:
                words = [system["content"]] if system else []
                system = {"role": "system", "content": turns.GAP.join([*words, describe_tools(form, described)])}
            conversation = [system, *rest]
        return conversation

    def _page(
        self, conversation: list[Turn], described: Sequence[Turn], names: Mapping[str, Any] | None, *, told: bool
    ) -> Page:
        given = self.abilities.tools == "argument" and not told and described
        tools = described if given else [] if self.abilities.list_of_none else None
        form = GENERIC_FORMAT if told and described else self.form
        ready = [self._ready(turn) for turn in conversation]
        last = ready[-1]
        if last["role"] == "assistant" and not last.get("tool_calls") and last["content"]:
            try:
                open_end = [*ready[:-1], {**last, "content": last["content"] + NEEDLE}]
                text, found, _ = self._template.render(open_end, tools, names, open_answer=False).rpartition(NEEDLE)
                if found:
                    return Page(text, form, prefilled=True)
            except Refusal:
                pass  # then the answer stands as it is, and another one begins
        return Page(self._template.render(ready, tools, names), form, prefilled=False)

    def _turn(self, message: Message, guard: Callable[[str], str]) -> Turn:
        """A message as templates see it, with arguments still as Python values."""
        turn: Turn = {"role": message.role, "content": guard(message.content)}
        if message.role == "tool":
            turn["tool_call_id"] = turns.plain_id(message.tool_call_id or "call", short=self.abilities.short_ids)
            if message.name:
                turn["name"] = turns.plain_name(message.name)
        elif message.role == "assistant":
            if message.reasoning:
                turn["reasoning_content"] = turn["thinking"] = guard(message.reasoning)
            if message.tool_calls:
                turn["tool_calls"] = [
                    {
                        "id": turns.plain_id(call.id, short=self.abilities.short_ids),
                        "type": "function",
                        "function": {
                            "name": turns.plain_name(call.name),
                            "arguments": _guarded(_object(call.arguments), guard),
                        },
                    }
                    for call in message.tool_calls
                ]
        return turn

    def _ready(self, turn: Turn) -> Turn:
        """Calls in the shape that this template takes."""
        calls = turn.get("tool_calls")
        if not calls:
            return turn
        if self.abilities.text_arguments:
            calls = [
                {**call, "function": {**call["function"], "arguments": _text(call["function"]["arguments"])}}
                for call in calls
            ]
        turn = {**turn, "tool_calls": calls}
        if self.form.family == "harmony" and turn["content"] and turn.get("thinking"):
            # gpt-oss takes one of them beside a call
            turn["thinking"], turn["content"] = turns.GAP.join((turn["thinking"], turn["content"])), ""
        if not turn["content"]:
            turn["content"] = self.abilities.empty_content
        return turn


def _described(tool: Tool, guard: Callable[[str], str]) -> dict[str, Any]:
    """As the OpenAI API describes a function; templates take it in this form."""
    if tool.name != turns.plain_name(tool.name) or not tool.name:
        raise InvalidRequest(f"the name of the function {tool.name!r} may only have letters, digits and _ . : / -")
    parameters = dict(tool.parameters)
    parameters.setdefault("type", "object")
    parameters.setdefault("properties", {})
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": guard(tool.description),
            "parameters": _guarded(parameters, guard),
        },
    }


def _guarded(value: Any, guard: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return guard(value)
    if isinstance(value, list | tuple):
        return [_guarded(item, guard) for item in value]
    if isinstance(value, dict):
        return {guard(str(key)): _guarded(item, guard) for key, item in value.items()}
    return value


def _object(arguments: str) -> dict[str, Any]:
    """What a client sent back as a call's arguments; a model may have written anything."""
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        value = arguments
    return value if isinstance(value, dict) else {"arguments": value}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _named(described: Sequence[Turn]) -> list[Turn]:
    return [{"role": "tools", "content": tool["function"]["name"]} for tool in described]


def _holds(text: str, wired: Sequence[Turn]) -> bool:
    """Whether all that users, the system and tools said is in the prompt, as it is or in JSON."""
    at = 0
    for turn in wired:
        if turn["role"] == "assistant":
            continue
        words = turn["content"].strip()
        found = text.find(words, at)
        if found < 0:
            found = text.find(words)
        if found < 0:
            found = text.find(json.dumps(words, ensure_ascii=False)[1:-1])
        if found < 0:
            return False
        at = found
    return True
