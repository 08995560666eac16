"""Images that go with the next question: files that are read again when it is sent, or images that the daemon has."""

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from localmind.clean import clean_line
from localmind.errors import InvalidRequest
from localmind.images import MOST, SUFFIXES, check_together, read_image
from localmind_tui.remembered import Picture


def picture_at(path: Path) -> Picture:
    """A file as a picture. Raises LocalmindError with what is wrong with it. Blocking."""
    looks = read_image(path)[1]
    return Picture(path.name, looks.media_type, looks.width, looks.height, looks.size, path=str(path))


def is_picture(path: Path) -> bool:
    """Whether a file is meant as an image. Its name decides; what it is comes out when it is read."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def with_picture(pictures: Iterable[Picture], new: Picture) -> tuple[Picture, ...]:
    """With one more, at the end; the same file is not there twice. Raises InvalidRequest when there are too many."""
    others = [each for each in pictures if not new.path or each.path != new.path]
    if len(others) >= MOST:
        raise InvalidRequest(f"a question takes {MOST} images at most", hint="Del on one of them removes it")
    return (*others, new)


def for_daemon(pictures: Iterable[Picture]) -> list[dict[str, str]]:
    """As the native API wants them. Raises LocalmindError: a file may have changed or gone since. Blocking."""
    sent: list[dict[str, str]] = []
    sizes: list[int] = []
    for each in pictures:
        if each.sha256:
            sent.append({"name": each.name, "sha256": each.sha256})
            sizes.append(each.size)
        else:
            data = read_image(Path(each.path))[0]
            sent.append({"name": each.name, "data": base64.b64encode(data).decode()})
            sizes.append(len(data))
    check_together(sizes)
    return sent


def blindness(listed: dict[str, Any], model: str | None) -> str | None:
    """What to say when the model that would answer is not known to see; None when it does."""
    remote = listed.get("remote") or ()
    seeing = [str(each["name"]) for each in remote if each.get("sees")]
    if model in seeing:
        return None
    who = clean_line(model) if model else "The model of this machine"
    if seeing:
        return f"{who} is not known to see images. {clean_line(seeing[0])} is: F3 chooses it."
    return f"{who} is not known to see images. A server of yours that does can be named in settings.toml: [remotes]."
