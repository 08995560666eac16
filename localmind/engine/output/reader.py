"""The parser of one answer."""

from collections.abc import Sequence
from typing import Protocol

from localmind.engine.output.form import OutputFormat
from localmind.events import ReasoningDelta, TextDelta, ToolCallDelta
from localmind.messages import ToolUse

Delta = TextDelta | ReasoningDelta | ToolCallDelta


class OutputParser(Protocol):
    """Fed with generated text in pieces of any size, on one thread."""

    def feed(self, text: str) -> Sequence[Delta]: ...
    def finish(self) -> Sequence[Delta]:
        """What was held back. Call it once, at the end."""
        ...

    @property
    def called(self) -> bool:
        """At least one call is complete."""
        ...

    @property
    def satisfied(self) -> bool:
        """One call was asked for and is complete: generation may stop."""
        ...


class _Plain:
    called = False
    satisfied = False

    def feed(self, text: str) -> Sequence[Delta]:
        return [TextDelta(text)] if text else []

    def finish(self) -> Sequence[Delta]:
        return []


def parser(
    form: OutputFormat, tools: ToolUse, *, prompt_end: str = "", reasoning: bool = True, prefilled: bool = False
) -> OutputParser:
    """`reasoning` False leaves thoughts in the text. `prefilled`: the prompt ends in the middle of an answer's text."""
    return _Plain()
