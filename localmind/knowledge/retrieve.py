"""From a question to passages: asks the full-text index and the vectors, fuses, applies the floor, may rerank.

It reads SQLite through `Database` and vectors through `VectorIndex`; the arithmetic is in `search.py`.
Without an embedder, or when the vectors worker is down, it answers from keywords alone; a broken
cache never turns a search into an error. Every stage is kept in a `Trace`, so that it can be told where a
passage was lost.
"""

import asyncio
import contextlib
import logging
import math
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from struct import Struct

import msgspec

from localmind.errors import LocalmindError
from localmind.events import Passage
from localmind.knowledge import vector_rows
from localmind.knowledge.database import Database
from localmind.knowledge.embedder import Embedder
from localmind.knowledge.index import Index
from localmind.knowledge.passages import listed, passages
from localmind.knowledge.scope import Scope, condition
from localmind.knowledge.search import (
    Candidate,
    Floor,
    Place,
    Query,
    above,
    coverage,
    fuse,
    group,
    parse,
    rarity,
    reordered,
    unknown_share,
    whole_score,
    word_rarity,
)
from localmind.knowledge.tables import TOKENIZER
from localmind.knowledge.vector_index import VectorIndex
from localmind.knowledge.widen import widened

DEPTH_KEYWORD, DEPTH_DENSE = 200, 100
# Chunks whose neighbours, and of the keyword ranking whose similarities, are looked up.
DEPTH_NEIGHBOURS = 40
# Chunks that are judged and may be shown, and those of them whose words are looked at.
DEPTH_JUDGED, DEPTH_WORDS = 60, 30
# A part of a root with at most so many chunks is compared exactly (in Python: 25 µs each); of a bigger one the nearest
# of the whole root are filtered.
EXACT_CHUNKS, DEPTH_FILTERED = 1500, 1000
# Chunks that are compared with the question word by word.
DEPTH_WORD_BY_WORD = 40
# Passages that a reranker may put in another order.
RERANKED = 10
# Of a word in the path, against 1 for one in the text.
PATH_NAMED, PATH_UNNAMED = 4.0, 0.5
# Chunks of an index that hold a word are counted up to here: beyond that it says little anyway.
FREQUENCY_LIMIT = 5000

# Of the best similarity, what the best by keyword is taken to have until its vector is there.
EXPECTED = 0.9

Rerank = Callable[[str, Sequence[str]], Awaitable[Sequence[float]]]
"""(question, texts) → scores, higher is better."""

log = logging.getLogger("localmind.knowledge")


@dataclass(slots=True)
class Trace:
    """What each stage of one search found: ids of chunks, best first, and the milliseconds it took."""

    query: Query
    keyword: list[int] = field(default_factory=list)
    dense: list[int] = field(default_factory=list)
    fused: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    evidence: float = 0.0
    """Of the best chunk; the floor is applied to it."""
    floor: float = 0.0
    unranked: list[int] = field(default_factory=list)
    """The passages in the order before they were reranked, each by its best chunk."""
    reranked: bool = False
    passages: list[Passage] = field(default_factory=list)
    ms: dict[str, float] = field(default_factory=dict)


class Retriever:
    """Searches an index. `floor` decides when nothing is good enough; `rerank` may reorder the best."""

    def __init__(self, database: Database, vectors: VectorIndex, floor: Floor | None = None) -> None:
        self._database = database
        self._vectors = vectors
        self.floor = floor or Floor()
        self.rerank: Rerank | None = None

    async def search(self, text: str, scope: Scope, limit: int, embedder: Embedder | None) -> list[Passage]:
        """At most `limit` passages, best first, numbered from 1; empty when nothing passes the floor."""
        return (await self.trace(text, scope, limit, embedder)).passages

    async def trace(self, text: str, scope: Scope, limit: int, embedder: Embedder | None) -> Trace:
        """The same with what every stage found."""
        clock = _Stopwatch()
        trace = Trace(parse(text), ms=clock.ms)
        # Side by side: the workers compute while SQLite is read.
        (frequency, keyword), (vector, dense) = await asyncio.gather(
            self._by_keywords(trace.query, scope, clock.beside()),
            self._by_meaning(text, scope, embedder, clock.beside()),
        )
        clock.skip()
        found = await self._database.read(gather, keyword, dense, vector, self._vectors.model, scope)
        similar = found.placed(expected(keyword, found.similarities))
        whole = whole_score(frequency, await self._database.read(total_chunks))
        fused = fuse(found.placed(keyword), similar, trace.query.keyword_weight, whole)
        scores = {found.at[place]: score for place, score in fused.items() if place in found.at}
        if trace.query.required:
            scores = {number: score for number, score in scores.items() if number in keyword}
        clock.lap("fuse")
        order = await self._by_words(trace.query, frequency, scores, embedder if vector is not None else None)
        clock.lap("words")
        candidates = await self._database.read(judge, trace.query, frequency, order[:DEPTH_JUDGED], found, self.floor)
        kept = above(candidates, self.floor)
        clock.lap("judge")
        groups = group(kept, max(limit, RERANKED) if self.rerank else limit)
        groups = await self._database.read(widened, groups, found.similarities)
        trace.keyword, trace.dense = list(keyword), [number for number, _ in dense]
        trace.fused, trace.shown = order, [one.chunk_id for one in kept]
        trace.evidence = max((one.evidence for one in candidates), default=0.0)
        trace.floor = self.floor.answer
        trace.passages = await self._database.read(passages, groups)
        trace.unranked = [one.chunk_id for one in trace.passages]
        clock.lap("read")
        if self.rerank is not None and len(trace.passages) > 1:
            trace.passages, trace.reranked = await self._reranked(self.rerank, text, trace.passages)
            clock.lap("rerank")
        trace.passages = trace.passages[:limit]
        return trace

    async def _by_keywords(
        self, query: Query, scope: Scope, clock: "_Stopwatch"
    ) -> tuple[dict[str, int], dict[int, float]]:
        frequency = await self._database.read(frequencies, query)
        found = await self._database.read(keyword_scores, query, frequency, scope, DEPTH_KEYWORD)
        clock.lap("keyword")
        return frequency, found

    async def _by_meaning(
        self, text: str, scope: Scope, embedder: Embedder | None, clock: "_Stopwatch"
    ) -> tuple[bytes | None, list[tuple[int, float]]]:
        vector = await self._embed(text, embedder)
        clock.lap("embed")
        dense = await self._dense(vector, scope) if vector is not None else []
        clock.lap("dense")
        return vector, dense

    async def _by_words(
        self, query: Query, frequency: dict[str, int], scores: dict[int, float], embedder: Embedder | None
    ) -> list[int]:
        """The chunks, best first, after the best were compared with the question word by word."""
        near: dict[int, float] = {}
        if embedder is not None and query.word_weight > 0:
            best = list(scores)[:DEPTH_WORD_BY_WORD]
            sketches = await self._database.read(vector_rows.sketches, best, self._vectors.model)
            total = await self._database.read(total_chunks)
            weights = word_rarity(rarity(frequency, total))
            try:
                near = dict(
                    zip(sketches, await embedder.near(query.text, weights, list(sketches.values())), strict=True)
                )
            except LocalmindError as error:
                log.warning("passages keep the order of their vectors: %s", error)
        return reordered(scores, near, query.word_weight, DEPTH_WORD_BY_WORD)

    async def _reranked(self, rerank: Rerank, text: str, found: list[Passage]) -> tuple[list[Passage], bool]:
        first, rest = found[:RERANKED], found[RERANKED:]
        try:
            scores = await rerank(text, [f"{one.heading}\n{one.text}" if one.heading else one.text for one in first])
        except LocalmindError as error:
            log.warning("passages keep their order, the reranker failed: %s", error)
            return found, False
        best = [one for _, one in sorted(zip(scores, first, strict=True), key=lambda pair: -pair[0])]
        return [msgspec.structs.replace(one, number=number) for number, one in enumerate([*best, *rest], 1)], True

    async def _embed(self, text: str, embedder: Embedder | None) -> bytes | None:
        if embedder is None:
            return None
        try:
            return (await embedder.embed([text], "query"))[0]
        except LocalmindError as error:
            log.warning("searching by keywords only: %s", error)
            return None

    async def _dense(self, vector: bytes, scope: Scope) -> list[tuple[int, float]]:
        if scope.narrow:
            exact = await self._database.read(exact_scores, vector, scope, self._vectors.model)
            if exact is not None:
                return exact[:DEPTH_DENSE]
        found: list[tuple[int, float]] = []
        for root_id in scope.roots:
            found += await self._vectors.query(root_id, vector, DEPTH_FILTERED if scope.narrow else DEPTH_DENSE)
        if scope.narrow:
            inside = await self._database.read(ids_inside, [number for number, _ in found], scope)
            found = [pair for pair in found if pair[0] in inside]
        return sorted(found, key=lambda pair: -pair[1])[:DEPTH_DENSE]


class _Stopwatch:
    """Milliseconds between laps, by name."""

    def __init__(self, ms: dict[str, float] | None = None) -> None:
        self.ms: dict[str, float] = {} if ms is None else ms
        self._last = time.perf_counter()

    def beside(self) -> "_Stopwatch":
        """One that starts now and writes down its laps with those of this one."""
        return _Stopwatch(self.ms)

    def skip(self) -> None:
        """Start a lap; the time before it is counted elsewhere."""
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.ms[name] = round(1000 * (now - self._last), 2)
        self._last = now


@dataclass(slots=True)
class Found:
    """What SQLite knows about the chunks that a query may be about, and their similarities to it."""

    places: dict[int, Place] = field(default_factory=dict)
    pages: dict[int, int | None] = field(default_factory=dict)
    at: dict[Place, int] = field(default_factory=dict)
    similarities: dict[int, float] = field(default_factory=dict)

    def add(self, row: "tuple[int, int, int, int | None]") -> None:
        """(id, file id, ordinal, page)"""
        number, file_id, ordinal, page = row
        self.places[number], self.pages[number], self.at[file_id, ordinal] = (file_id, ordinal), page, number

    def placed(self, scores: dict[int, float]) -> dict[Place, float]:
        """Scores by place. Chroma may still name a chunk that was deleted a moment ago: it has none."""
        return {self.places[number]: score for number, score in scores.items() if number in self.places}


def total_chunks(index: Index) -> int:
    """About how many chunks there are, without counting them."""
    # Each alone is one step in the table; both in one SELECT would go through all of it (27 ms for 100,000).
    row = index.db.execute("SELECT (SELECT max(id) FROM chunk) - (SELECT min(id) FROM chunk) + 1 AS n").fetchone()
    return int(row["n"] or 0)


def frequencies(index: Index, query: Query) -> dict[str, int]:
    """How many chunks of the index hold each term, up to FREQUENCY_LIMIT."""
    count = "SELECT count(*) AS n FROM (SELECT 1 FROM chunk_fts WHERE chunk_fts MATCH ? LIMIT ?)"
    return {term: index.db.execute(count, (term, FREQUENCY_LIMIT)).fetchone()["n"] for term in query.terms}


def keyword_scores(index: Index, query: Query, frequency: dict[str, int], scope: Scope, limit: int) -> dict[int, float]:
    """Chunk → BM25, best first. A word in a heading or path says less than one in the text (measured), unless the
    query names a path. Words that are everywhere only cost time where there are rarer ones."""
    match = query.matching([term for term in query.terms if frequency[term] < FREQUENCY_LIMIT])
    if match is None or not scope.roots:
        return {}
    path = PATH_NAMED if query.names_path else PATH_UNNAMED
    where, values = "", list[object]()
    if scope.narrow or len(scope.roots) < index.db.execute("SELECT count(*) AS n FROM root").fetchone()["n"]:
        inside, values = condition(index, scope)
        # CROSS: SQLite would otherwise go through all chunks of the folder and ask the full-text index for each.
        where = f"AND {inside}"
    joined = " CROSS JOIN chunk ON chunk.id = chunk_fts.rowid" if where else ""
    rows = index.db.execute(
        "SELECT chunk_fts.rowid AS id, bm25(chunk_fts, 1.0, 0.5, ?, 1.0) AS score"
        f" FROM chunk_fts{joined} WHERE chunk_fts MATCH ? {where} ORDER BY score, chunk_fts.rowid LIMIT ?",
        (path, match, *values, limit),
    )
    return {row["id"]: -row["score"] for row in rows}


def ids_inside(index: Index, ids: Sequence[int], scope: Scope) -> set[int]:
    """Those of the ids that lie within the scope."""
    where, values = condition(index, scope)
    return {
        row["id"] for row in index.db.execute(f"SELECT id FROM chunk WHERE id IN ({listed(ids)}) AND {where}", values)
    }


def exact_scores(index: Index, vector: bytes, scope: Scope, model: str | None) -> list[tuple[int, float]] | None:
    """(id, similarity) of all chunks of a narrow scope, best first; None if they are too many."""
    where, values = condition(index, scope)
    rows = index.db.execute(f"SELECT id FROM chunk WHERE {where} LIMIT {EXACT_CHUNKS + 1}", values).fetchall()
    if len(rows) > EXACT_CHUNKS:
        return None
    scores = _similarities(index, [row["id"] for row in rows], vector, model)
    return sorted(scores.items(), key=lambda pair: -pair[1])


def gather(
    index: Index,
    keyword: dict[int, float],
    dense: Sequence[tuple[int, float]],
    vector: bytes | None,
    model: str | None,
    scope: Scope,
) -> Found:
    """Places of all chunks found and of the best ones' neighbours, and the similarities that Chroma did not say."""
    found = Found(similarities=dict(dense))
    ids = [*keyword, *(number for number, _ in dense if number not in keyword)]
    for row in index.db.execute(f"SELECT id, file_id, ordinal, page FROM chunk WHERE id IN ({listed(ids)})"):
        found.add(tuple(row))
    best = [*list(keyword)[:DEPTH_NEIGHBOURS], *(number for number, _ in dense[:DEPTH_NEIGHBOURS])]
    places = [found.places[number] for number in best if number in found.places]
    beside = {(file_id, at + step) for file_id, at in places for step in (-1, 1)}
    if missing := beside - set(found.at):
        wanted = ", ".join(f"({int(file_id)}, {int(ordinal)})" for file_id, ordinal in missing)
        where, values = condition(index, scope)
        rows = index.db.execute(
            f"WITH beside (file_id, ordinal) AS (VALUES {wanted}) SELECT chunk.id, chunk.file_id, chunk.ordinal, page"
            " FROM beside CROSS JOIN chunk ON chunk.file_id = beside.file_id AND chunk.ordinal = beside.ordinal"
            f" WHERE {where}",
            values,
        )
        for row in rows:
            found.add(tuple(row))
    if vector is not None:
        wanted_ids = {
            *(found.at[place] for place in beside if place in found.at),
            *list(keyword)[: 2 * DEPTH_NEIGHBOURS],
        }
        found.similarities |= _similarities(index, sorted(wanted_ids - set(found.similarities)), vector, model)
    return found


def _similarities(index: Index, ids: Sequence[int], vector: bytes, model: str | None) -> dict[int, float]:
    # Vectors are of unit length. This is twice as fast as adding up products.
    numbers = Struct(f"<{len(vector) // 4}f")
    wanted = numbers.unpack(vector)
    rows = index.db.execute(
        "SELECT chunk.id, data FROM chunk JOIN vector ON vector.text_hash = chunk.text_hash AND model = ?"
        f" WHERE chunk.id IN ({listed(ids)}) AND length(data) = ?",
        (model, numbers.size),
    )
    return {row["id"]: 1 - math.dist(wanted, numbers.unpack(row["data"])) ** 2 / 2 for row in rows}


def expected(keyword: dict[int, float], known: dict[int, float]) -> dict[int, float]:
    """The similarities, and for the best by keyword that have no vector yet what they may come to: a file that
    was saved a moment ago must not rank below all others."""
    best_known, best_keyword = max(known.values(), default=0.0), max(keyword.values(), default=0.0)
    waiting = [number for number in list(keyword)[:DEPTH_NEIGHBOURS] if number not in known]
    return known | {number: EXPECTED * best_known * keyword[number] / best_keyword for number in waiting}


def words_held(index: Index, terms: Sequence[str], ids: Sequence[int]) -> dict[str, set[int]]:
    """Which of the chunks hold each term: asked of a small full-text table in memory, since the big one goes through
    all chunks that hold a word to find these (20 ms of a search among 100,000 chunks)."""
    columns = "text, heading, path, extra"
    with contextlib.closing(sqlite3.connect(":memory:")) as memory:
        memory.execute(f"CREATE VIRTUAL TABLE few USING fts5 ({columns}, tokenize = '{TOKENIZER}', detail = full)")
        rows = index.db.execute(f"SELECT id, {columns} FROM chunk WHERE id IN ({listed(ids)})")
        memory.executemany(f"INSERT INTO few (rowid, {columns}) VALUES (?, ?, ?, ?, ?)", map(tuple, rows))
        return {
            term: {row[0] for row in memory.execute("SELECT rowid FROM few WHERE few MATCH ?", (term,))}
            for term in terms
        }


def judge(
    index: Index, query: Query, frequency: dict[str, int], order: Sequence[int], found: Found, floor: Floor
) -> list[Candidate]:
    """The chunks in their order, each with the evidence that it answers: similarity, and which words it holds."""
    matching = words_held(index, [term for term in query.terms if frequency[term]], order[:DEPTH_WORDS])
    total = total_chunks(index)
    shares = coverage(matching, frequency, total)
    unknown = unknown_share(frequency, total)
    exact = {number for term in query.exact for number in matching.get(term, ())}
    judged = []
    for number in order:
        similarity, share = found.similarities.get(number), shares.get(number, 0.0)
        weight = floor.evidence(similarity, share, unknown, exact=number in exact)
        judged.append(Candidate(number, *found.places[number], found.pages[number], similarity, share, weight))
    return judged
