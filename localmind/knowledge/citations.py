"""Numbers passages and writes them as a model reads them.

The model sees `[1] file, lines 3-9` above each passage and is asked to cite like that. What comes back is
checked where it streams, in assistant/answer.py.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from localmind.events import Passage
from localmind.speech import moment

_BLANK_LINES = re.compile(r"\n\s*\n\s*(?=\n)")


def numbered(passages: Iterable[Passage]) -> tuple[Passage, ...]:
    """The passages with numbers 1, 2, … in their order."""
    return tuple(msgspec.structs.replace(passage, number=number) for number, passage in enumerate(passages, 1))


def for_prompt(passages: Sequence[Passage]) -> str:
    """The passages as the model reads them. Only the file's name is shown: directories cost tokens and say little.

    A passage is data: a line in it that looks like one of our own headers is indented, so that a
    document cannot pose as another source.
    """
    blocks = []
    for passage in passages:
        where = f"{Path(passage.path).name}, {_where(passage)}"
        under = f" ({passage.heading})" if passage.heading else ""
        body = re.sub(r"^(?=\[\d{1,3}\])", " ", _BLANK_LINES.sub("\n", passage.text.strip()), flags=re.M)
        blocks.append(f"[{passage.number}] {where}{under}\n{body}")
    return "\n\n".join(blocks)


def _where(passage: Passage) -> str:
    if passage.page is not None:
        return f"page {passage.page}"
    if (at := moment(passage.path, passage.line_start)) is not None:
        return f"at {at}"
    return f"lines {passage.line_start}-{passage.line_end}"
