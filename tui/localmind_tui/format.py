"""Short words for the header and the notes: sizes, speeds, places. Pure text, already cleaned."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from localmind.clean import clean_line
from localmind.errors import LocalmindError
from localmind.events import Done, Passage, Progress


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


def roots(status: Mapping[str, Any]) -> list[str]:
    """The paths of the watched folders."""
    return [str(entry["path"]) for entry in status.get("folders") or ()]


def folders(status: Mapping[str, Any]) -> str:
    """`2 folders · 131 files`, and what is being done with them when they are not ready."""
    entries = status.get("folders") or ()
    if not entries:
        return "no folders"
    words = ["1 folder" if len(entries) == 1 else f"{len(entries)} folders"]
    files = sum(int(entry.get("files") or 0) for entry in entries)
    if files:
        words.append("1 file" if files == 1 else f"{files} files")
    busy = [str(entry["state"]) for entry in entries if entry.get("state", "ready") != "ready"]
    return clean_line(" · ".join(words + busy[:1]))


def model_in_use(status: Mapping[str, Any], wanted: str | None) -> str:
    """The model to name in the header: the wanted one, else one that is loaded, else one that was asked for."""
    entries = status.get("models") or ()
    entries = [entry for entry in entries if entry.get("state") == "loaded"] or entries
    return clean_line(wanted or (str(entries[0]["model"]) if entries else "no model loaded"))
