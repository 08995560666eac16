"""Jinja's immutable sandbox, with bounds on time and size.

The sandbox of Jinja keeps a template from reaching the process, but not from keeping it busy or
filling its memory. So every loop turn, macro and filter checks a deadline, and operators and calls
that could build a huge value in one native call are measured before they run. What still gets
through is stopped by the supervisor, which kills a worker that does not answer.
"""

import functools
import re
import time
from collections.abc import Callable
from typing import Any

from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_SIZE = 16 * 1024 * 1024
"""Characters and elements of any value, and of the output: about four million tokens."""

MAX_PARTS = 200_000
"""Elements of nested lists and dicts that are looked at, 50 ms of work; a long talk with many tools has thousands."""

MAX_NUMBER = 2**63

# Ways to ask C code for a huge string in one call. No chat template uses them.
REFUSED_METHODS = frozenset({"ljust", "rjust", "center", "zfill", "expandtabs", "format_map", "translate"})
REFUSED_FILTERS = ("center", "wordwrap", "urlize", "xmlattr", "random", "format", "batch", "slice", "pprint")
WEIGHTLESS_FILTERS = frozenset({"length", "count", "first", "last", "default", "d"})
"""They build nothing, and templates ask for the length of the whole conversation in every turn of a loop."""

REFUSED_GLOBALS = ("lipsum", "cycler", "joiner")

_wide_format = re.compile(r"\{[^{}]*:[^{}]*(\d{4}|\{)")
_wide_percent = re.compile(r"%[^a-zA-Z%]*(\*|\d{4})")


class TooMuch(Exception):
    """A template went over one of its bounds."""


class Generation(Extension):
    """`{% generation %}…{% endgeneration %}` marks the assistant's text for training; here it is only its body."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Sandbox(ImmutableSandboxedEnvironment):
    """Set the bounds in motion with `allow(seconds)` before compiling and before rendering."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols], finalize=self._weighed
        )
        self._deadline = 0.0
        for name in REFUSED_GLOBALS:
            self.globals.pop(name, None)
        for name in REFUSED_FILTERS:
            self.filters.pop(name, None)
        self.filters["safe"] = str  # Markup would escape what is joined to it; nothing here is HTML
        for name, function in self.filters.items():
            self.filters[name] = self._bounded(function, weighs=name not in WEIGHTLESS_FILTERS)
        self.filters["indent"] = self._bounded(_indent)
        self.filters["replace"] = self._bounded(_replace)
        self.filters["join"] = self._bounded(_join)

    def allow(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    def tick(self) -> None:
        if time.monotonic() > self._deadline:
            raise TooMuch("it runs for too long")

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        self.filters[name] = self._bounded(function)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for node in tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock)):
            if isinstance(node, nodes.For | nodes.Macro | nodes.CallBlock):
                tick = nodes.Call(nodes.EnvironmentAttribute("tick"), [], [], None, None)
                node.body.insert(0, nodes.ExprStmt(tick, lineno=node.lineno))
        for concat in tree.find_all(nodes.Concat):  # `~` is no operator that the sandbox can intercept
            weigh = nodes.EnvironmentAttribute("_weighed")
            concat.nodes = [nodes.Call(weigh, [part], [], None, None) for part in concat.nodes]
        return tree

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        self.tick()
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**":
            raise TooMuch("it uses **")
        if operator == "+":
            _refuse_over(_length(left) + _length(right))
        elif operator == "%" and not numbers:
            if not isinstance(left, str) or _wide_percent.search(left):
                raise TooMuch("it formats with a wide %")
            _refuse_over(weight(right))
        elif operator == "*" and numbers:
            if max(abs(left), abs(right)) > MAX_NUMBER:
                raise TooMuch("it multiplies numbers without limit")
        elif operator == "*":
            if isinstance(left, list | tuple) or isinstance(right, list | tuple):
                raise TooMuch("it multiplies lists")
            text, times = (left, right) if isinstance(left, str) else (right, left)
            if isinstance(times, int):
                _refuse_over(_length(text) * times)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, function: Any, /, *arguments: Any, **named: Any) -> Any:
        self.tick()
        _refuse_over(weight((arguments, named)))
        owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
        if isinstance(owner, str):
            if name in REFUSED_METHODS:
                raise TooMuch(f"it calls {name}")
            if name == "replace":
                return _replace(owner, *arguments)
            if name == "join":
                return _join(arguments[0], owner)
        return super().call(context, function, *arguments, **named)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        owner = getattr(value, "__self__", None)
        if isinstance(owner, str) and getattr(value, "__name__", "") == "format" and _wide_format.search(owner):
            raise TooMuch("it formats with a wide field")
        return super().wrap_str_format(value)

    def _weighed(self, value: Any) -> Any:
        _refuse_over(weight(value))
        return value

    def _bounded(self, function: Callable[..., Any], *, weighs: bool = True) -> Callable[..., Any]:
        @functools.wraps(function)  # copies the marks by which Jinja knows which arguments a filter takes
        def run(*arguments: Any, **named: Any) -> Any:
            self.tick()
            if weighs:
                _refuse_over(weight(arguments))
            return function(*arguments, **named)

        return run


def weight(value: Any) -> int:
    """Characters and elements that writing `value` out would take; beyond MAX_PARTS elements, too many to count."""
    total = parts = 0
    left = [value]
    while left:
        part = left.pop()
        parts += 1
        if parts + len(left) > MAX_PARTS:
            return MAX_SIZE + 1
        total += 1
        if isinstance(part, str | bytes):
            total += len(part)
        elif isinstance(part, dict):
            left.extend(part.keys())
            left.extend(part.values())
        elif isinstance(part, list | tuple | set | frozenset):
            left.extend(part)
    return total


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple | dict) else 0


def _refuse_over(size: int) -> None:
    if size > MAX_SIZE:
        raise TooMuch(f"it builds a value of more than {MAX_SIZE} elements")


def _indent(text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    fill = width if isinstance(width, str) else " " * min(width, 256)
    lines = text.split("\n")
    _refuse_over(len(text) + len(lines) * len(fill))
    return "\n".join(
        fill + line if (first or number) and (blank or line) else line for number, line in enumerate(lines)
    )


def _replace(value: Any, old: str, new: str, count: int | None = None) -> str:
    text = str(value)
    _refuse_over(len(text) + (text.count(old) + 1) * len(new))
    return text.replace(old, new, -1 if count is None else count)


def _join(values: Any, separator: str = "", attribute: str | None = None) -> str:
    parts = [str(value[attribute] if attribute is not None else value) for value in values]
    _refuse_over(sum(map(len, parts)) + len(parts) * len(separator))
    return separator.join(parts)
