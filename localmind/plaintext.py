"""Bytes as text. One rule for what is watched, attached and piped in: the same bytes are the same words everywhere."""

import codecs

TELLING = 128
"""Bytes; by fewer, of which most are ASCII, no encoding can be told from another."""
# Characters below the blank that text does not hold; form feeds and escape sequences are common in it.
_CONTROLS = bytes(set(range(32)) - {9, 10, 12, 13, 27})


def looks_binary(data: bytes) -> bool:
    """Whether the first 8 KiB hold NUL bytes or mostly control characters, and no UTF-16 mark."""
    head = data[:8192]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return False
    if b"\0" in head:
        return True
    controls = len(head) - len(head.translate(None, _CONTROLS))
    return controls * 20 > len(head)


def decode(data: bytes) -> str:
    """Text of unknown encoding: a byte order mark decides, else UTF-8, else the likeliest legacy encoding.

    Line ends become "\\n" one for one, so lines keep their numbers; NUL is dropped, SQLite ends a text there.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16", "replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode(_legacy_encoding(data), "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _legacy_encoding(data: bytes) -> str:
    """The likeliest encoding by the first bytes that are not ASCII; Windows-1252 when nothing speaks for another."""
    first = next((index for index, byte in enumerate(data) if byte > 127), 0)
    sample = data[max(0, first - 2048) : first + 8192]
    if len(sample) < TELLING and sum(byte > 127 for byte in sample) * 2 < len(sample):
        return "cp1252"  # `Grüße` by itself is guessed to be Arabic
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    return best.encoding if best is not None and best.encoding != "ascii" else "cp1252"
