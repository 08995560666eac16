"""`localmind ask`: one question, a streamed answer, numbered sources.

The question may come from the command line, stdin, a template or the microphone, and bring files along; the
answer goes to stdout, rendered on a terminal and raw in a pipe, and everything about it to stderr.
"""

import io
import sys
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stderr, suppress
from typing import Any

import click

from localmind import templates
from localmind.clean import clean, clean_line
from localmind.cli import _complete as complete
from localmind.cli import _options as options
from localmind.cli._answer import Answer, short_place
from localmind.cli._output import connect, draws, interrupted_later, note, print_json, print_line, show_progress
from localmind.cli._question import STDIN, attachments, pictures, schema_of, text_of
from localmind.cli._shown import Hidden, Raw, Rendered, Shown, Thoughts, code_of
from localmind.cli.recommend import have_a_model
from localmind.endings import CUT
from localmind.errors import DaemonUnreachable, LocalmindError, NotFound
from localmind.events import Event, Failed, ReasoningDelta, TextDelta, encode
from localmind.paths import Paths, typed_path

FILTERS = ("glob", "type", "after", "before")
"""Options that choose among the files of the watched folders, called so in the native API too."""


@click.command()
@click.argument("question", nargs=-1)
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="PATH",
    type=click.Path(),
    help="Ask about this file; a pattern, or - for stdin. May be repeated.",
)
@click.option(
    "-a",
    "--image",
    "images",
    multiple=True,
    metavar="PATH",
    type=click.Path(),
    help="Show this image to a model that sees; like -f.",
)
@options.files("--type")
@click.option("--chat", is_flag=True, help="Ask the model alone, without your folders.")
@options.answering("Answer with this model.")
@click.option("-s", "--system", metavar="TEXT", help="Instructions before everything else, with --chat or -f.")
@click.option(
    "-t",
    "--template",
    "name",
    shell_complete=complete.templates,
    metavar="NAME",
    help="Put the question into a template that --save kept.",
)
@click.option(
    "-p", "--param", "params", type=(str, str), multiple=True, metavar="NAME VALUE", help="Set a variable of it."
)
@click.option(
    "--save",
    metavar="NAME",
    help="Keep the question as a template, and ask nothing. {{name}} in it is a variable, {{input}} what is asked.",
)
@click.option("-c", "--continue", "goes_on", is_flag=True, help="Go on with the thread used last.")
@click.option("--thread", type=complete.THREAD, metavar="ID", help="Go on with this thread; its beginning is enough.")
@click.option("--temperature", type=click.FloatRange(0, 5), help="0 is the same every time.")
@click.option(
    "--max-tokens", type=click.IntRange(1), help="Longest answer; without it, one that repeats itself is ended."
)
@click.option("--think/--no-think", "thinking", default=None, help="Let a model that can reason do so, or not.")
@click.option("--schema", metavar="FILE|JSON", help="Answer with JSON of this JSON Schema.")
@click.option("-x", "--code", is_flag=True, help="Print the first block of code alone; without one, fail.")
@click.option("--json", "as_json", is_flag=True, help="Print answer, sources and timings as one JSON object.")
@click.option("--jsonl", is_flag=True, help="Print every event as a line of JSON, as it comes.")
@click.option("--raw", is_flag=True, help="Do not render Markdown on a terminal.")
@click.option("--no-stream", is_flag=True, help="Print the answer when it is whole.")
@click.option("--stats", is_flag=True, help="Say on stderr how long it took.")
@click.option(
    "-q", "--quiet", is_flag=True, help="Print the answer and errors, nothing else: no thoughts, no progress."
)
@click.option("--no-log", is_flag=True, help="Keep neither question nor answer.")
@click.option("--voice", is_flag=True, help="Ask by speaking; a pause ends the question.")
@click.option("--device", metavar="NAME", help="Microphone for --voice, or a part of its name.")
def ask(question: tuple[str, ...], **how: Any) -> None:
    """Answer a question from your watched folders, with sources.

    The answer streams to stdout and ends with the passages it rests on, as path:lines. When your files
    do not hold the answer, it says so. What is piped in comes before QUESTION.

    \b
    localmind ask "When was the boiler serviced?"
    git diff | localmind ask --chat "Write a commit message for this"
    localmind ask -f 'src/*.py' "Where are retries counted?"
    localmind ask -a meter.jpg -m box/qwen2.5-vl "What does the meter say?"
    localmind ask --type pdf --after 2026-05 "Which invoices are not paid?"
    localmind ask -c "And before that?"
    localmind ask --chat -x "A shell line that counts files by extension" | sh
    localmind ask --save brief "In {{words|50}} words: {{input}}"
    localmind ask -t brief -p words 20 -f letter.txt "What does she want?"
    """
    with redirect_stderr(io.StringIO()) if how["quiet"] else nullcontext():
        _ask(question, how)


def _ask(question: tuple[str, ...], how: dict[str, Any]) -> None:
    _refuse_contradictions(how)
    directory = Paths.find().templates_dir
    if how["save"]:
        text = text_of(question, template=None, params={}, piped=not question)
        path = templates.write(directory, how["save"], text)
        note(f"kept as {path}: localmind ask -t {how['save']}")
        return
    template = templates.read(directory, how["name"]) if how["name"] else None
    if how["params"] and template is None:
        raise click.UsageError("-p sets a variable of a template: name one with -t.")
    spoken = _spoken(how["device"]) if how["voice"] else ""
    text = text_of(
        question,
        spoken=spoken,
        template=template,
        params=dict(how["params"]),
        piped=STDIN not in (*how["files"], *how["images"]),
    )
    body = _body(text, how)
    with connect() as client:
        if how["model"] is None:
            have_a_model(client)
        body |= _thread(client, how)
        if has_nothing_to_read(client, body):
            note("no folder is watched yet, so the model answers by itself\nhint: localmind folders add DIR")
            body["mode"] = "chat"
        _answer(client, body, how)


def _refuse_contradictions(how: dict[str, Any]) -> None:
    """Raises UsageError."""
    pairs = [("json", "as_json", "jsonl", "jsonl"), ("continue", "goes_on", "thread", "thread")]
    pairs += [("no-log", "no_log", "continue", "goes_on"), ("no-log", "no_log", "thread", "thread")]
    pairs += [("json", "as_json", "code", "code"), ("jsonl", "jsonl", "code", "code")]
    pairs += [("schema", "schema", "code", "code")]
    pairs += [(name, name, "chat", "chat") for name in ("folder", *FILTERS)]
    pairs += [(name, name, "file", "files") for name in FILTERS]
    pairs += [(name, name, "image", "images") for name in ("folder", *FILTERS)]
    for one, one_key, other, other_key in pairs:
        if how[one_key] and how[other_key]:
            raise click.UsageError(f"--{one} and --{other} do not go together.")
    if STDIN in how["files"] and STDIN in how["images"]:
        raise click.UsageError("What is piped in is a text (-f -) or an image (-a -), not both.")


def _body(text: str, how: dict[str, Any]) -> dict[str, Any]:
    """The question as the native API takes it."""
    options = {key: how[key] for key in ("system", "temperature", "max_tokens", "thinking") if how[key] is not None}
    body = {
        "question": text,
        "mode": "chat" if how["chat"] else None,
        "folder": str(typed_path(how["folder"])) if how["folder"] else None,
        "model": how["model"],
        "attachments": attachments(how["files"]),
        "images": pictures(how["images"]),
        "options": options or None,
        "json_schema": schema_of(how["schema"]),
    }
    body |= {name: how[name] for name in FILTERS}
    return {key: value for key, value in body.items() if value not in (None, [])}


def has_nothing_to_read(client: Any, body: dict[str, Any]) -> bool:
    """It names nothing to answer from, no folder is watched, and nothing was attached to the question before it."""
    if any(key in body for key in ("mode", "folder", "attachments", "images", *FILTERS)):
        return False
    if client.get("/folders")["folders"]:
        return False
    said = client.get(f"/threads/{body['thread']}", limit=1)["messages"] if "thread" in body else ()
    return not any(each["attachments"] or each["images"] or each["mode"] == "attached" for each in said)


def _answer(client: Any, body: dict[str, Any], how: dict[str, Any]) -> None:
    """Ask, and print what comes."""
    shown = _shown(how)
    thoughts = Hidden() if how["as_json"] or how["jsonl"] else Thoughts()
    answer = Answer()
    thread: str | None = None
    message: int | None = None
    try:
        if how["no_log"]:
            events = client.events("/ask", body)
        else:
            with interrupted_later():
                begun = client.post("/turns", body)
                thread, message = begun["thread"]["id"], begun["messages"][-1]["id"]
            events = client.follow(f"/messages/{message}/events")
        for event in _seen(events, how):
            answer.take(event)
            if isinstance(event, ReasoningDelta):
                thoughts.feed(event.text)
            if isinstance(event, TextDelta):
                thoughts.end()
                shown.feed(event.text)
    except KeyboardInterrupt:
        if message is not None:
            with suppress(LocalmindError):
                client.post(f"/messages/{message}/stop")
        _close(thoughts, shown)
        if thread is not None:
            note(f"stopped; what came is kept: localmind threads show {thread}")
        raise
    except BaseException as problem:
        _close(thoughts, shown)
        if thread is not None and isinstance(problem, DaemonUnreachable):
            note(f"what came is kept: localmind threads show {thread}")
        raise
    _close(thoughts, shown)
    _print_end(answer, thread, how)


def _close(*shown: Shown) -> None:
    for each in shown:
        each.end()


def _seen(events: Iterator[Event], how: dict[str, Any]) -> Iterator[Event]:
    """The events, each printed at once where that was asked for, and progress drawn."""
    if not how["jsonl"]:
        yield from show_progress(events)
        return
    try:
        for event in events:
            print_line(encode(event))
            yield event
    except LocalmindError as problem:
        print_line(encode(Failed.of(problem)))
        raise


def _thread(client: Any, how: dict[str, Any]) -> dict[str, Any]:
    """The thread that the question goes into, where one was named."""
    if how["thread"]:
        return {"thread": how["thread"]}
    if not how["goes_on"]:
        return {}
    found = client.get("/threads", limit=1)["threads"]
    if not found:
        raise NotFound("there is no thread to go on with", hint="localmind ask QUESTION")
    return {"thread": found[0]["id"]}


def _shown(how: dict[str, Any]) -> Shown:
    """How the answer is shown while it comes."""
    return Hidden() if how["as_json"] or how["jsonl"] or how["code"] or how["no_stream"] else _drawn(how)


def _drawn(how: dict[str, Any]) -> Shown:
    return Rendered() if draws(sys.stdout) and not how["raw"] and not how["schema"] else Raw()


def _print_end(answer: Answer, thread: str | None, how: dict[str, Any]) -> None:
    """What is printed when the answer is whole."""
    if how["as_json"]:
        print_json(answer.as_object(thread))
    elif how["code"]:
        if (code := code_of(answer.whole)) is None:  # what is no code must not reach the shell behind `| sh`
            note(clean(answer.whole))
            _tell_cut(answer)
            raise LocalmindError("there is no block of code in the answer", hint="ask for code, or leave -x out")
        _all_at_once(Raw(), code)
    elif how["no_stream"] and not how["jsonl"]:
        _all_at_once(_drawn(how), answer.whole)
    if answer.passages and not (how["as_json"] or how["jsonl"] or how["code"] or how["schema"]):
        sys.stdout.write("\nSources:\n")
        for passage in answer.passages:
            sys.stdout.write(f"  [{passage.number}] {clean_line(short_place(passage))}\n")
    _tell_cut(answer)
    if how["stats"]:
        note(answer.stats())


def _tell_cut(answer: Answer) -> None:
    if (reason := answer.done.finish_reason) in CUT:
        note(f"the answer was {CUT[reason]}")
    if reason == "repetition":
        note("hint: ask again, or another model with -m; --max-tokens N lets it go on to that length")


def _all_at_once(shown: Shown, text: str) -> None:
    shown.feed(text)
    shown.end()


def _spoken(device: str | None) -> str:
    """The question as it was spoken, shown so that its reader knows what was understood."""
    from localmind.cli.listen import spoken_question

    with connect() as client:
        text = spoken_question(client, device)
    note(f"> {clean_line(text)}")
    return text
