"""From a question to passages: asks the full-text index and the vectors, has the finds ranked, applies the floor.

It reads SQLite through `Database` and vectors through `VectorIndex`; the ranking itself is in `ranking.py`, and
runs in the embed worker.
Without an embedder, or when the vectors worker is down, it answers from keywords alone; a broken
cache never turns a search into an error. Every stage is kept in a `Trace`, so that it can be told where a
passage was lost.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from localmind.errors import LocalmindError
from localmind.events import Passage
from localmind.knowledge.database import Database
from localmind.knowledge.embedder import Embedder
from localmind.knowledge.index import Index
from localmind.knowledge.keywords import by_keywords, words_held
from localmind.knowledge.passages import listed, passages
from localmind.knowledge.ranking import Hits, Ranked, rank
from localmind.knowledge.scope import Scope, condition
from localmind.knowledge.search import Candidate, Floor, Query, above, coverage, group, parse, unknown_share
from localmind.knowledge.vector_index import VectorIndex
from localmind.knowledge.widen import widened

DEPTH_DENSE = 100
# Chunks that are judged and may be shown, and those of them whose words are looked at.
DEPTH_JUDGED, DEPTH_WORDS = 60, 30
# A part of a root with at most so many chunks is compared exactly; of a bigger one the nearest of the whole root are
# filtered.
EXACT_CHUNKS, DEPTH_FILTERED = 1500, 1000
# Passages that a reranker may put in another order.
RERANKED = 10

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
        (frequency, keyword, total), (vector, dense) = await asyncio.gather(
            self._by_keywords(trace.query, scope, clock.beside()),
            self._by_meaning(text, scope, embedder, clock.beside()),
        )
        clock.skip()
        hits = Hits(text, keyword, dense, frequency, total, scope)
        ranked = await self._ranked(hits, vector, embedder)
        clock.lap("rank")
        shown = max(limit, RERANKED) if self.rerank else limit
        candidates, kept, found = await self._database.read(choose, trace.query, hits, ranked, self.floor, shown)
        clock.lap("read")
        trace.keyword, trace.dense = list(keyword), [number for number, _ in dense]
        trace.fused, trace.shown = ranked.order, [one.chunk_id for one in kept]
        trace.evidence = max((one.evidence for one in candidates), default=0.0)
        trace.floor = self.floor.answer
        trace.passages = found
        trace.unranked = [one.chunk_id for one in trace.passages]
        if self.rerank is not None and len(trace.passages) > 1:
            trace.passages, trace.reranked = await self._reranked(self.rerank, text, trace.passages)
            clock.lap("rerank")
        trace.passages = trace.passages[:limit]
        return trace

    async def _by_keywords(
        self, query: Query, scope: Scope, clock: "_Stopwatch"
    ) -> tuple[dict[str, int], dict[int, float], int]:
        found = await self._database.read(by_keywords, query, scope)
        clock.lap("keyword")
        return found

    async def _by_meaning(
        self, text: str, scope: Scope, embedder: Embedder | None, clock: "_Stopwatch"
    ) -> tuple[bytes | None, list[tuple[int, float]]]:
        if embedder is None:
            return None, []
        try:
            vector = await embedder.ask(text)
            clock.lap("embed")
            dense = await self._dense(vector, scope, embedder)
        except LocalmindError as error:
            log.warning("searching by keywords only: %s", error)
            return None, []
        clock.lap("dense")
        return vector, dense

    async def _dense(self, vector: bytes, scope: Scope, embedder: Embedder) -> list[tuple[int, float]]:
        if scope.narrow:
            exact = await embedder.inside(self._database.path, scope, vector, EXACT_CHUNKS)
            if exact is not None:
                return exact[:DEPTH_DENSE]
        found: list[tuple[int, float]] = []
        for root_id in scope.roots:
            found += await self._vectors.query(root_id, vector, DEPTH_FILTERED if scope.narrow else DEPTH_DENSE)
        if scope.narrow:
            inside = await self._database.read(ids_inside, [number for number, _ in found], scope)
            found = [pair for pair in found if pair[0] in inside]
        return sorted(found, key=lambda pair: -pair[1])[:DEPTH_DENSE]

    async def _ranked(self, hits: Hits, vector: bytes | None, embedder: Embedder | None) -> Ranked:
        if embedder is not None and vector is not None:
            try:
                return await embedder.rank(self._database.path, hits, vector)
            except LocalmindError as error:
                log.warning("passages keep the order of what found them: %s", error)
        return await self._database.read(rank, hits, None, None, None)

    async def _reranked(self, rerank: Rerank, text: str, found: list[Passage]) -> tuple[list[Passage], bool]:
        first, rest = found[:RERANKED], found[RERANKED:]
        try:
            scores = await rerank(text, [f"{one.heading}\n{one.text}" if one.heading else one.text for one in first])
        except LocalmindError as error:
            log.warning("passages keep their order, the reranker failed: %s", error)
            return found, False
        best = [one for _, one in sorted(zip(scores, first, strict=True), key=lambda pair: -pair[0])]
        return [msgspec.structs.replace(one, number=number) for number, one in enumerate([*best, *rest], 1)], True


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


def ids_inside(index: Index, ids: Sequence[int], scope: Scope) -> set[int]:
    """Those of the ids that lie within the scope."""
    where, values = condition(index, scope)
    return {
        row["id"] for row in index.db.execute(f"SELECT id FROM chunk WHERE id IN ({listed(ids)}) AND {where}", values)
    }


def choose(
    index: Index, query: Query, hits: Hits, ranked: Ranked, floor: Floor, limit: int
) -> tuple[list[Candidate], list[Candidate], list[Passage]]:
    """Of the chunks in their order: those that were judged, those above the floor, and at most `limit` passages."""
    candidates = judge(index, query, hits, ranked, floor)
    kept = above(candidates, floor)
    groups = widened(index, group(kept, limit), ranked.similarities)
    return candidates, kept, passages(index, groups)


def judge(index: Index, query: Query, hits: Hits, ranked: Ranked, floor: Floor) -> list[Candidate]:
    """The best chunks, each with the evidence that it answers: similarity, and which words it holds."""
    order, frequency = ranked.order[:DEPTH_JUDGED], hits.frequency
    matching = words_held(index, [term for term in query.terms if frequency[term]], order[:DEPTH_WORDS])
    shares = coverage(matching, frequency, hits.total)
    unknown = unknown_share(frequency, hits.total)
    exact = {number for term in query.exact for number in matching.get(term, ())}
    judged = []
    for number in order:
        similarity, share = ranked.similarities.get(number), shares.get(number, 0.0)
        weight = floor.evidence(similarity, share, unknown, exact=number in exact)
        judged.append(Candidate(number, *ranked.places[number], similarity, share, weight))
    return judged
