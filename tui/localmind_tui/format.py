"""Short words for the header and the notes: sizes, speeds, places. Pure text, already cleaned."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from localmind.errors import LocalmindError
from localmind.events import Done, Passage, Progress
from localmind_tui.clean import clean_line


def place(passage: Passage, roots: Sequence[str]) -> str:
    """`folder/file:6-10`, or `folder/file p. 2`: the path from the watched folder's own name on."""
    path = Path(passage.path)
    shown = str(path)
    for root in sorted(roots, key=len, reverse=True):
        if path.is_relative_to(root) and path != Path(root):
            shown = str(path.relative_to(Path(root).parent))
            break
    if passage.page is not None:
        return clean_line(f"{shown} p. {passage.page}")
    lines = f"{passage.line_start}"
    if passage.line_end > passage.line_start:
        lines += f"-{passage.line_end}"
    return clean_line(f"{shown}:{lines}")


def progress(event: Progress) -> str:
    """`loading the model 40 %`, or the amounts while the total is unknown."""
    words = clean_line(event.text or event.stage)
    if event.total:
        return f"{words} {min(event.done / event.total, 1):.0%}".replace("%", " %")
    if event.done and event.unit == "B":
        return f"{words} {event.done / 1e6:.1f} MB"
    if event.done and event.unit:
        return clean_line(f"{words} {event.done:.0f} {event.unit}")
    return words


def costs(done: Done) -> str:
    """What an answer cost: `96 tokens · 120 tokens/s · first after 0.4 s`, with a word first when it was cut short."""
    parts = []
    if done.finish_reason == "length":
        parts.append("cut off at the length limit")
    if done.finish_reason == "cancelled":
        parts.append("stopped")
    tokens = done.usage.completion_tokens
    if tokens:
        parts.append(f"{tokens} tokens" if tokens > 1 else "1 token")
    if tokens > 1 and done.timings.decode_ms > 0:
        parts.append(f"{tokens / done.timings.decode_ms * 1000:.0f} tokens/s")
    waited = done.timings.queue_ms + done.timings.prefill_ms
    if waited > 0:
        parts.append(f"first after {waited / 1000:.1f} s")
    return " · ".join(parts)


def failure(error: LocalmindError) -> str:
    """The message of an error and, on a second line, its hint."""
    text = clean_line(error.message)
    return f"{text}\nhint: {clean_line(error.hint)}" if error.hint else text


def names(entries: Any) -> list[str]:
    """Names or paths of a listing in a status, whether its entries are words or records."""
    found = []
    for entry in entries or ():
        value = entry.get("path") or entry.get("name") if isinstance(entry, Mapping) else entry
        if value:
            found.append(str(value))
    return found


def model_in_use(status: Mapping[str, Any], wanted: str | None) -> str:
    """The model to name in the header: the wanted one, else a loaded one, else the first that can chat."""
    if wanted:
        return clean_line(wanted)
    entries = [entry for entry in status.get("models") or () if isinstance(entry, Mapping)]
    for test in ("loaded", "default"):
        for entry in entries:
            if entry.get(test) and entry.get("role", "chat") == "chat":
                return clean_line(str(entry.get("name", "")))
    entries = [entry for entry in entries if entry.get("role", "chat") == "chat"]
    every = names(entries) or names([e for e in status.get("models") or () if isinstance(e, str)])
    return clean_line(every[0]) if every else "no model"
