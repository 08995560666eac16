"""What goes with a question in the app: files and images named by @, long pastes, and the one folder it is about."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from localmind.attachments import read_text
from localmind.clean import clean_line
from localmind.errors import InvalidRequest
from localmind_tui.pictures import for_daemon, is_picture, picture_at, with_picture
from localmind_tui.remembered import Picture
from localmind_tui.widgets.composer import PASTED_FILE

PASTE_DIGITS = 3
"""A client of the API may call a file `pasted-` and any number; no question has a thousand pastes."""


@dataclass(slots=True, frozen=True)
class Attached:
    """What a question takes along."""

    files: tuple[dict[str, str], ...]
    """As the native API wants them: path and text."""
    images: tuple[dict[str, str], ...]
    """As the native API wants them: name and bytes."""
    folder: str | None
    """The one folder that the question is about."""


@dataclass(slots=True, frozen=True)
class Before:
    """What a question that is worded anew took along."""

    pastes: tuple[str, ...] = ()
    """The long pastes, by the numbers that stand in its words."""
    files: tuple[dict[str, str], ...] = ()
    """Files that no word of it names, as the native API wants them: they were given to `localmind ask`, or are gone
    from where they were."""


def before(attached: Iterable[Mapping[str, str]], named: Collection[Path]) -> Before:
    """`attached` are its files with their texts; those it names by @ are read again when it is asked."""
    pasted: dict[int, str] = {}
    files: list[dict[str, str]] = []
    for each in attached:
        path, number = each["path"], each["path"].removeprefix(PASTED_FILE)
        if number != path and number.isdecimal() and len(number) <= PASTE_DIGITS:
            pasted[int(number)] = each["text"]
        elif Path(path) not in named:
            files.append({"path": path, "text": each["text"]})
    numbers = range(1, max(pasted, default=0) + 1)
    return Before(tuple(pasted.get(number, "") for number in numbers), tuple(files))


def attach(paths: Iterable[Path], pasted: Iterable[tuple[str, str]], pictures: tuple[Picture, ...] = ()) -> Attached:
    """Read what was named. Raises LocalmindError with what to do instead. Blocking."""
    files: list[dict[str, str]] = [{"path": name, "text": text} for name, text in pasted]
    folder: str | None = None
    for path in paths:
        if is_picture(path):
            pictures = with_picture(pictures, picture_at(path))
        elif path.is_dir():
            if folder is not None:
                raise InvalidRequest("a question is about one folder at a time", hint="name one of them with @")
            folder = str(path)
        elif not path.is_file():  # a pipe may never be opened at its other end
            raise InvalidRequest(f"{clean_line(path.name)} is no file", hint="name a file with @")
        else:
            files.append({"path": str(path), "text": read_text(path)})
    return Attached(tuple(files), tuple(for_daemon(pictures)), folder)
