"""The `localmind` command, also as `python -m localmind` for places where the script is not on PATH.

`localmind chat` in a terminal, which is how the app is opened most, goes there directly; all else is read by click.
"""

import os
import sys


def main() -> None:
    """Run the command line."""
    try:
        _run()
    except KeyboardInterrupt:  # while modules are loaded: what comes later a command reports itself
        sys.stderr.write("\ninterrupted\n")
        sys.exit(130)


def _run() -> None:
    _open_closed_streams()
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


def _open_closed_streams() -> None:
    """Who closes a stream (`<&-`) means an empty one. Its number would go to the next socket or file otherwise."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: SIM115 (until the end)


if __name__ == "__main__":
    main()
