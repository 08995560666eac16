"""Which form a model writes reasoning and calls in, told from its template and control tokens.

A table of families: what in a template gives each away, the markers of its calls, and how it closes them.
Every family's calls are also understood in the generic form (Hermes tags, JSON at the start of a line, in
a Markdown block), since small models mix forms up; only the family's own markers start a grammar.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from localmind.engine.output import gemma_calls, marked_calls
from localmind.engine.output.stream import Steps, Stream

Read = Callable[[Stream, str], Steps[None]]

HERMES_MARKERS = ("<tool_call>",)
DEEPSEEK_MARKERS = (marked_calls.DEEPSEEK_CALLS, marked_calls.DEEPSEEK_CALL)
HARMONY_CONTROLS = (
    "<|start|>",
    "<|channel|>",
    "<|message|>",
    "<|constrain|>",
    "<|end|>",
    "<|call|>",
    "<|return|>",
)

READERS: dict[str, Read] = {
    "<tool_call>": marked_calls.hermes,
    "<function=": marked_calls.tagged,
    "```json": marked_calls.fenced,
    "```tool_call": marked_calls.fenced,
    "```tool_code": marked_calls.fenced,
    "<|tool_call|>": marked_calls.array,
    "<|python_tag|>": marked_calls.array,
    "[TOOL_CALLS]": marked_calls.mistral,
    marked_calls.DEEPSEEK_CALLS: marked_calls.deepseek,
    marked_calls.DEEPSEEK_CALL: marked_calls.deepseek,
    "<start_function_call>": gemma_calls.gemma,
    "<|tool_call>": gemma_calls.gemma,
    "<|tool_call_start|>": marked_calls.pythonic,
}
GENERIC = ("<tool_call>", "<function=", "```json", "```tool_call", "```tool_code")

FAMILIES: dict[str, tuple[str, ...]] = {
    "generic": HERMES_MARKERS,
    "hermes": HERMES_MARKERS,
    "tagged": HERMES_MARKERS,
    "llama": ("<|python_tag|>",),
    "mistral": ("[TOOL_CALLS]",),
    "mistral-named": ("[TOOL_CALLS]",),
    "array": ("<|tool_call|>",),
    "deepseek": DEEPSEEK_MARKERS,
    "function-gemma": ("<start_function_call>",),
    "gemma4": ("<|tool_call>",),
    "pythonic": ("<|tool_call_start|>",),
    "harmony": (),
}

THOUGHTS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought", "<channel|>"),
)


@dataclass(slots=True, frozen=True)
class OutputFormat:
    """How one model writes."""

    family: str = "generic"
    thought: tuple[str, str] = THOUGHTS[0]
    """What opens and closes reasoning. Understood at the start of an answer only."""
    answer: tuple[str, str] | None = None
    """Tags round the answer after reasoning, dropped (Granite's <response>)."""
    thinks: bool = False
    """The template speaks of reasoning."""
    separate_calls: bool = False
    """DeepSeek V3.1's order: NAME, separator, object without a fence."""
    closes: bool = False
    """The array form has an end marker (Phi)."""
    shown_controls: frozenset[str] = frozenset()
    """Control tokens that the parser must see as text; all others are to be dropped."""

    @property
    def markers(self) -> tuple[str, ...]:
        """Of this family's calls."""
        return FAMILIES[self.family]

    @property
    def short_ids(self) -> bool:
        return self.family.startswith("mistral")


GENERIC_FORMAT = OutputFormat()


def output_format(template: str | None, control_texts: Sequence[str]) -> OutputFormat:
    """The form for a model with this template and these control tokens."""
    text, controls = template or "", frozenset(control_texts)
    thought = next((tags for tags in THOUGHTS if tags[1] in text), None)
    family = _family(text, controls)
    shown = {*THOUGHTS[0], *(thought or ()), *GENERIC, *FAMILIES[family], "</tool_call>", "<tool_response>"}
    shown.update(("<escape>", '<|"|>', "<|/tool_call|>", "<|tool_call_end|>", "[ARGS]", "[CALL_ID]"))
    shown.update(gemma_calls.ENDS[marker] for marker in FAMILIES[family] if marker in gemma_calls.ENDS)
    if family == "deepseek":
        shown.update(control for control in controls if "tool▁" in control)
    if family == "harmony":
        shown.update(HARMONY_CONTROLS)
    return OutputFormat(
        family=family,
        thought=thought or THOUGHTS[0],
        answer=("<response>", "</response>") if "<response>" in text else None,
        thinks=thought is not None or family == "harmony",
        separate_calls=family == "deepseek" and "```json" not in text,
        closes=family == "array" and ("<|/tool_call|>" in text or "<|/tool_call|>" in controls),
        shown_controls=frozenset(shown) & controls,
    )


def _family(text: str, controls: frozenset[str]) -> str:
    if "<|channel|>" in text and "<|message|>" in text:
        return "harmony"
    if "<start_function_call>" in text:
        return "function-gemma"
    if "<|tool_call>" in text:
        return "gemma4"
    if "<|tool_call_start|>" in text or "<|tool_call_start|>" in controls:
        return "pythonic"
    if "tool▁calls▁begin" in text or ("<｜Assistant｜>" in text and marked_calls.DEEPSEEK_CALLS in controls):
        return "deepseek"
    if "[TOOL_CALLS]" in text:
        return "mistral-named" if "[ARGS]" in text else "mistral"
    if "<function=" in text and "<parameter=" in text:
        return "tagged"
    if "<tool_call>" in text:
        return "hermes"
    if "<|tool_call|>" in text or "<|tool|>" in text:
        return "array"
    if "<|python_tag|>" in text or ("ipython" in text and '"parameters"' in text):
        return "llama"
    return "generic"
