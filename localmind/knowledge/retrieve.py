"""From a question to passages: asks the full-text index and the vectors, fuses, applies the floor.

It reads SQLite through `Database` and vectors through `VectorIndex`; the arithmetic is in `search.py`.
Without an embedder, or when the vectors worker is down, it answers from keywords alone; a broken
cache never turns a search into an error.
"""

import logging
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul
from pathlib import Path

from localmind.errors import LocalmindError
from localmind.events import Passage
from localmind.knowledge.database import Database
from localmind.knowledge.embedder import Embedder
from localmind.knowledge.index import Index
from localmind.knowledge.search import Candidate, Floor, Query, above, coverage, fuse, group, parse
from localmind.knowledge.vector_index import VectorIndex

DEPTH = 50
# When only a part of a root is searched, neighbours are filtered afterwards, so more are asked for.
DEPTH_FILTERED = 400
# Weight of a word in the path, against 1 for one in the text.
PATH_NAMED, PATH_UNNAMED = 4.0, 0.5

log = logging.getLogger("localmind.knowledge")


@dataclass(slots=True, frozen=True)
class Scope:
    """What is searched: roots, and of the one root that `below` is about only that directory or file."""

    roots: tuple[int, ...]
    below: str = ""


@dataclass(slots=True, frozen=True)
class Row:
    """A chunk as it is shown."""

    id: int
    file_id: int
    ordinal: int
    path: str
    heading: str | None
    text: str
    line_start: int
    line_end: int
    page: int | None


class Retriever:
    """Searches an index. `floor` decides when nothing is good enough."""

    def __init__(self, database: Database, vectors: VectorIndex, floor: Floor | None = None) -> None:
        self._database = database
        self._vectors = vectors
        self.floor = floor or Floor()

    async def search(self, text: str, scope: Scope, limit: int, embedder: Embedder | None) -> list[Passage]:
        """At most `limit` passages, best first, numbered from 1; empty when nothing passes the floor."""
        query = parse(text)
        vector = await self._embed(text, embedder)
        keyword = await self._database.run(keyword_ids, query, scope, DEPTH)
        dense = await self._dense(vector, scope) if vector is not None else []
        candidates = await self._judge(query, scope, keyword, dense, vector)
        if query.required:
            candidates = [one for one in candidates if one.chunk_id in set(keyword)]
        return await self._database.run(passages, group(above(candidates, self.floor), limit))

    async def _embed(self, text: str, embedder: Embedder | None) -> bytes | None:
        if embedder is None:
            return None
        try:
            return (await embedder.embed([text], "query"))[0]
        except LocalmindError as error:
            log.warning("searching by keywords only: %s", error)
            return None

    async def _dense(self, vector: bytes, scope: Scope) -> list[tuple[int, float]]:
        found: list[tuple[int, float]] = []
        for root_id in scope.roots:
            found += await self._vectors.query(root_id, vector, DEPTH_FILTERED if scope.below else DEPTH)
        if scope.below:
            inside = await self._database.run(ids_below, [number for number, _ in found], scope)
            found = [pair for pair in found if pair[0] in inside]
        return sorted(found, key=lambda pair: -pair[1])[:DEPTH]

    async def _judge(
        self, query: Query, scope: Scope, keyword: list[int], dense: list[tuple[int, float]], vector: bytes | None
    ) -> list[Candidate]:
        fused = fuse(keyword, [number for number, _ in dense], query.keyword_weight)
        evidence = await self._database.run(gather, query, scope, list(fused), self._vectors.model)
        similarities: dict[int, float] = dict(dense)
        if vector is not None:
            wanted = array("f", vector)
            for number, data in evidence.vectors.items():
                if number not in similarities:
                    similarities[number] = sum(map(mul, wanted, array("f", data)))
        shares = coverage(evidence.matching, evidence.frequency, evidence.total)
        exact = {number for term in query.exact for number in evidence.matching.get(term, ())}
        judged = []
        for number in fused:
            # Chroma may still name a chunk that was deleted a moment ago.
            if number in evidence.places:
                similarity, share = similarities.get(number), shares.get(number, 0.0)
                weight = self.floor.evidence(similarity, share, exact=number in exact)
                judged.append(Candidate(number, *evidence.places[number], similarity, share, weight))
        return judged


@dataclass(slots=True, frozen=True)
class Evidence:
    """What SQLite knows about the candidates of one query."""

    places: dict[int, tuple[int, int, int | None]]
    """id → (file id, ordinal, page)"""
    vectors: dict[int, bytes]
    matching: dict[str, set[int]]
    frequency: dict[str, int]
    total: int


def _within(scope: Scope) -> tuple[str, list[object]]:
    marks = ", ".join("?" for _ in scope.roots)
    condition, values = f"chunk.root_id IN ({marks})", list[object](scope.roots)
    if scope.below:
        condition += " AND (chunk.path = ? OR (chunk.path >= ? AND chunk.path < ?))"
        values += [scope.below, scope.below + "/", scope.below + "0"]
    return condition, values


def keyword_ids(index: Index, query: Query, scope: Scope, limit: int) -> list[int]:
    """Chunks by BM25, best first. A word in a heading or path says less than one in the text (measured), unless
    the query names a path."""
    if query.match is None or not scope.roots:
        return []
    condition, values = _within(scope)
    rows = index.db.execute(
        "SELECT chunk_fts.rowid AS id FROM chunk_fts JOIN chunk ON chunk.id = chunk_fts.rowid"
        f" WHERE chunk_fts MATCH ? AND {condition} ORDER BY bm25(chunk_fts, 1.0, 0.5, ?, 1.0), chunk.id LIMIT ?",
        (query.match, *values, PATH_NAMED if query.names_path else PATH_UNNAMED, limit),
    )
    return [row["id"] for row in rows]


def ids_below(index: Index, ids: Sequence[int], scope: Scope) -> set[int]:
    """Those of the ids that lie within the scope."""
    condition, values = _within(scope)
    rows = index.db.execute(f"SELECT id FROM chunk WHERE id IN ({_list(ids)}) AND {condition}", values)
    return {row["id"] for row in rows}


def gather(index: Index, query: Query, scope: Scope, ids: Sequence[int], model: str | None) -> Evidence:
    """Places and vectors of the candidates, and which of the query's words they hold."""
    listed = _list(ids)
    places = {
        row["id"]: (row["file_id"], row["ordinal"], row["page"])
        for row in index.db.execute(f"SELECT id, file_id, ordinal, page FROM chunk WHERE id IN ({listed})")
    }
    vectors = {
        row["id"]: row["data"]
        for row in index.db.execute(
            "SELECT chunk.id, data FROM chunk JOIN vector ON vector.text_hash = chunk.text_hash AND model = ?"
            f" WHERE chunk.id IN ({listed})",
            (model,),
        )
    }
    matching: dict[str, set[int]] = {}
    frequency: dict[str, int] = {}
    for term in query.terms:
        rows = index.db.execute(f"SELECT rowid FROM chunk_fts WHERE chunk_fts MATCH ? AND rowid IN ({listed})", (term,))
        matching[term] = {row["rowid"] for row in rows}
        frequency[term] = index.db.execute(
            "SELECT count(*) AS n FROM chunk_fts WHERE chunk_fts MATCH ?", (term,)
        ).fetchone()["n"]
    total = index.db.execute("SELECT count(*) AS n FROM chunk").fetchone()["n"]
    return Evidence(places, vectors, matching, frequency, total)


def passages(index: Index, groups: Sequence[Sequence[Candidate]]) -> list[Passage]:
    """The groups as passages: neighbours joined to the exact text of the file."""
    return [_passage(number, run, rows) for number, run in enumerate(groups, 1) if (rows := _rows(index, run))]


def _rows(index: Index, run: Sequence[Candidate]) -> list[Row]:
    rows = index.db.execute(
        "SELECT chunk.id, file_id, ordinal, root.path AS root, chunk.path AS path, heading, text, line_start,"
        " line_end, page FROM chunk JOIN root ON root.id = chunk.root_id"
        f" WHERE chunk.id IN ({_list([one.chunk_id for one in run])})"
        " ORDER BY ordinal",
    )
    return [
        Row(row["id"], row["file_id"], row["ordinal"], str(Path(row["root"], row["path"])), row["heading"], row["text"],
            row["line_start"], row["line_end"], row["page"])
        for row in rows
    ]  # fmt: skip


def _passage(number: int, run: Sequence[Candidate], rows: Sequence[Row]) -> Passage:
    best = run[0]
    return Passage(
        number=number,
        path=rows[0].path,
        line_start=rows[0].line_start,
        line_end=rows[-1].line_end,
        page=rows[0].page,
        heading=rows[0].heading,
        text="".join(row.text for row in rows).strip("\n"),
        score=round(max(one.similarity or 0.0 for one in run), 4),
        chunk_id=best.chunk_id,
    )


def _list(ids: Sequence[int]) -> str:
    """Integers for IN (…); they are ours, and there may be more than SQLite takes as parameters."""
    return ", ".join(str(int(number)) for number in ids)
