"""From the chunks that a search chose to the passages that are shown.

Neighbours are joined to the exact text of the file. It chooses nothing and scores nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localmind.events import Passage
from localmind.knowledge.index import Index
from localmind.knowledge.search import Candidate
from localmind.speech import moment


@dataclass(slots=True, frozen=True)
class Row:
    """A chunk as it is shown."""

    id: int
    path: str
    heading: str | None
    text: str
    line_start: int
    line_end: int
    page: int | None


def passages(index: Index, groups: Sequence[Sequence[Candidate]]) -> list[Passage]:
    """One passage a group, numbered from 1; a group whose chunks are gone meanwhile is left out."""
    found: list[Passage] = []
    for run in groups:
        rows = _rows(index, [one.chunk_id for one in run])
        if rows:
            found.append(_passage(len(found) + 1, run, rows))
    return found


def single(index: Index, ids: Sequence[int]) -> list[Passage]:
    """Chunks one by one in the order asked for, unjoined: what one stage of a search found."""
    rows = {row.id: row for row in _rows(index, ids)}
    return [
        Passage(number, row.path, row.line_start, row.line_end, row.page, row.heading, row.text, 0.0, row.id)
        for number, row in enumerate((rows[one] for one in ids if one in rows), 1)
    ]


def listed(ids: Sequence[int]) -> str:
    """Integers for IN (…); they are ours, and there may be more than SQLite takes as parameters."""
    return ", ".join(str(int(number)) for number in ids)


def _rows(index: Index, ids: Sequence[int]) -> list[Row]:
    rows = index.db.execute(
        "SELECT chunk.id, root.path AS root, chunk.path AS path, heading, text, line_start, line_end, page"
        f" FROM chunk JOIN root ON root.id = chunk.root_id WHERE chunk.id IN ({listed(ids)}) ORDER BY ordinal",
    )
    return [
        Row(row["id"], str(Path(row["root"], row["path"])), row["heading"], row["text"], row["line_start"],
            row["line_end"], row["page"])
        for row in rows
    ]  # fmt: skip


def _passage(number: int, run: Sequence[Candidate], rows: Sequence[Row]) -> Passage:
    return Passage(
        number=number,
        path=rows[0].path,
        line_start=rows[0].line_start,
        line_end=rows[-1].line_end,
        page=rows[0].page,
        heading=rows[0].heading,
        text=_shown(rows),
        score=round(max(one.similarity or 0.0 for one in run), 4),
        chunk_id=run[0].chunk_id,
    )


def _shown(rows: Sequence[Row]) -> str:
    text = "".join(row.text for row in rows).strip("\n")
    # In a recording a line is a second, and most of them begin nothing.
    return text if moment(rows[0].path, 1) is None else re.sub(r"\n\s*\n", "\n", text)
