"""`localmind man`: the manual page, written from the commands themselves so that it is never out of date.

Source of the format: man(7) of the Linux man-pages. Packages put what this prints into share/man/man1.
"""

import datetime
import inspect
from collections.abc import Iterator

import click

from localmind import __version__

FILES = (
    ("settings.toml", "Settings, in the configuration directory; each is an environment variable LOCALMIND_NAME too."),
    ("templates/*.md", "Templates of questions for ask -t, in the configuration directory."),
)
VARIABLES = (
    ("LOCALMIND_HOME", "Directory that everything is kept under: settings, databases, models, sockets."),
    ("LOCALMIND_PORT", "TCP port of the API; 11411 without."),
    ("LOCALMIND_TRANSPORT", "tcp: reach the daemon over TCP although there are unix sockets; it proves itself first."),
    ("NO_COLOR", "Set to anything: no colours."),
)
EXITS = (
    ("0", "It went well."),
    ("1", "It failed; stderr says why and what helps."),
    ("2", "The command was not understood."),
    ("3", "No daemon could be reached."),
    ("4", "A model is missing."),
    ("5", "It took too long."),
    ("130", "Interrupted."),
)


@click.command()
@click.pass_context
def man(ctx: click.Context) -> None:
    """Print the manual page: localmind man | man -l -"""
    click.echo(page(ctx.find_root()))


def page(root: click.Context) -> str:
    """The page of all commands, as roff."""
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    lines = [f'.TH LOCALMIND 1 "{date}" "localmind {__version__}" "User Commands"', ".SH NAME"]
    lines += [
        r"localmind \- a private assistant on this machine",
        ".SH SYNOPSIS",
        ".B localmind",
        "COMMAND [OPTION]...",
    ]
    lines += [".SH DESCRIPTION", *_text(root.command.help or ""), ".SH COMMANDS"]
    for path, command, context in _commands(root.command, root, ()):
        usage = " ".join(piece for piece in command.collect_usage_pieces(context))
        lines += [f".SS {_roff(' '.join(path))}", ".B " + _roff(f"localmind {' '.join(path)}"), _roff(usage), ".PP"]
        lines += _text(command.help or "")
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None and record[1] and parameter.name != "help":
                lines += [".TP", ".B " + _roff(record[0]), _roff(record[1])]
    for title, rows in (("ENVIRONMENT", VARIABLES), ("FILES", FILES), ("EXIT STATUS", EXITS)):
        lines.append(f".SH {title}")
        for name, meaning in rows:
            lines += [".TP", ".B " + _roff(name), _roff(meaning)]
    return "\n".join(lines)


def _commands(
    command: click.Command, context: click.Context, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
    """Every command that does something, with its words."""
    if not isinstance(command, click.Group):
        yield path, command, context
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from _commands(inner, click.Context(inner, info_name=name, parent=context), (*path, name))


def _text(text: str) -> list[str]:
    """Paragraphs; those that click shall not wrap are left as they are here too."""
    lines: list[str] = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            lines += [".PP", ".nf", *(_roff(line) for line in paragraph.splitlines()[1:]), ".fi"]
        else:
            lines += [".PP", *(_roff(line.strip()) for line in paragraph.splitlines())]
    return lines


def _roff(text: str) -> str:
    """One line that roff prints as it stands."""
    line = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{line}" if line.startswith((".", "'")) else line
