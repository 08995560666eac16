"""Exact search by brute force over the vectors in SQLite: where Chroma lacks some or all of them, and in a small
part of a folder, of which its nearest neighbours may hold nothing.

Runs in the embed worker. Vectors are kept in memory in half precision while they are asked for (77 MB
for 100,000 of MiniLM), and what was added or deleted since the last question is brought up to date by
chunk ids, which are never used twice. Nothing is written.
"""

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any

import msgspec

from localmind.knowledge.index import Index
from localmind.knowledge.ranking import similarities
from localmind.knowledge.scope import Scope, condition
from localmind.workers.runtime import Reply

# Rows converted to full precision and multiplied at once: 6 MB for MiniLM.
SLICE = 4096
# Seconds after which vectors that nobody asked for are dropped; looked at by the next call.
KEEP_S = 120.0
# Of chunks that Chroma lacks, more than so many are not read for each question: all vectors of the root are kept then.
READ_EACH_TIME = 2000
CONDITIONS = {"unplaced": " AND stage = 1", "stored": " AND stage >= 1", "any": ""}


class _Kept:
    """Vectors of one root and model: `ids` ascending, `matrix` in half precision, row by row."""

    def __init__(self, ids: Any, matrix: Any) -> None:
        self.ids = ids
        self.matrix = matrix
        self.used = time.monotonic()


class Exact:
    """The worker's method `exact`."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int, str], _Kept] = {}

    def exact(self, params: dict[str, Any], reply: Reply) -> list[tuple[int, float]]:
        """`{database, root, model, vector, k, which}` → `[[id, cosine similarity], …]`, best first.

        `which`: "unplaced" chunks that Chroma lacks, at least, "stored" ones that have a vector of the wanted model,
        or "any".
        """
        import numpy

        query = numpy.frombuffer(params["vector"], dtype="<f4")
        key = (str(params["database"]), int(params["root"]), str(params["model"]))
        address = f"{Path(key[0]).as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=5)) as db:
            which = str(params["which"])
            wanted = numpy.array(_ids(db, key[1], which), dtype=numpy.int64)
            if which == "unplaced" and len(wanted) > READ_EACH_TIME:
                which = "stored"
                wanted = numpy.array(_ids(db, key[1], which), dtype=numpy.int64)
            if which == "unplaced":
                kept = _load(db, key, wanted, len(query))
            else:
                kept = self._kept[key] = self._refreshed(db, key, wanted, len(query))
        self._forget_unused()
        scores = numpy.empty(len(kept.ids), dtype=numpy.float32)
        for start in range(0, len(kept.ids), SLICE):
            scores[start : start + SLICE] = kept.matrix[start : start + SLICE].astype(numpy.float32) @ query
        best = numpy.argsort(-scores, kind="stable")[: int(params["k"])]
        return [(int(kept.ids[index]), float(scores[index])) for index in best]

    def inside(self, params: dict[str, Any], reply: Reply) -> list[tuple[int, float]] | None:
        """`{database, scope, model, vector, most}` → `[[id, cosine similarity], …]` of all chunks of a scope, best
        first; None when they are more than `most`."""
        with contextlib.closing(Index.reader(Path(str(params["database"])))) as index:
            where, values = condition(index, msgspec.convert(params["scope"], Scope))
            most = int(params["most"])
            rows = index.db.execute(f"SELECT id FROM chunk WHERE {where} LIMIT ?", [*values, most + 1]).fetchall()
            if len(rows) > most:
                return None
            scores = similarities(index, [row["id"] for row in rows], params["vector"], params["model"])
        return sorted(scores.items(), key=lambda pair: -pair[1])

    def _refreshed(self, db: sqlite3.Connection, key: tuple[str, int, str], wanted: Any, dim: int) -> _Kept:
        import numpy

        old = self._kept.get(key)
        if old is None or (len(old.matrix) and old.matrix.shape[1] != dim):
            return _load(db, key, wanted, dim)
        still = numpy.isin(old.ids, wanted, assume_unique=True)
        new = _load(db, key, wanted[~numpy.isin(wanted, old.ids, assume_unique=True)], dim)
        if still.all() and not len(new.ids):
            old.used = time.monotonic()
            return old
        return _Kept(numpy.concatenate([old.ids[still], new.ids]), numpy.concatenate([old.matrix[still], new.matrix]))

    def _forget_unused(self) -> None:
        now = time.monotonic()
        self._kept = {key: kept for key, kept in self._kept.items() if now - kept.used < KEEP_S}


def _ids(db: sqlite3.Connection, root_id: int, which: str) -> list[int]:
    return [row[0] for row in db.execute(f"SELECT id FROM chunk WHERE root_id = ?{CONDITIONS[which]}", (root_id,))]


def _load(db: sqlite3.Connection, key: tuple[str, int, str], wanted: Any, dim: int) -> _Kept:
    import numpy

    ids: list[int] = []
    matrix = numpy.empty((len(wanted), dim), dtype=numpy.float16)
    for start in range(0, len(wanted), SLICE):
        part = wanted[start : start + SLICE].tolist()
        rows = db.execute(
            "SELECT chunk.id, vector.data FROM chunk JOIN vector ON vector.text_hash = chunk.text_hash AND model = ?"
            f" WHERE chunk.id IN ({', '.join(map(str, part))}) AND length(vector.data) = ?",
            (key[2], dim * 4),
        ).fetchall()
        block = numpy.frombuffer(b"".join(data for _, data in rows), dtype="<f4").reshape(len(rows), dim)
        matrix[len(ids) : len(ids) + len(rows)] = block
        ids += [number for number, _ in rows]
    return _Kept(numpy.array(ids, dtype=numpy.int64), matrix[: len(ids)])
