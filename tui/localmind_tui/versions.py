"""What is said of a daemon that is of another version: it changes nothing of what is here, and is worth a word."""

from localmind import __version__
from localmind.clean import clean_line


def news(version: str, before: str) -> str:
    """In words, when a daemon of this version has come after one of `before`, which is "" at the start; "" where there
    is nothing to tell. It is our own version that counts: the one it has after a restart is no news."""
    if version in ("", before, __version__):
        return ""
    if before:
        words = f"The daemon is {clean_line(version)} now; this window is still {__version__}."
        return f"{words} Open it again when you like: nothing is lost."
    words = f"The daemon is {clean_line(version)}, this window {__version__}."
    return f"{words} Type `localmind stop` in a terminal: it starts again as {__version__}."
