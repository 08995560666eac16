"""Files that go with a question: read as text, with limits and plain words about what cannot be read."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from localmind.clean import clean_line
from localmind.errors import InvalidRequest, LocalmindError

LARGEST = 1_000_000
IMAGES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".heic", ".tif", ".tiff"}
DOCUMENTS = {".pdf", ".docx", ".pptx", ".xlsx", ".odt", ".ods", ".odp", ".epub"}


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
        if path.is_dir():
            if folder is not None:
                raise InvalidRequest("a question is about one folder at a time", hint="name one of them with @")
            folder = str(path)
        else:
            files.append({"path": str(path), "text": _text(path)})
    return Attached(tuple(files), folder)


def _text(path: Path) -> str:
    name = clean_line(path.name)
    suffix = path.suffix.lower()
    if suffix in IMAGES:
        raise InvalidRequest(f"{name} is an image, and no model here can see", hint="ask about text files")
    if suffix in DOCUMENTS:
        raise InvalidRequest(
            f"{name} has to be read by the daemon first", hint=f"F4, then add {clean_line(str(path.parent))}; then ask"
        )
    try:
        if path.stat().st_size > LARGEST:
            raise InvalidRequest(
                f"{name} is larger than {LARGEST // 1000} kB", hint="F4 watches its folder, then every passage is found"
            )
        data = path.read_bytes()
    except OSError as problem:
        raise LocalmindError(f"{name} cannot be read: {problem.strerror}") from problem
    if b"\0" in data[:4096]:
        raise InvalidRequest(f"{name} is not text")
    return data.decode("utf-8", "replace")
