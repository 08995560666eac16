"""Numbers passages for a prompt and checks the numbers that come back.

The model sees `[1] path, lines 3-9` above each passage and is asked to cite like that. Afterwards a number
that names no passage is taken out of the text, and the sources shown are those that were cited. It judges no
sentence: whether the passage supports the claim is for the reader, who has path and line.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from localmind.events import Passage

_CITED = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_BLANK_LINES = re.compile(r"\n\s*\n\s*(?=\n)")


def numbered(passages: Iterable[Passage]) -> tuple[Passage, ...]:
    """The passages with numbers 1, 2, … in their order."""
    return tuple(msgspec.structs.replace(passage, number=number) for number, passage in enumerate(passages, 1))


def place(passage: Passage, *, home: Path | None = None) -> str:
    """`path:3-9`, `path:3` for one line, `path p.2` for paged documents; below `home` as `~/…`."""
    path = passage.path
    if home is not None and Path(path).is_relative_to(home):
        path = f"~/{Path(path).relative_to(home)}"
    if passage.page is not None:
        return f"{path} p.{passage.page}"
    if passage.line_start == passage.line_end:
        return f"{path}:{passage.line_start}"
    return f"{path}:{passage.line_start}-{passage.line_end}"


def for_prompt(passages: Sequence[Passage]) -> str:
    """The passages as the model reads them. Only the file's name is shown: directories cost tokens and say little.

    A passage is data: a line in it that looks like one of our own headers is indented, so that a
    document cannot pose as another source.
    """
    blocks = []
    for passage in passages:
        where = f"{Path(passage.path).name}, " + (
            f"page {passage.page}" if passage.page is not None else f"lines {passage.line_start}-{passage.line_end}"
        )
        under = f" ({passage.heading})" if passage.heading else ""
        body = re.sub(r"^(?=\[\d{1,3}\])", " ", _BLANK_LINES.sub("\n", passage.text.strip()), flags=re.M)
        blocks.append(f"[{passage.number}] {where}{under}\n{body}")
    return "\n\n".join(blocks)


def cited(text: str) -> list[int]:
    """Numbers cited in an answer, each once, in order of appearance."""
    numbers = [int(number) for group in _CITED.findall(text) for number in re.split(r"\s*,\s*", group)]
    return list(dict.fromkeys(numbers))


def check(text: str, passages: Sequence[Passage]) -> tuple[str, tuple[Passage, ...]]:
    """(text without numbers that name no passage, the passages cited in order of their numbers)."""
    known = {passage.number: passage for passage in passages}

    def keep(match: re.Match[str]) -> str:
        numbers = [number for number in re.split(r"\s*,\s*", match[1]) if int(number) in known]
        return f"[{', '.join(numbers)}]" if numbers else ""

    used = set(cited(text))
    cleaned = re.sub(r"[ \t]+([.,;:!?])", r"\1", _CITED.sub(keep, text)) if used - known.keys() else text
    return cleaned, tuple(known[number] for number in sorted(used & known.keys()))
