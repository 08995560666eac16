"""The `localmind` command, also as `python -m localmind` for places where the script is not on PATH.

`localmind chat` in a terminal, which is how the app is opened most, goes there directly; all else is read by click.
"""

import sys


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] == ["chat"] and sys.stdin.isatty() and sys.stdout.isatty():
        from localmind.window import open_window

        try:
            code = open_window()
        except (Exception, KeyboardInterrupt):
            from localmind.cli._errors import reporting  # with click

            with reporting():
                raise
        sys.exit(code)
    from localmind.cli import main as commands

    commands()


if __name__ == "__main__":
    main()
