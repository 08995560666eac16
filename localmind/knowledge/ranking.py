"""From what was found by keyword and by meaning to one order of chunks: gathers their vectors, fuses, compares words.

Plain functions of an open Index. They run in the embed worker, which has numpy and the question's words: there, one
call does what took four reads of the database and a second way to the worker, and nothing that the daemon
does at that moment slows it. Without an embedder the daemon runs them itself, for keywords alone. The arithmetic
is in `search.py`; what is shown in the end is decided in `retrieve.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from localmind.knowledge import vector_rows
from localmind.knowledge.index import Index
from localmind.knowledge.passages import listed
from localmind.knowledge.scope import Scope, condition
from localmind.knowledge.search import Place, Query, fuse, parse, rarity, reordered, whole_score, word_rarity

# Chunks whose neighbours, and of the keyword ranking whose similarities, are looked up.
DEPTH_NEIGHBOURS = 20
# Chunks that are compared with the question word by word.
DEPTH_WORD_BY_WORD = 40
# Of the best similarity, what the best by keyword is taken to have until its vector is there.
EXPECTED = 0.9

# KiB of pages that one call keeps.
PAGES_KIB = 4000

Near = Callable[[Mapping[str, float], Sequence[bytes]], Sequence[float]]
"""(weights of the question's words, sketches) → how near its words come to each; see late.py."""


class Hits(msgspec.Struct, frozen=True):
    """What the two halves of a search found. `total` is about how many chunks there are."""

    text: str
    keyword: dict[int, float]
    """Chunk → BM25, best first."""
    dense: list[tuple[int, float]]
    """(chunk, similarity), best first."""
    frequency: dict[str, int]
    total: int
    scope: Scope


class Ranked(msgspec.Struct, frozen=True):
    """Chunks, best first, and what is known of them: (file id, ordinal, page), and similarities of some."""

    order: list[int]
    places: dict[int, tuple[int, int, int | None]]
    similarities: dict[int, float]


@dataclass(slots=True)
class _Found:
    """What SQLite knows about the chunks that a query may be about, and their similarities to it."""

    places: dict[int, tuple[int, int, int | None]] = field(default_factory=dict)
    at: dict[Place, int] = field(default_factory=dict)
    similarities: dict[int, float] = field(default_factory=dict)

    def add(self, number: int, file_id: int, ordinal: int, page: int | None) -> None:
        self.places[number], self.at[file_id, ordinal] = (file_id, ordinal, page), number

    def placed(self, scores: Mapping[int, float]) -> dict[Place, float]:
        """Scores by place. Chroma may still name a chunk that was deleted a moment ago: it has none."""
        return {self.places[number][:2]: score for number, score in scores.items() if number in self.places}


def rank(index: Index, hits: Hits, vector: bytes | None, model: str | None, near: Near | None) -> Ranked:
    """One order of all that was found. Without `vector` the similarities are those of `hits` alone."""
    query = parse(hits.text)
    found = _gather(index, hits, vector, model)
    similar = found.placed(expected(hits.keyword, found.similarities))
    whole = whole_score(hits.frequency, hits.total)
    fused = fuse(found.placed(hits.keyword), similar, query.keyword_weight, whole)
    scores = {found.at[place]: score for place, score in fused.items() if place in found.at}
    if query.required:
        scores = {number: score for number, score in scores.items() if number in hits.keyword}
    order = _by_words(index, hits, query, scores, model, near)
    return Ranked(order, {number: found.places[number] for number in order}, found.similarities)


def rank_call(params: dict[str, Any], near: Near) -> Any:
    """`rank` as a call of the embed worker: `{database, hits, vector, model}`."""
    index = Index.reader(Path(str(params["database"])), cache_kib=PAGES_KIB)
    try:
        hits = msgspec.convert(params["hits"], Hits, strict=False)
        return msgspec.to_builtins(rank(index, hits, params["vector"], params["model"], near))
    finally:
        index.close()


def _by_words(
    index: Index, hits: Hits, query: Query, scores: dict[int, float], model: str | None, near: Near | None
) -> list[int]:
    """The chunks, best first, after the best were compared with the question word by word."""
    heard: dict[int, float] = {}
    if near is not None and query.word_weight > 0:
        sketches = vector_rows.sketches(index, list(scores)[:DEPTH_WORD_BY_WORD], model)
        weights = word_rarity(rarity(hits.frequency, hits.total))
        heard = dict(zip(sketches, near(weights, list(sketches.values())), strict=True))
    return reordered(scores, heard, query.word_weight, DEPTH_WORD_BY_WORD)


def _gather(index: Index, hits: Hits, vector: bytes | None, model: str | None) -> _Found:
    """Places of all chunks found and of the best ones' neighbours, and the similarities that Chroma did not say."""
    found = _Found(similarities=dict(hits.dense))
    ids = [*hits.keyword, *(number for number, _ in hits.dense if number not in hits.keyword)]
    for row in index.db.execute(f"SELECT id, file_id, ordinal, page FROM chunk WHERE id IN ({listed(ids)})"):
        found.add(*row)
    best = [*list(hits.keyword)[:DEPTH_NEIGHBOURS], *(number for number, _ in hits.dense[:DEPTH_NEIGHBOURS])]
    places = [found.places[number][:2] for number in best if number in found.places]
    beside = {(file_id, at + step) for file_id, at in places for step in (-1, 1)}
    if missing := beside - set(found.at):
        wanted = ", ".join(f"({int(file_id)}, {int(ordinal)})" for file_id, ordinal in missing)
        where, values = condition(index, hits.scope)
        rows = index.db.execute(
            f"WITH beside (file_id, ordinal) AS (VALUES {wanted}) SELECT chunk.id, chunk.file_id, chunk.ordinal, page"
            " FROM beside CROSS JOIN chunk ON chunk.file_id = beside.file_id AND chunk.ordinal = beside.ordinal"
            f" WHERE {where}",
            values,
        )
        for row in rows:
            found.add(*row)
    if vector is not None:
        wanted_ids = {
            *(found.at[place] for place in beside if place in found.at),
            *list(hits.keyword)[: 2 * DEPTH_NEIGHBOURS],
        }
        found.similarities |= similarities(index, sorted(wanted_ids - set(found.similarities)), vector, model)
    return found


def similarities(index: Index, ids: Sequence[int], vector: bytes, model: str | None) -> dict[int, float]:
    """Of those chunks that have a vector. In a process with numpy."""
    import numpy

    rows = index.db.execute(
        "SELECT chunk.id, data FROM chunk JOIN vector ON vector.text_hash = chunk.text_hash AND model = ?"
        f" WHERE chunk.id IN ({listed(ids)}) AND length(data) = ?",
        (model, len(vector)),
    ).fetchall()
    wanted = numpy.frombuffer(vector, dtype="<f4")
    matrix = numpy.frombuffer(b"".join(row["data"] for row in rows), dtype="<f4").reshape(len(rows), len(wanted))
    return dict(zip((row["id"] for row in rows), (matrix @ wanted).tolist(), strict=True))


def expected(keyword: Mapping[int, float], known: Mapping[int, float]) -> dict[int, float]:
    """The similarities, and for the best by keyword that have no vector yet what they may come to: a file that
    was saved a moment ago must not rank below all others."""
    best_known, best_keyword = max(known.values(), default=0.0), max(keyword.values(), default=0.0)
    waiting = [number for number in list(keyword)[:DEPTH_NEIGHBOURS] if number not in known]
    return dict(known) | {number: EXPECTED * best_known * keyword[number] / best_keyword for number in waiting}
