"""`localmind ask`: one question, a streamed answer, numbered sources."""

import os
import sys
from pathlib import Path

import click

from localmind.clean import Cleaner, clean_line
from localmind.cli._output import connect, note, print_json, show_progress
from localmind.cli.recommend import have_a_model
from localmind.events import Done, Passage, Sources, TextDelta


@click.command()
@click.argument("question", nargs=-1)
@click.option("--folder", type=click.Path(path_type=Path), help="Look only into this watched folder.")
@click.option("-m", "--model", help="Answer with this model instead of the default one.")
@click.option("--voice", is_flag=True, help="Ask by speaking; a pause ends the question.")
@click.option("--device", help="Microphone for --voice, by its name or a part of it.")
@click.option("--json", "as_json", is_flag=True, help="Print answer, sources and timings as one JSON object.")
def ask(
    question: tuple[str, ...],
    folder: Path | None,
    model: str | None,
    voice: bool,
    device: str | None,
    as_json: bool,
) -> None:
    """Answer a question from your watched folders, with sources.

    The answer streams to stdout and ends with the passages it rests on, as path:lines. When your files
    do not hold the answer, it says so. Without QUESTION it is read from stdin; with --voice you speak it.
    """
    text = " ".join(question).strip()
    if voice:
        text = f"{text} {_spoken(device)}".strip()
    if not text and not sys.stdin.isatty():
        text = sys.stdin.read().strip()
    if not text:
        raise click.UsageError('What do you want to know? Example: localmind ask "When was the boiler serviced?"')
    body = {"question": text, "folder": str(folder.absolute()) if folder else None, "model": model}
    parts: list[str] = []
    passages: tuple[Passage, ...] = ()
    done = Done()
    safe = Cleaner()
    with connect() as client:
        if model is None:
            have_a_model(client)
        for event in show_progress(client.events("/ask", body)):
            match event:
                case TextDelta(piece):
                    parts.append(piece)
                    if not as_json:
                        sys.stdout.write(safe.feed(piece))
                        sys.stdout.flush()
                case Sources(found):
                    passages = found
                case Done():
                    done = event
    if as_json:
        print_json(
            {
                "answer": "".join(parts),
                "sources": [_source(passage) for passage in passages],
                "finish_reason": done.finish_reason,
                "model": done.model,
                "usage": {"prompt_tokens": done.usage.prompt_tokens, "completion_tokens": done.usage.completion_tokens},
            }
        )
        return
    sys.stdout.write(safe.end() + "\n")
    if passages:
        sys.stdout.write("\nSources:\n")
        for passage in passages:
            sys.stdout.write(f"  [{passage.number}] {clean_line(_short(passage))}\n")
    if done.finish_reason == "length":
        note("the answer was cut at the model's limit of tokens")


def _spoken(device: str | None) -> str:
    """The question as it was spoken, shown so that its reader knows what was understood."""
    from localmind.cli.listen import spoken_question

    with connect() as client:
        text = spoken_question(client, device)
    note(f"> {clean_line(text)}")
    return text


def _source(passage: Passage) -> dict[str, object]:
    return {
        "number": passage.number,
        "path": passage.path,
        "line_start": passage.line_start,
        "line_end": passage.line_end,
        "page": passage.page,
        "heading": passage.heading,
        "text": passage.text,
        "score": round(passage.score, 4),
    }


def _short(passage: Passage) -> str:
    """The place, with a path below the current directory made relative: editors open both forms."""
    relative = os.path.relpath(passage.path)
    return passage.place if relative.startswith("..") else passage.place.replace(passage.path, relative, 1)
