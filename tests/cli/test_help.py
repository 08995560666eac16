"""`--help` of every command as a stranger reads it: on eighty columns, whole, and with something to type."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import localmind
import localmind_tui
from localmind.cli import main

WIDTH = 80
ALONE = {"stop", "man", "token", "doctor", "status", "serve", "engine"}
"""What they are for is all that there is to type."""


def commands(command: click.Command, context: click.Context, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, click.Context(inner, info_name=name, parent=context), (*path, name))


PATHS = list(commands(main, click.Context(main, info_name="localmind")))


def told(path: tuple[str, ...]) -> str:
    found = CliRunner().invoke(main, [*path, "--help"], terminal_width=WIDTH, prog_name="localmind")
    assert found.exit_code == 0
    return found.stdout


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_no_line_is_wider_than_a_terminal_and_no_sentence_is_cut(path: tuple[str, ...]) -> None:
    text = told(path)
    wide = [line for line in text.splitlines() if len(line) > WIDTH]
    assert wide == []
    assert "..." not in re.sub(r"\[?[A-Z]+\]?\.\.\.", "", text), "a summary was cut short"


@pytest.mark.parametrize("path", [path for path in PATHS if len(path) == 1 and path[0] not in ALONE], ids=" ".join)
def test_every_command_shows_an_example(path: tuple[str, ...]) -> None:
    assert re.search(rf"localmind (models|folders|threads|{path[0]})\b(?! \[OPTIONS\])|mcpServers", told(path))


def hints() -> Iterator[tuple[str, ...]]:
    """What every hint of ours that is a command, or begins with one, says to type."""
    places = [Path(package.__file__ or "").parent for package in (localmind, localmind_tui)]
    for path in sorted(path for place in places for path in place.rglob("*.py")):
        for typed in re.findall(r'hint=f?"localmind ([a-z-]+(?: [a-z-]+)?)', path.read_text("utf-8")):
            yield tuple(typed.split())


def test_a_hint_names_a_command_that_does_something() -> None:
    """A group of commands, typed alone, prints its help and fails."""
    found = set(hints())
    assert len(found) > 10
    groups = {path[:-1] for path in PATHS if len(path) == 2} - {("engine",)}
    assert {words[:1] for words in found} <= set(PATHS)
    assert [words for words in found if words[:1] in groups and (len(words) == 1 or words not in PATHS)] == []


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("completion zsh >&-", 0),
        ("completion zsh <&- >&- 2>&-", 0),
        ("ask <&-", 2),
        ("completion zsh > /dev/full", 1),
        ("ask --help > /dev/full", 1),
        ("say < /dev/zero", 2),
        ("say < /bin/sh", 2),
    ],
)
def test_a_stream_that_is_closed_or_full_is_no_traceback(command: str, code: int) -> None:
    line = f'"$0" -m localmind {command}'
    done = subprocess.run(["sh", "-c", line, sys.executable], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert ("cannot be written: No space left" in done.stderr) == (code == 1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('"$0" -m localmind folders add "~nobody-of-that-name/x"', "no user ~nobody-of-that-name"),
        ('"$0" -m localmind chat --plain --folder "~nobody-of-that-name/x"', "no user ~nobody-of-that-name"),
        ('mkdir gone && cd gone && rmdir ../gone && "$0" -m localmind folders add x', "is gone"),
    ],
)
def test_a_place_that_cannot_be_is_told_without_a_traceback(line: str, words: str, tmp_path: Path) -> None:
    environment = os.environ | {"LOCALMIND_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        ["sh", "-c", line, sys.executable], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
