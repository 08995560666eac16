"""Numbers as people say them, for every front end: "1 file", "17,204 passages", "98.4 MB"."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """`many` where an s at the end is not enough."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(count: float) -> str:
    """Bytes: 98.4 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
