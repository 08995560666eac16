"""A sound file before it is opened: what can be refused without a decoder, and before a model is loaded for it."""

from pathlib import Path

from localmind.errors import AudioUnreadable


def check(path: Path, name: str) -> None:
    """Raises AudioUnreadable for what is no file with anything in it. Blocking."""
    try:
        if not path.exists():
            raise AudioUnreadable(f"{name} does not exist")
        if not path.is_file():
            raise AudioUnreadable(f"{name} is not a file")
        if path.stat().st_size == 0:
            raise AudioUnreadable(f"{name} is empty", hint="record it again")
    except PermissionError as problem:
        raise locked(path, name) from problem


def locked(path: Path, name: str) -> AudioUnreadable:
    """Its owner lets nobody in, or the folder's owner does."""
    return AudioUnreadable(f"{name} may not be read by you", hint=f"ls -l {path}")
