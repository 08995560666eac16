"""Transcripts in the forms that other programs read: SRT, WebVTT and OpenAI's verbose JSON. Pure."""

from collections.abc import Iterable
from typing import Any

import msgspec

from localmind.speech import Segment, Transcript


def srt(segments: Iterable[Segment]) -> str:
    """SubRip: numbered from 1, times with a comma."""
    return "".join(
        f"{number}\n{stamp(each.start, ',')} --> {stamp(each.end, ',')}\n{_line(each.text)}\n\n"
        for number, each in enumerate(segments, 1)
    )


def vtt(segments: Iterable[Segment]) -> str:
    """WebVTT. `-->` and markup in the text would end or change a cue, so they are escaped."""
    cues = "".join(
        f"{stamp(each.start, '.')} --> {stamp(each.end, '.')}\n{_escaped(_line(each.text))}\n\n" for each in segments
    )
    return f"WEBVTT\n\n{cues}"


def stamp(seconds: float, point: str) -> str:
    """01:02:03,456."""
    milliseconds = round(max(0.0, seconds) * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    whole, fraction = divmod(rest, 1000)
    return f"{hours:02d}:{minutes:02d}:{whole:02d}{point}{fraction:03d}"


def verbose(
    transcript: Transcript, segments: Iterable[Segment], *, with_segments: bool = True, with_words: bool = False
) -> dict[str, Any]:
    """OpenAI's verbose_json; `words` and `segments` are there when asked for."""
    given = tuple(segments)
    data: dict[str, Any] = {
        "task": transcript.task,
        "language": transcript.language,
        "duration": transcript.duration,
        "text": transcript.text,
    }
    if with_words:
        data["words"] = [
            {"word": word.text.strip(), "start": word.start, "end": word.end} for each in given for word in each.words
        ]
    if with_segments:
        data["segments"] = [_segment(each) for each in given]
    return data


def _segment(segment: Segment) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(segment)
    del data["type"], data["words"]
    return data


def _line(text: str) -> str:
    """An empty line would end the cue."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
