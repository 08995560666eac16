"""Files that go with a question: found by name or pattern and read as text, with limits and plain words.

Front ends read them, since a file is the user's own and the daemon may not see the directory. What a
format hides (PDF, office documents) is read by the daemon from watched folders; images.py reads images.
"""

import glob
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from localmind.clean import clean_line
from localmind.errors import InvalidRequest, LocalmindError, NotFound
from localmind.images import SUFFIXES
from localmind.plaintext import decode, looks_binary

LARGEST = 1_000_000
"""Bytes of one file: about 250,000 tokens, more than any context here."""
MOST = 100
DOCUMENTS = {".pdf", ".docx", ".pptx", ".xlsx", ".odt", ".ott", ".ods", ".odp", ".epub"}
"""Suffixes of what is no text by itself."""


def expand(patterns: Iterable[str]) -> list[Path]:
    """Files named by path or by pattern (`*`, `?`, `[…]`, `**`), each once, in order. Raises NotFound, InvalidRequest.

    A name that exists is taken as it is, whatever characters are in it.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        try:
            matches = _matching(pattern)
        except (OSError, RuntimeError):  # no name of a file, or the home of nobody
            matches = []
        if not matches:
            raise _missing(clean_line(pattern))
        found.update(dict.fromkeys(matches))
    if len(found) > MOST:
        raise InvalidRequest(
            f"{len(found)} files are too many to go with one question",
            hint=f"at most {MOST}; watch their folder instead: localmind folders add DIR",
        )
    return list(found)


def _matching(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.exists():
        return [path]
    return sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())


def read_text(path: Path) -> str:
    """The text of a file, pipe or device. Raises InvalidRequest that says what to do, or LocalmindError. Blocking."""
    name = clean_line(path.name)
    suffix = path.suffix.lower()
    if path.is_dir():
        watch = f"localmind folders add {clean_line(str(path))}"
        raise InvalidRequest(f"{name} is a folder", hint=f"name its files by a pattern, or watch it: {watch}")
    if suffix in SUFFIXES:
        raise InvalidRequest(f"{name} is an image, no text", hint="ask -a shows it to a model that sees, in the app @")
    if suffix in DOCUMENTS:
        folder = clean_line(str(path.parent))
        raise InvalidRequest(
            f"{name} is read by the daemon, in a watched folder",
            hint=f"localmind folders add {folder}, then ask without naming the file",
        )
    try:
        with path.open("rb") as file:
            return text_in(name, file)
    except OSError as problem:
        raise LocalmindError(f"{name} cannot be read: {problem.strerror}") from problem


def text_in(name: str, stream: BinaryIO) -> str:
    """The text of what is open, which may have no end: at most LARGEST bytes. Raises InvalidRequest. Blocking."""
    data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise InvalidRequest(
            f"{name} is larger than {LARGEST // 1000} kB",
            hint="watch its folder, then every passage is found: localmind folders add DIR",
        )
    if looks_binary(data):
        raise InvalidRequest(f"{name} is not text", hint="a question takes text along; an image goes with -a")
    return decode(data)


def _missing(pattern: str) -> NotFound:
    if glob.has_magic(pattern):
        return NotFound(f"no file fits {pattern}", hint=f"what is there: ls {pattern.rpartition('/')[0] or '.'}")
    return NotFound(f"{pattern} does not exist", hint="name a file, or quote a pattern like '*.md'")
