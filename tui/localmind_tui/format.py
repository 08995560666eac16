"""Short words for the header and the notes: sizes, speeds, places. Pure text, already cleaned."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localmind.clean import clean_line
from localmind.counted import counted
from localmind.counted import size as size
from localmind.endings import CUT
from localmind.errors import LocalmindError

if TYPE_CHECKING:
    from localmind.events import Done, Passage, Progress
    from localmind.messages import Usage

ROUND = "/again writes another answer, /model asks another model, /set max_tokens 4000 lets it go on to that length"


def place(passage: "Passage", roots: Sequence[str]) -> str:
    """`folder/file:6-10`, `folder/file p. 2` or `folder/talk.mp3 at 12:31`: the path from the watched folder on."""
    from localmind.speech import moment  # with the types of its events, which the first picture shows nothing of

    path = Path(passage.path)
    shown = str(path)
    for root in sorted(roots, key=len, reverse=True):
        if path.is_relative_to(root) and path != Path(root):
            shown = str(path.relative_to(Path(root).parent))
            break
    if passage.page is not None:
        return clean_line(f"{shown} p. {passage.page}")
    if (at := moment(passage.path, passage.line_start)) is not None:
        return clean_line(f"{shown} at {at}")
    lines = f"{passage.line_start}"
    if passage.line_end > passage.line_start:
        lines += f"-{passage.line_end}"
    return clean_line(f"{shown}:{lines}")


def progress(event: "Progress") -> str:
    """`loading the model 40 %`, or the amounts while the total is unknown."""
    words = clean_line(event.text or event.stage)
    if event.stage == "remote":
        return words  # said once, and no stretch of time
    if event.total:
        return f"{words} {min(event.done / event.total, 1):.0%}".replace("%", " %")
    if event.done and event.unit == "B":
        return f"{words} {event.done / 1e6:.1f} MB"
    if event.done and event.unit:
        return clean_line(f"{words} {event.done:.0f} {event.unit}")
    return words


def costs(done: "Done") -> str:
    """What an answer cost: `96 tokens · 120 tokens/s · first after 0.4 s`, with a word first when it was cut short, and
    what to do on a line of its own where there is something."""
    parts = []
    if done.finish_reason in CUT:
        parts.append(CUT[done.finish_reason])
    if done.finish_reason == "cancelled":
        parts.append("stopped")
    tokens = done.usage.completion_tokens
    if tokens:
        parts.append(counted(tokens, "token"))
    if tokens > 1 and done.timings.decode_ms > 0:
        parts.append(f"{tokens / done.timings.decode_ms * 1000:.0f} tokens/s")
    waited = done.timings.queue_ms + done.timings.prefill_ms
    if waited > 0:
        parts.append(f"first after {waited / 1000:.1f} s")
    return " · ".join(parts) + (f"\nhint: {ROUND}" if done.finish_reason == "repetition" else "")


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
    words = [counted(len(entries), "folder")]
    files = sum(int(entry.get("files") or 0) for entry in entries)
    if files:
        words.append(counted(files, "file"))
    busy = [str(entry["state"]) for entry in entries if entry.get("state", "ready") != "ready"]
    return clean_line(" · ".join(words + busy[:1]))


def model_in_use(status: Mapping[str, Any], wanted: str | None) -> str:
    """The model to name in the header: the wanted one, else one that is loaded, else one that was asked for."""
    entries = status.get("models") or ()
    entries = [entry for entry in entries if entry.get("state") == "loaded"] or entries
    return clean_line(wanted or (str(entries[0]["model"]) if entries else "no model loaded"))


def gauge(share: float, width: int = 8) -> str:
    """`▓▓▓░░░░░`, filled to `share` of it."""
    filled = round(max(0.0, min(share, 1.0)) * width)
    return "▓" * filled + "░" * (width - filled)


def when(then: float, now: float) -> str:
    """`just now`, `5 min ago`, `yesterday`, else the day."""
    ago = max(now - then, 0)
    if ago < 60:
        return "just now"
    if ago < 3600:
        return f"{ago / 60:.0f} min ago"
    if ago < 86400:
        return f"{ago / 3600:.0f} h ago"
    return "yesterday" if ago < 2 * 86400 else time.strftime("%Y-%m-%d", time.localtime(then))


def download(step: Mapping[str, Any]) -> str:
    """`▓▓▓░░░░░ 38 % of 98.4 MB · 12.1 MB/s · 5 s left`."""
    from localmind.durations import words as lasting  # its patterns take a millisecond, which the first picture saves

    done, total = float(step.get("done") or 0), float(step.get("total") or 0)
    words = []
    if total > 0:
        words.append(f"{gauge(done / total)} {min(done / total, 1):.0%}".replace("%", " %") + f" of {size(total)}")
    else:
        words.append(clean_line(str(step.get("stage") or "waiting")))
    if step.get("stage") == "paused":
        return " · ".join([*words, "paused"])
    if step.get("rate"):
        words.append(f"{size(float(step['rate']))}/s")
    if step.get("eta_s"):
        words.append(f"{lasting(float(step['eta_s']))} left")
    return " · ".join(words)


def context_of(status: Mapping[str, Any], model: str | None) -> int:
    """Tokens that one conversation with the model may have; 0 while it is not loaded."""
    for entry in status.get("models") or ():
        if entry.get("model") == model and entry.get("load"):
            load = entry["load"]
            return int(load.get("n_ctx_seq") or load.get("n_ctx") or 0)
    return 0


def memory(total: int, available: int, status: Mapping[str, Any]) -> str:
    """`memory ▓▓▓▓░░░░ 3.9 GB of 8.0 GB used · smollm2:135m is loaded`."""
    used = total - available
    words = [f"memory {gauge(used / total, 16)} {size(used)} of {size(total)} used"]
    loaded = [str(entry["model"]) for entry in status.get("models") or () if entry.get("state") == "loaded"]
    if loaded:
        words.append(f"{', '.join(loaded)} {'is' if len(loaded) == 1 else 'are'} loaded")
    return clean_line(" · ".join(words))


def context(usage: "Usage", room: int) -> list[str]:
    """`context ▓░░░░░░░ 957 of 8,192`: how much of it the newest answer filled. After it what says the same shorter, to
    the last one that is a share alone."""
    used = usage.prompt_tokens + usage.completion_tokens
    if not room:
        return [f"{used:,} tokens of context", f"{used:,} tokens", f"{used:,}"]
    numbers = f"{used:,} of {room:,}"
    bar = f"{gauge(used / room)} {numbers}"
    return [f"context {bar}", bar, numbers, f"{used / room:.0%}".replace("%", " %")]


def welcome(roots: Sequence[str], news: str = "") -> str:
    """What an empty thread says; `news` of other threads first."""
    above = f"{clean_line(news)}\n\n" if news else ""
    if not roots:
        return (
            f"{above}No folder is watched yet, so there is nothing to answer from.\n"
            "F4 adds one. Ctrl+T switches to a chat without files."
        )
    listed = "\n".join(f"  {clean_line(root)}" for root in roots[:8])
    return f"{above}Ask about what is in\n\n{listed}\n\n@ names a file, / a command. F1 shows every key."
