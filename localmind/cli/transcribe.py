"""`localmind transcribe`: recordings to text, subtitles or JSON, read where they lie and written nowhere else."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from localmind.clean import Cleaner, clean_line
from localmind.cli import _options as options
from localmind.cli._output import connect, note, show_progress
from localmind.errors import LocalmindError, row
from localmind.events import Event
from localmind.paths import typed_path
from localmind.speech import Segment, Transcript
from localmind.subtitles import srt, stamp, vtt

SUFFIX = {"text": ".txt", "srt": ".srt", "vtt": ".vtt", "json": ".json"}


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-f", "--format", "form", type=click.Choice(list(SUFFIX)), default="text", show_default=True, help="What to print."
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--words", is_flag=True, help="Times of single words, in JSON.")
@click.option("--times", is_flag=True, help="Put the time in front of each line of text.")
@options.language
@click.option("--translate", is_flag=True, help="Write English, whatever is spoken.")
@options.likely
@options.hearing
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here: a file, or a folder for several.")
@click.option("--everything", is_flag=True, help="Also give the model what is not speech; it may invent words for it.")
def transcribe(
    files: tuple[Path, ...],
    form: str,
    as_json: bool,
    words: bool,
    times: bool,
    language: str | None,
    translate: bool,
    prompt: str | None,
    model: str | None,
    output: Path | None,
    everything: bool,
) -> None:
    """Write down what is said in sound files.

    Reads wav, mp3, flac, ogg, m4a, webm and the sound of films, of any length. Text comes as it is understood.
    Several files are separated by their names; with -o FOLDER each gets a file of its own.

    \b
    localmind transcribe meeting.m4a
    localmind transcribe -f srt -o film.srt film.mp4
    localmind transcribe --json --words note.wav
    """
    form = "json" if as_json else form
    several = len(files) > 1
    if several and output is not None:
        if output.exists() and not output.is_dir():
            raise click.UsageError(f"{output} is a file: several recordings need a folder.")
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise LocalmindError(f"{output} cannot be made: {problem.strerror}", hint="-o FOLDER") from problem
    worst: LocalmindError | None = None
    whole: list[dict[str, Any]] = []
    with connect() as client:
        for path in files:
            body = {
                "path": str(typed_path(path)),
                "language": language,
                "task": "translate" if translate else "transcribe",
                "prompt": prompt,
                "model": model,
                "words": words,
                "gate": not everything,
            }
            target = _target(output, path, form)
            live = target is None and form == "text"
            if several and live:
                sys.stdout.write(f"{clean_line(str(path))}:\n")
            try:
                segments, transcript = _heard(show_progress(client.events("/transcribe", body)), live, times)
            except LocalmindError as problem:
                if not several:
                    raise
                worst = problem
                note(f"error: {clean_line(problem.message)}")
                if problem.hint:
                    note(f"hint: {problem.hint}")
                continue
            if transcript.silent:
                note(f"{clean_line(path.name)}: no speech ({transcript.silent})")
            if target is not None:
                _write(target, _rendered(form, path, segments, transcript, times))
                note(f"wrote {target}")
            elif form == "json" and several:
                whole.append(_json(path, segments, transcript))
            elif not live:
                sys.stdout.write(_rendered(form, path, segments, transcript, times))
            if several and live:
                sys.stdout.write("\n")
    if whole:
        sys.stdout.write(json.dumps(whole, ensure_ascii=False, indent=2) + "\n")
    if worst is not None:
        sys.stdout.flush()
        sys.exit(row(worst).exit)


def _heard(events: Iterator[Event], live: bool, times: bool) -> tuple[list[Segment], Transcript]:
    """Collect a recording; with `live` its text goes to stdout as it comes."""
    segments: list[Segment] = []
    transcript = Transcript("")
    safe = Cleaner()
    for event in events:
        match event:
            case Segment():
                segments.append(event)
                if live:
                    sys.stdout.write(safe.feed(_line(event, times)))
                    sys.stdout.flush()
            case Transcript():
                transcript = event
    if live:
        sys.stdout.write(safe.end())
        sys.stdout.flush()
    return segments, transcript


def _line(segment: Segment, times: bool) -> str:
    text = segment.text.strip()
    return f"[{stamp(segment.start, '.')}] {text}\n" if times else f"{text}\n"


def _rendered(form: str, path: Path, segments: list[Segment], transcript: Transcript, times: bool) -> str:
    match form:
        case "srt":
            return srt(segments)
        case "vtt":
            return vtt(segments)
        case "json":
            return json.dumps(_json(path, segments, transcript), ensure_ascii=False, indent=2) + "\n"
    return "".join(_line(segment, times) for segment in segments)


def _json(path: Path, segments: list[Segment], transcript: Transcript) -> dict[str, Any]:
    whole: dict[str, Any] = msgspec.to_builtins(transcript)
    del whole["type"]
    return {"file": str(path), **whole, "segments": [_plain(segment) for segment in segments]}


def _plain(segment: Segment) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(segment)
    del data["type"], data["tokens"]
    return data


def _target(output: Path | None, path: Path, form: str) -> Path | None:
    if output is None:
        return None
    return output / f"{path.stem}{SUFFIX[form]}" if output.is_dir() else output


def _write(target: Path, text: str) -> None:
    from localmind.paths import write_atomic

    write_atomic(target, text.encode(), mode=0o644)
