"""Chat templates: messages in, prompt text out, by the Jinja template inside the GGUF file.

A template is a program from the internet, so it runs in our bounded sandbox and never elsewhere. The
names it may expect are those of Hugging Face transformers, whose `apply_chat_template` is the
reference. It knows nothing of tokens.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError

from localmind.engine.sandbox import MAX_SIZE, Sandbox, TooMuch
from localmind.errors import InvalidRequest, ModelFileBroken

SECONDS = 1.0
"""For compiling and for each rendering. A real template takes milliseconds for a hundred messages."""

MAX_TEMPLATE = 256 * 1024

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""For a model file without a template; llama.cpp does the same."""


class _Objection(Exception):
    """The template itself refuses the messages, by `raise_exception`."""


class ChatTemplate:
    """A compiled template. Raises ModelFileBroken when it does not compile within the bounds."""

    def __init__(self, source: str | None, *, bos: str = "", eos: str = "") -> None:
        self._sandbox = Sandbox()
        self._sandbox.add_filter("tojson", _tojson)
        self._sandbox.globals.update(raise_exception=_raise_exception, strftime_now=_strftime_now)
        self._names = {"bos_token": bos, "eos_token": eos, "tools": None, "documents": None}
        source = CHATML if source is None else source
        if len(source) > MAX_TEMPLATE:
            raise ModelFileBroken(f"its chat template has {len(source)} characters", hint="localmind models verify")
        try:
            self._sandbox.allow(SECONDS)
            self._template = self._sandbox.from_string(source)
        except (TemplateError, TooMuch, RecursionError, MemoryError) as problem:
            raise ModelFileBroken(
                f"its chat template is not valid: {_words(problem)}", hint="localmind models verify"
            ) from problem

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """The prompt, ending where the assistant's answer begins.

        Some templates refuse a system message, or two messages of one role in a row; they get the same words with the
        system's put in front of the first user message and neighbours joined. InvalidRequest when that is refused
        too, ModelFileBroken when the template itself misbehaves.
        """
        plain = [dict(message) for message in messages]
        try:
            return self._run(plain)
        except _Objection as problem:
            folded = _folded(plain)
            if folded != plain:
                with contextlib.suppress(_Objection):
                    return self._run(folded)
            raise InvalidRequest(f"the model's chat template refuses these messages: {problem}") from problem

    def _run(self, messages: list[dict[str, Any]]) -> str:
        self._sandbox.allow(SECONDS)
        parts: list[str] = []
        size = 0
        try:
            for part in self._template.generate(
                {"messages": messages, "add_generation_prompt": True, **self._names},
            ):
                size += len(part)
                if size > MAX_SIZE:
                    raise TooMuch(f"it writes more than {MAX_SIZE} characters")
                self._sandbox.tick()
                parts.append(part)
        except _Objection:
            raise
        except TooMuch as problem:
            raise ModelFileBroken(
                f"the model's chat template was stopped: {problem}", hint="localmind models verify"
            ) from problem
        except Exception as problem:  # a template can raise whatever Python's operators raise
            raise InvalidRequest(f"the model's chat template fails on these messages: {_words(problem)}") from problem
        return "".join(parts)


def _folded(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same words for a template that knows only user and assistant, in turns."""
    folded: list[dict[str, Any]] = []
    for message in messages:
        role = "user" if message["role"] == "system" else message["role"]
        if folded and folded[-1]["role"] == role:
            folded[-1]["content"] += "\n\n" + message["content"]
        else:
            folded.append({**message, "role": role})
    return folded


def _words(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}"[:300]


def _raise_exception(message: Any) -> None:
    raise _Objection(str(message)[:500])


def _strftime_now(pattern: str) -> str:
    return datetime.now().astimezone().strftime(str(pattern)[:100])


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As transformers has it: no HTML escapes, unlike Jinja's own."""
    indent = None if indent is None else min(indent, 16)
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
