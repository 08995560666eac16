"""Files that go with a question: found by name or pattern and read as text, with limits and plain words.

Front ends read them, since a file is the user's own and the daemon may not see the directory. What a
format hides (PDF, office documents) is read by the daemon from watched folders; images.py reads images.
"""

import glob
from collections.abc import Iterable
from pathlib import Path

from localmind.clean import clean_line
from localmind.errors import InvalidRequest, LocalmindError, NotFound
from localmind.images import SUFFIXES

LARGEST = 1_000_000
"""Bytes of one file: about 250,000 tokens, more than any context here."""
MOST = 100
DOCUMENTS = {".pdf", ".docx", ".pptx", ".xlsx", ".odt", ".ods", ".odp", ".epub"}


def expand(patterns: Iterable[str]) -> list[Path]:
    """Files named by path or by pattern (`*`, `?`, `[…]`, `**`), each once, in order. Raises NotFound, InvalidRequest.

    A name that exists is taken as it is, whatever characters are in it.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.exists():
            matches = [path]
        else:
            matches = sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())
        if not matches:
            raise _missing(clean_line(pattern))
        found.update(dict.fromkeys(matches))
    if len(found) > MOST:
        raise InvalidRequest(
            f"{len(found)} files are too many to go with one question",
            hint=f"at most {MOST}; watch their folder instead: localmind folders add DIR",
        )
    return list(found)


def read_text(path: Path) -> str:
    """The text of one file. Raises InvalidRequest with what to do instead, or LocalmindError. Blocking."""
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
        if path.stat().st_size > LARGEST:
            raise _too_large(name)
        data = path.read_bytes()
    except OSError as problem:
        raise LocalmindError(f"{name} cannot be read: {problem.strerror}") from problem
    if b"\0" in data[:4096]:
        raise InvalidRequest(f"{name} is not text", hint="a question takes text files along")
    return data.decode("utf-8", "replace")


def text_of_bytes(name: str, data: bytes) -> str:
    """What came without a file, within the limit of one. Raises InvalidRequest."""
    if len(data) > LARGEST:
        raise _too_large(name)
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InvalidRequest(f"{name} is not text", hint="a question takes UTF-8 text along; an image goes with -a -")
    return text


def _missing(pattern: str) -> NotFound:
    if glob.has_magic(pattern):
        return NotFound(f"no file fits {pattern}", hint=f"what is there: ls {pattern.rpartition('/')[0] or '.'}")
    return NotFound(f"{pattern} does not exist", hint="name a file, or quote a pattern like '*.md'")


def _too_large(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"{name} is larger than {LARGEST // 1000} kB",
        hint="watch its folder, then every passage is found: localmind folders add DIR",
    )
