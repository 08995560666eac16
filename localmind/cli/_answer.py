"""An answer as `localmind ask` waits for it: what has come so far, and what is told of it at the end.

As one JSON object, as a line of figures, and its sources as places that an editor opens. It prints nothing.
"""

import os
import time
from dataclasses import dataclass, field
from typing import Any

from localmind.clean import clean_line
from localmind.events import Done, Event, Passage, ReasoningDelta, Sources, TextDelta
from localmind.speech import moment


@dataclass(slots=True)
class Answer:
    """What has come so far."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    passages: tuple[Passage, ...] = ()
    done: Done = field(default_factory=Done)
    asked_at: float = field(default_factory=time.monotonic)
    first_s: float | None = None

    def take(self, event: Event) -> None:
        if self.first_s is None and isinstance(event, TextDelta | ReasoningDelta):
            self.first_s = time.monotonic() - self.asked_at
        match event:
            case TextDelta(piece):
                self.text.append(piece)
            case ReasoningDelta(piece):
                self.reasoning.append(piece)
            case Sources(found):
                self.passages = found
            case Done():
                self.done = event

    @property
    def whole(self) -> str:
        return "".join(self.text)

    def as_object(self, thread: str | None) -> dict[str, Any]:
        """What --json prints."""
        done = self.done
        timings = {name: round(getattr(done.timings, name), 1) for name in ("queue_ms", "prefill_ms", "decode_ms")}
        return {
            "answer": self.whole,
            "sources": [_source(passage) for passage in self.passages],
            "finish_reason": done.finish_reason,
            "model": done.model,
            "usage": {
                "prompt_tokens": done.usage.prompt_tokens,
                "cached_tokens": done.usage.cached_tokens,
                "completion_tokens": done.usage.completion_tokens,
            },
            "timings": timings,
            "thread": thread,
            **({"reasoning": "".join(self.reasoning)} if self.reasoning else {}),
        }

    def stats(self) -> str:
        """One line: model, tokens, speed, time to first token."""
        usage, timings = self.done.usage, self.done.timings
        words = [self.done.model]
        if usage.prompt_tokens:  # of an answer that was given up no figures come
            words.append(f"{usage.prompt_tokens} prompt tokens ({usage.cached_tokens} cached)")
        if usage.completion_tokens:
            words.append(f"{usage.completion_tokens} tokens in {timings.decode_ms / 1000:.1f} s")
        if timings.decode_ms > 0 and usage.completion_tokens > 1:
            words.append(f"{1000 * (usage.completion_tokens - 1) / timings.decode_ms:.0f} tokens/s")
        if self.first_s is not None:
            words.append(f"first after {self.first_s:.2f} s")
        return " · ".join(clean_line(word) for word in words)


def _source(passage: Passage) -> dict[str, object]:
    return {
        "number": passage.number,
        "path": passage.path,
        "line_start": passage.line_start,
        "line_end": passage.line_end,
        "page": passage.page,
        "at": moment(passage.path, passage.line_start),
        "heading": passage.heading,
        "text": passage.text,
        "score": round(passage.score, 4),
    }


def short_place(passage: Passage) -> str:
    """The place, with a path below the current directory made relative: editors open both forms."""
    relative = os.path.relpath(passage.path)
    return passage.place if relative.startswith("..") else passage.place.replace(passage.path, relative, 1)
