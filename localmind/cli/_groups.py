"""Groups of commands as `--help` lists them: a whole sentence for each, wrapped and never cut.

click cuts a summary at 45 characters, which leaves half of what a command does to be guessed.
"""

import click


class Group(click.Group):
    """`models`, `folders` and the others that hold commands of their own."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary(command)) for name, command in found if command is not None])


def summary(command: click.Command) -> str:
    """The first sentence of what it says of itself."""
    return command.get_short_help_str(limit=1000)
