"""Which form a model writes reasoning and calls in, told from its template and control tokens."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class OutputFormat:
    """How one model writes."""

    family: str = "generic"
    shown_controls: frozenset[str] = frozenset()
    """Control tokens that the parser must see as text; all others are to be dropped."""


def output_format(template: str | None, control_texts: Sequence[str]) -> OutputFormat:
    """The form for a model with this template and these control tokens."""
    return OutputFormat()
