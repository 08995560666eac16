"""What `localmind ask` asks: words of the command line, stdin, a template and files, put together into one body."""

import base64
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import click

from localmind import templates
from localmind.attachments import expand, read_text, text_in
from localmind.cli._output import note
from localmind.errors import InvalidRequest
from localmind.images import LARGEST, check_together, looks, read_image
from localmind.paths import typed_path

WAIT_TOLD_S = 2.0
STDIN = "-"
"""Names what is piped in where a file is wanted."""

SCHEMA_HINT = """a file, or the schema itself: --schema '{"type": "object", "properties": …}'"""
EXAMPLE = 'What do you want to know? Example: localmind ask "When was the boiler serviced?"'


def text_of(
    words: Sequence[str],
    *,
    spoken: str = "",
    template: templates.Template | None,
    params: Mapping[str, str],
    piped: bool = True,
) -> str:
    """The question: stdin unless `piped` is false, then what was said, in the template if there is one. Raises
    UsageError."""
    said = " ".join([*words, spoken]).strip()
    before = "" if not piped or sys.stdin.isatty() else piped_in().strip()
    text = "\n\n".join(part for part in (before, said) if part)
    if template is None:
        if not text:
            raise click.UsageError(EXAMPLE)
        return text
    unknown = sorted(params.keys() - template.variables.keys())
    if unknown:
        known = ", ".join(template.variables) or "none"
        raise click.UsageError(f"The template {template.name!r} has no variable {unknown[0]!r}; it has: {known}.")
    filled, missing = template.fill({**({templates.INPUT: text} if text else {}), **params})
    if missing == [templates.INPUT]:
        raise click.UsageError(f"The template {template.name!r} needs a text: type it, or pipe it in.")
    if missing:
        wanted = " ".join(f"-p {name} …" for name in missing if name != templates.INPUT)
        raise click.UsageError(f"The template {template.name!r} needs {wanted}")
    return filled if templates.INPUT in template.variables or not text else f"{filled}\n\n{text}"


def piped_in() -> str:
    """All of stdin, as text. Who waits for its end is told: a program that starts us may have left its own open. Raises
    InvalidRequest."""
    waiting = threading.Timer(WAIT_TOLD_S, note, ("reading text from stdin until it ends; without any: < /dev/null",))
    waiting.daemon = True
    waiting.start()
    try:
        return text_in("stdin", sys.stdin.buffer)
    finally:
        waiting.cancel()


def attachments(patterns: Sequence[str]) -> list[dict[str, str]]:
    """The files as the native API wants them: path and text. `-` is what is piped in."""
    named = [pattern for pattern in patterns if pattern != STDIN]
    files = [{"path": str(path), "text": read_text(path)} for path in expand(named)]
    if len(named) == len(patterns):
        return files
    if not (text := piped_in()).strip():
        raise InvalidRequest("nothing came through stdin", hint="git diff | localmind ask -f - QUESTION")
    return [{"path": "stdin", "text": text}, *files]


def pictures(patterns: Sequence[str]) -> list[dict[str, str]]:
    """The images as the native API wants them: name and base64. `-` is what is piped in."""
    named = [pattern for pattern in patterns if pattern != STDIN]
    found = [(path.name, read_image(path)[0]) for path in expand(named)]
    if len(named) < len(patterns):
        data = sys.stdin.buffer.read(LARGEST + 1)
        looks(data, "what came through stdin")
        found.insert(0, ("stdin", data))
    check_together([len(data) for _, data in found])
    return [{"name": name, "data": base64.b64encode(data).decode()} for name, data in found]


def schema_of(given: str | None) -> dict[str, Any] | None:
    """A JSON Schema from a file or from the command line itself. Raises UsageError, InvalidRequest."""
    if given is None:
        return None
    text = given
    if not given.lstrip().startswith(("{", "[")):
        try:
            with typed_path(given).open("rb") as file:
                text = text_in("the schema", file)
        except OSError as problem:
            raise InvalidRequest(
                f"the schema {given} cannot be read: {problem.strerror}", hint=SCHEMA_HINT
            ) from problem
    try:
        schema = json.loads(text)
    except json.JSONDecodeError as problem:
        raise click.UsageError(f"--schema is neither a file nor JSON: {problem}") from problem
    if not isinstance(schema, dict):
        raise click.UsageError('A JSON Schema is an object, such as {"type": "object"}.')
    return schema
