"""The command line. `main` is the console script.

Commands live one group a file and are imported only when they are run, so that `localmind --help`
and completion stay quick; their one-line summaries therefore stand here, and a test holds them to
the docstrings.
"""

import importlib
import os
from typing import Any

import click

from localmind import __version__

COMMANDS = {
    "ask": ("localmind.cli.ask:ask", "Answer a question from your watched folders, with sources."),
    "chat": ("localmind.cli.chat:chat", "Open the terminal app."),
    "search": ("localmind.cli.search:search", "Find passages in your watched folders."),
    "eval": ("localmind.cli.eval:evaluate", "Measure how well search finds the answers to questions of yours."),
    "listen": ("localmind.cli.listen:listen", "Write down what you say."),
    "transcribe": ("localmind.cli.transcribe:transcribe", "Write down what is said in sound files."),
    "say": ("localmind.cli.say:say", "Read text aloud."),
    "folders": ("localmind.cli.folders:folders", "Choose which folders are watched and indexed."),
    "models": ("localmind.cli.models:models", "List, fetch and remove models."),
    "threads": ("localmind.cli.threads:threads", "Read again, search, export or delete what was said."),
    "logs": ("localmind.cli.threads:logs", "Print the last conversations, or those that a search finds."),
    "status": ("localmind.cli.status:status", "Show what the daemon is doing."),
    "stop": ("localmind.cli.status:stop", "Stop the daemon."),
    "serve": ("localmind.cli.serve:serve", "Run the daemon in the foreground."),
    "doctor": ("localmind.cli.doctor:doctor", "Check this machine and explain what localmind found."),
    "engine": ("localmind.cli.engine:engine", "Show or rebuild the engine that runs models, llama.cpp."),
    "bench": ("localmind.cli.bench:bench", "Measure how fast a model is on this machine."),
    "mcp": ("localmind.cli.mcp:mcp", "Serve search, ask and folders to an agent over stdio (MCP)."),
    "completion": ("localmind.cli.completion:completion", "Print the completion script of a shell."),
    "man": ("localmind.cli.man:man", "Print the manual page: localmind man | man -l -"),
    "token": ("localmind.cli.status:token", "Print the token that other programs may use."),
}
ELSEWHERE = {
    **{name: f"models {name}" for name in ("pull", "list", "rm", "show", "load", "import")},
    "run": "chat",
    "ls": "models list",
    "ps": "models memory",
    "start": "serve",
    "history": "logs",
    "add": "folders add",
    "index": "folders add",
}
"""What other programs of this kind call it, or a command of ours without its group."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as problem:
            from localmind.closest import closest

            meant = ELSEWHERE.get(args[0]) or next(iter(closest(args[0], COMMANDS)), None)
            if meant is None:
                raise
            raise click.UsageError(f"{problem.message} Did you mean {meant!r}?", ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        from localmind.cli._errors import reporting

        with reporting():
            return super().invoke(ctx)

    def main(self, *arguments: Any, **options: Any) -> Any:
        from localmind.cli._errors import reporting

        if "_LOCALMIND_COMPLETE" in os.environ:
            importlib.import_module("localmind.cli.completion")  # ours for bash stands in the place of click's
        with reporting():  # of --help, which is printed before a command is invoked
            return super().main(*arguments, **options)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  localmind models pull --starter      fetch the small starter models
  localmind folders add ~/Documents    watch and index a folder
  localmind ask "When is the boiler due for service?"
""",
)
@click.version_option(__version__, prog_name="localmind")
def main() -> None:
    """A private assistant on this machine: local models, and answers from your own folders.

    Nothing leaves the machine. The first command that needs the daemon starts it.
    `localmind COMMAND --help` explains a command, with examples.
    """
