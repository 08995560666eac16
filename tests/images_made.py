"""Whole little images of the four kinds, made without any library."""

import struct
import zlib
from base64 import b64decode


def png(width: int = 2, height: int = 1, *, noise: bytes = b"") -> bytes:
    """Of one colour; `noise` goes into a comment, so that two are not the same."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x7f" * width) * height)
    chunks = [(b"IHDR", head), *([(b"tEXt", b"Comment\0" + noise)] if noise else []), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gif() -> bytes:
    """3×2, two colours, with a comment before the picture."""
    head = b"GIF89a" + struct.pack("<HHBBB", 3, 2, 0x80, 0, 0) + bytes(6)
    comment = b"\x21\xfe\x02hi\0"
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, 3, 2, 0) + b"\x02\x03\x84\x8f\x05\0"
    return head + comment + picture + b"\x3b"


def jpeg(width: int = 5, height: int = 4) -> bytes:
    """The frame of one, as cameras write it; nobody here decodes what is in it."""
    jfif = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\0"
    scan = b"\xff\xda" + struct.pack(">H", 8) + b"\x01\x01\0\0\x3f\0" + b"\x12\xff\x00\x34"
    return b"\xff\xd8" + jfif + frame + scan + b"\xff\xd9"


def webp() -> bytes:
    """1×1, lossless."""
    return b64decode("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")


def webp_extended(width: int, height: int) -> bytes:
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + (width - 1).to_bytes(3, "little")
    body += (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body)) + body
