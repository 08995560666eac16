"""Images that go with a question: what the first bytes say they are, how large they are, and whether they are whole.

Names are never believed, and nothing is decoded: the frame of the file is walked (chunks of PNG and WebP, segments of
JPEG, blocks of GIF), which tells size and end. Models get the bytes as they are, so no image library is needed. The
four kinds are those that every server with a model that sees takes.
"""

import base64
import binascii
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from localmind.clean import clean_line
from localmind.counted import size
from localmind.errors import InvalidRequest, LocalmindError

LARGEST = 20_000_000
"""Bytes of one image, which is what the large services take too."""
MOST = 20
MOST_TOGETHER = 40_000_000
"""Bytes of all images of a question; in base64 they stay below what a request's body may have."""
MOST_PIXELS = 100_000_000
"""A file of a few kilobytes can claim to be as large as a wall."""
MOST_STEPS = 200_000
"""Chunks, segments or blocks of one file: far more than LARGEST holds of honest ones."""
KINDS = "PNG, JPEG, WebP or GIF"
SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".gif", ".webp", ".bmp", ".heic", ".heif", ".avif", ".tif", ".tiff"}
"""Of files that are meant as images, whatever is in them."""


class Image(msgspec.Struct, frozen=True):
    """An image of a message, as it was given."""

    media_type: str
    data: bytes
    at: int = 0
    """Characters of the message's text that stand before it."""
    detail: str = ""
    """How closely a server shall look, in OpenAI's words; empty leaves it to the server."""

    @property
    def url(self) -> str:
        """The whole of it as a `data:` address."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"

    @property
    def sha256(self) -> str:
        import hashlib  # the terminal app, which never asks, is started a millisecond sooner

        return hashlib.sha256(self.data).hexdigest()


@dataclass(slots=True, frozen=True)
class Looks:
    """What can be told of an image without decoding it."""

    media_type: str
    width: int
    height: int
    size: int
    """Bytes."""

    @property
    def words(self) -> str:
        """`PNG 640×480, 12.3 kB`."""
        return f"{kind_of(self.media_type)} {self.width}×{self.height}, {size(self.size)}"


def kind_of(media_type: str) -> str:
    """`image/jpeg` for people."""
    return {"image/webp": "WebP"}.get(media_type, media_type.rpartition("/")[2].upper())


def looks(data: bytes, name: str = "the image") -> Looks:
    """Raises InvalidRequest for what is no whole image of the four kinds, or too large."""
    name = clean_line(name) or "the image"
    if not data:
        raise InvalidRequest(f"{name} is empty")
    _check_size(len(data), name)
    found = next((each for each in _KINDS if each[1](data)), None)
    if found is None:
        raise InvalidRequest(f"{name} is no {KINDS} image, by its first bytes", hint=_other(data))
    media_type, _, size_of = found
    try:
        width, height = size_of(data)
    except (struct.error, IndexError, ValueError):
        kind = kind_of(media_type)
        raise InvalidRequest(f"{name} is cut short or damaged: its {kind} does not come to an end") from None
    if not (width and height) or width * height > MOST_PIXELS:
        raise InvalidRequest(f"{name} claims {width}×{height} pixels; up to {MOST_PIXELS // 10**6} million are taken")
    return Looks(media_type, width, height, len(data))


def image_of(data: bytes, name: str = "the image", *, at: int = 0, detail: str = "") -> Image:
    """The same, as a part of a message."""
    return Image(looks(data, name).media_type, data, at, detail)


def from_base64(text: str, name: str = "the image", *, at: int = 0, detail: str = "") -> Image:
    """The same of base64, or of a `data:` address whatever type that claims. Raises InvalidRequest."""
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise InvalidRequest(f"{clean_line(name)} is no data: address in base64")
    elif "://" in text[:20]:
        raise InvalidRequest(
            f"{clean_line(name)} is an address elsewhere, and nothing is fetched from there",
            hint="send the image itself, as data:image/png;base64,…",
        )
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as problem:
        raise InvalidRequest(f"{clean_line(name)} is not in base64: {problem}") from problem
    return image_of(data, name, at=at, detail=detail)


def check_together(sizes: list[int]) -> None:
    """Whether so many images, so large, may go with one question. Raises InvalidRequest."""
    if len(sizes) > MOST:
        raise InvalidRequest(f"{len(sizes)} images are too many for one question", hint=f"at most {MOST}")
    if sum(sizes) > MOST_TOGETHER:
        raise InvalidRequest(
            f"the images have {sum(sizes) / 1e6:.1f} MB together, and {MOST_TOGETHER // 10**6} MB are the most",
            hint="send fewer, or smaller ones",
        )


def read_image(path: Path) -> tuple[bytes, Looks]:
    """A file as an image. Raises InvalidRequest with what is wrong, or LocalmindError. Blocking."""
    name = clean_line(path.name)
    try:
        if not path.is_file():  # a pipe or a device would never end
            raise InvalidRequest(f"{name} is no file")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        whole = path.stat().st_size
    except OSError as problem:
        raise LocalmindError(f"{name} cannot be read: {problem.strerror}") from problem
    _check_size(max(whole, len(data)), name)
    return data, looks(data, name)


def _check_size(length: int, name: str) -> None:
    if length > LARGEST:
        raise InvalidRequest(
            f"{name} has {length / 1e6:.1f} MB, and an image may have {LARGEST // 1_000_000} MB",
            hint="make it smaller: models scale images down to about 1500×1500 anyway",
        )


def _other(data: bytes) -> str:
    """What to do with a file that is something else."""
    if data[:5] == b"%PDF-":
        return "a PDF is read from a watched folder: localmind folders add DIR"
    if data[:2] == b"BM" or data[:4] in (b"II*\0", b"MM\0*") or data[4:8] == b"ftyp":
        return "convert it to PNG or JPEG first"
    return f"images are {KINDS}; a text goes along with -f, or in the app with @"


def _png(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR":
        raise ValueError
    width, height = struct.unpack_from(">II", data, 16)
    at = 8
    for _ in range(MOST_STEPS):
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if at > len(data):
            raise ValueError
        if kind == b"IEND":
            return width, height
    raise ValueError


def _jpeg(data: bytes) -> tuple[int, int]:
    at, width, height = 2, 0, 0
    for _ in range(MOST_STEPS):
        if data[at] != 0xFF:
            raise ValueError
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if length < 2:
            raise ValueError
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
        at += 2 + length
        if marker == 0xDA:  # what follows is the picture, up to the end mark
            if data.find(b"\xff\xd9", at) < 0:
                raise ValueError
            return width, height
    raise ValueError


def _gif(data: bytes) -> tuple[int, int]:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at, inside = 13 + _colours(flags), False
    for _ in range(MOST_STEPS):
        byte = data[at]
        if inside:  # a piece of a picture or an extension; one of length 0 is the last
            at, inside = at + 1 + byte, byte > 0
        elif byte == 0x2C:
            at, inside = at + 11 + _colours(data[at + 9]), True
        elif byte == 0x21:
            at, inside = at + 2, True
        elif byte == 0x3B:
            return width, height
        else:
            break
    raise ValueError


def _colours(flags: int) -> int:
    """Bytes of a GIF's table of colours."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(data: bytes) -> tuple[int, int]:
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data) or length < 22:
        raise ValueError
    match data[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
        case b"VP8L" if data[20] == 0x2F:
            (bits,) = struct.unpack_from("<I", data, 21)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 " if data[23:26] == b"\x9d\x01\x2a":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
    raise ValueError


_KINDS: tuple[tuple[str, Callable[[bytes], bool], Callable[[bytes], tuple[int, int]]], ...] = (
    ("image/png", lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    ("image/jpeg", lambda data: data.startswith(b"\xff\xd8\xff"), _jpeg),
    ("image/gif", lambda data: data.startswith((b"GIF87a", b"GIF89a")), _gif),
    ("image/webp", lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", _webp),
)
