"""Chat templates: messages in, prompt text out, by the Jinja template inside the GGUF file.

A template is a program from the internet, so it runs in our bounded sandbox and never elsewhere. The
names it may expect are those of Hugging Face transformers, whose `apply_chat_template` is the
reference. It renders what it is given; what to try when a template refuses is turns.py's and
layout.py's to know.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import GeneratorType
from typing import Any

from jinja2 import TemplateError

from localmind.engine.sandbox import MAX_PARTS, MAX_SIZE, Sandbox, TooMuch
from localmind.errors import ModelFileBroken

SECONDS = 1.0
"""For compiling and for each rendering. A real template takes milliseconds for a hundred messages."""

BREAK, ESCAPED_BREAK = "\ue000", "\\ue000"
"""Of Unicode's private use area: prompt.py's mark inside a user's text that could be read as a control token."""

MAX_TEMPLATE = 256 * 1024

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""For a model file without a template; llama.cpp does the same."""


OURS = frozenset({"messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token"})
"""Names that a request may not set for a template."""


class Refusal(Exception):
    """The template refuses these messages, by `raise_exception` or by failing on them. Never leaves the engine."""


class ChatTemplate:
    """A compiled template. Raises ModelFileBroken when it does not compile within the bounds."""

    def __init__(self, source: str | None, *, bos: str = "", eos: str = "") -> None:
        self._sandbox = Sandbox()
        self._sandbox.add_filter("tojson", _tojson)
        self._sandbox.globals.update(raise_exception=_raise_exception, strftime_now=_strftime_now)
        self._names = {"bos_token": bos, "eos_token": eos, "documents": None}
        source = CHATML if source is None else source
        self.source = source
        if len(source) > MAX_TEMPLATE:
            raise ModelFileBroken(f"its chat template has {len(source)} characters", hint="localmind models verify")
        try:
            self._sandbox.allow(SECONDS)
            self._template = self._sandbox.from_string(source)
        except (TemplateError, TooMuch, RecursionError, MemoryError) as problem:
            raise ModelFileBroken(
                f"its chat template is not valid: {_words(problem)}", hint="localmind models verify"
            ) from problem

    def another(self, source: str) -> "ChatTemplate":
        """For the same model. Raises ModelFileBroken."""
        return ChatTemplate(source, bos=self._names["bos_token"] or "", eos=self._names["eos_token"] or "")

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        names: Mapping[str, Any] | None = None,
        *,
        open_answer: bool = True,
    ) -> str:
        """The prompt, with `open_answer` ending where the assistant's answer begins.

        `names` are variables such as enable_thinking. Raises Refusal, and ModelFileBroken when the template goes over
        its bounds.
        """
        self._sandbox.allow(SECONDS)
        given = {
            **(names or {}),
            **self._names,
            "messages": [dict(message) for message in messages],
            "tools": None if tools is None else [dict(tool) for tool in tools],
            "add_generation_prompt": open_answer,
        }
        parts: list[str] = []
        size = 0
        try:
            for part in self._template.generate(given):
                size += len(part)
                if size > MAX_SIZE:
                    raise TooMuch(f"it writes more than {MAX_SIZE} characters")
                self._sandbox.tick()
                parts.append(part)
        except Refusal:
            raise
        except TooMuch as problem:
            raise ModelFileBroken(
                f"the model's chat template was stopped: {problem}", hint="localmind models verify"
            ) from problem
        except Exception as problem:  # a template can raise whatever Python's operators raise
            raise Refusal(f"it fails on them: {_words(problem)}") from problem
        return "".join(parts)


def _words(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}"[:300]


def _raise_exception(message: Any) -> None:
    raise Refusal(str(message)[:500])


def _strftime_now(pattern: str) -> str:
    return datetime.now().astimezone().strftime(str(pattern)[:100])


def _listed(value: Any) -> list[Any]:
    """What `map` and `select` give, as a list; anything else is no JSON."""
    if not isinstance(value, GeneratorType):
        raise TypeError(f"{type(value).__name__} is not JSON")
    return list(itertools.islice(value, MAX_PARTS))


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As transformers has it: no HTML escapes, unlike Jinja's own."""
    indent = None if indent is None else min(indent, 16)
    text = json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
        default=_listed,
    )
    return text.replace(ESCAPED_BREAK, BREAK) if ensure_ascii else text
