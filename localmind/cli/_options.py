"""Options that several commands have, said once: which files are searched, and how speech is heard."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from localmind.cli import _complete as complete

Command = TypeVar("Command", bound=Callable[..., Any])


def _together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def folder(text: str) -> Callable[[Command], Command]:
    return click.option("--folder", type=click.Path(path_type=Path), shell_complete=complete.folders, help=text)


def files(*type_names: str) -> Callable[[Command], Command]:
    """Which of the watched files; `type_names` are what the option of the kind of file is called."""
    return _together(
        folder("Look only in here."),
        click.option("-g", "--glob", metavar="PATTERN", help="Only files so named: '*.md', 'notes/**'."),
        click.option(*type_names, metavar="TYPE", help="Only pdf, markdown, code, mail, … or a suffix (.rs)."),
        click.option("--after", metavar="DATE", help="Only files changed on or after 2026-05-31, 2026-05 or 2026."),
        click.option("--before", metavar="DATE", help="Only files changed before that date."),
    )


def answering(text: str) -> Callable[[Command], Command]:
    """The model that answers."""
    return click.option("-m", "--model", shell_complete=complete.installed, metavar="NAME", help=text)


language = click.option(
    "-l", "--language", metavar="CODE", help="Language that is spoken, such as en or de; found out without."
)
likely = click.option("--prompt", metavar="WORDS", help="Names and terms that are likely to come.")
hearing = click.option(
    "-m",
    "--model",
    shell_complete=complete.speech,
    metavar="NAME",
    help="Hear with this model instead of the best installed one.",
)
