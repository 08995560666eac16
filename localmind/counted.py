"""A number with what it counts, as people say it: "1 file", "2 files", "17,204 passages"."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """`many` where an s at the end is not enough."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
