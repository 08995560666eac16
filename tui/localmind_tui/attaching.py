"""What goes with a question in the app: files named by @, long pastes, and the one folder it is about."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from localmind.attachments import read_text
from localmind.errors import InvalidRequest


@dataclass(slots=True, frozen=True)
class Attached:
    """What a question takes along."""

    files: tuple[dict[str, str], ...]
    """As the native API wants them: path and text."""
    folder: str | None
    """The one folder that the question is about."""


def attach(paths: Iterable[Path], pasted: Iterable[tuple[str, str]]) -> Attached:
    """Read what was named. Raises LocalmindError with what to do instead. Blocking."""
    files: list[dict[str, str]] = [{"path": name, "text": text} for name, text in pasted]
    folder: str | None = None
    for path in paths:
        if not path.is_dir():
            files.append({"path": str(path), "text": read_text(path)})
        elif folder is None:
            folder = str(path)
        else:
            raise InvalidRequest("a question is about one folder at a time", hint="name one of them with @")
    return Attached(tuple(files), folder)
