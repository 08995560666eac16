"""The SQL of vectors: which chunks wait for one, which wait for Chroma, and what Chroma still has too much.

Plain functions of an open Index, to be run through `Database.run`. A chunk's stage (see tables.py) is
about the model that the index is to have; while another one still answers, its vectors are kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from localmind.knowledge.index import Index, embedded_text
from localmind.knowledge.tables import PLACED, STORED
from localmind.store.connection import transaction


@dataclass(slots=True, frozen=True)
class Models:
    """Names of embedders: the one whose vectors all chunks are to have, and the one that answers questions.

    They differ from a change of the embedder until the last chunk has its new vector. `serving` is None
    while no index was ever complete.
    """

    wanted: str | None
    serving: str | None


def models(index: Index) -> Models:
    return Models(index.meta("embed_model"), index.meta("serving_model"))


def use_model(index: Index, model: str) -> Models:
    """Make `model` the embedder of this index; if it was another, all chunks wait for new vectors now."""
    if index.meta("embed_model") != model:
        with transaction(index.db):
            index.set_meta("embed_model", model)
            index.db.execute(
                "UPDATE chunk SET stage ="
                " EXISTS (SELECT 1 FROM vector WHERE text_hash = chunk.text_hash AND model = ?)",
                (model,),
            )
            index.db.execute("DELETE FROM stale")
    return models(index)


def complete(index: Index) -> bool:
    """Whether every chunk is in Chroma."""
    return index.db.execute("SELECT 1 FROM chunk WHERE stage < 2 LIMIT 1").fetchone() is None


def settled(index: Index, root_id: int) -> bool:
    """Whether Chroma holds of this root what it should, as far as SQLite knows."""
    row = index.db.execute(
        "SELECT EXISTS (SELECT 1 FROM chunk WHERE root_id = ? AND stage < 2)"
        " OR EXISTS (SELECT 1 FROM stale WHERE root_id = ?) AS waiting",
        (root_id, root_id),
    ).fetchone()
    return not row["waiting"]


def serve(index: Index, model: str) -> None:
    """Every chunk has its vector of `model`: questions go to it from now on, and older vectors may go."""
    with transaction(index.db):
        before = index.meta("serving_model")
        index.set_meta("serving_model", model)
        if before not in (None, model):
            index.db.execute("INSERT OR IGNORE INTO meta VALUES ('traces_of_text', '0')")


def unembedded(index: Index, limit: int, since: int = 0) -> list[tuple[bytes, str]]:
    """(hash, text to embed) of chunks without a vector, last edited first, each text once.

    `since`: Unix seconds; what was edited before is left for later.
    """
    # `stage < 2` lets SQLite use the partial index; without it it sorts all chunks.
    rows = index.db.execute(
        "SELECT text_hash, heading, text FROM chunk WHERE stage < 2 AND stage = 0 AND edited >= ?"
        " ORDER BY edited DESC, id DESC LIMIT ?",
        (since, limit),
    )
    return list({row["text_hash"]: embedded_text(row["heading"], row["text"]) for row in rows}.items())


def unsketched(index: Index, model: str, limit: int) -> list[tuple[bytes, str]]:
    """(hash, text) of vectors that an older version stored without the sketch of their words."""
    rows = index.db.execute(
        "SELECT vector.text_hash, heading, text FROM vector CROSS JOIN chunk ON chunk.text_hash = vector.text_hash"
        " WHERE vector.sketched = 0 AND vector.model = ? LIMIT ?",
        (model, limit),
    )
    return list({row["text_hash"]: embedded_text(row["heading"], row["text"]) for row in rows}.items())


def sketches(index: Index, chunk_ids: Iterable[int], model: str | None) -> dict[int, bytes]:
    """Chunk → the sketch of its words, of those that have one."""
    rows = index.db.execute(
        "SELECT chunk.id, sketch.data FROM chunk JOIN sketch ON sketch.text_hash = chunk.text_hash AND model = ?"
        f" WHERE chunk.id IN ({', '.join(str(int(number)) for number in chunk_ids)})",
        (model,),
    )
    return {row["id"]: row["data"] for row in rows}


def store_vectors(index: Index, vectors: Iterable[tuple[bytes, bytes, bytes]], model: str) -> None:
    """Keep (text hash, vector, sketch of the words); every chunk with that text has one now."""
    with transaction(index.db):
        wanted = index.meta("embed_model") == model
        for digest, data, words in vectors:
            index.db.execute("INSERT OR REPLACE INTO vector VALUES (?, ?, ?, 1)", (digest, model, data))
            index.db.execute("INSERT OR REPLACE INTO sketch VALUES (?, ?, ?)", (digest, model, words))
            if wanted:
                index.db.execute("UPDATE chunk SET stage = ? WHERE text_hash = ? AND stage = 0", (STORED, digest))


def unplaced(index: Index, root_id: int, model: str, limit: int) -> list[tuple[int, bytes]]:
    """(chunk id, vector) of chunks that Chroma lacks."""
    rows = index.db.execute(
        "SELECT chunk.id, vector.data FROM chunk JOIN vector ON vector.text_hash = chunk.text_hash AND model = ?"
        " WHERE root_id = ? AND stage = 1 ORDER BY chunk.id DESC LIMIT ?",
        (model, root_id, limit),
    )
    return [(row["id"], row["data"]) for row in rows]


def any_unplaced(index: Index, root_id: int) -> bool:
    """Whether Chroma lacks vectors of this root that are stored."""
    row = index.db.execute("SELECT 1 FROM chunk WHERE root_id = ? AND stage = 1 LIMIT 1", (root_id,)).fetchone()
    return row is not None


def mark_placed(index: Index, chunk_ids: Iterable[int], model: str) -> list[int]:
    """Chroma has these now. Returns those that were deleted meanwhile and must go from it again."""
    with transaction(index.db):
        if index.meta("embed_model") != model:
            return []
        return [
            chunk_id
            for chunk_id in chunk_ids
            if index.db.execute("UPDATE chunk SET stage = ? WHERE id = ?", (PLACED, chunk_id)).rowcount == 0
        ]


def add_stale(index: Index, root_id: int, chunk_ids: Iterable[int]) -> None:
    with transaction(index.db):
        index.db.executemany("INSERT OR IGNORE INTO stale VALUES (?, ?)", [(root_id, number) for number in chunk_ids])


def stale(index: Index, root_id: int, limit: int) -> list[int]:
    rows = index.db.execute("SELECT chunk_id FROM stale WHERE root_id = ? LIMIT ?", (root_id, limit))
    return [row["chunk_id"] for row in rows]


def clear_stale(index: Index, root_id: int, chunk_ids: Iterable[int]) -> None:
    with transaction(index.db):
        index.db.executemany(
            "DELETE FROM stale WHERE root_id = ? AND chunk_id = ?", [(root_id, number) for number in chunk_ids]
        )


def expected(index: Index, root_id: int) -> int:
    """How many ids Chroma should hold for this root, deletions not yet done included."""
    row = index.db.execute(
        "SELECT (SELECT count(*) FROM chunk WHERE root_id = ? AND stage = 2)"
        " + (SELECT count(*) FROM stale WHERE root_id = ?) AS n",
        (root_id, root_id),
    ).fetchone()
    return int(row["n"])


def reconcile_placed(index: Index, root_id: int, present: Sequence[int]) -> None:
    """Make the stages say what Chroma really holds: its ids are `present`."""
    with transaction(index.db):
        index.db.execute("CREATE TEMP TABLE present (id INTEGER PRIMARY KEY)")
        index.db.executemany("INSERT OR IGNORE INTO present VALUES (?)", [(number,) for number in present])
        here = "IN (SELECT id FROM present)"
        index.db.execute(f"UPDATE chunk SET stage = 1 WHERE root_id = ? AND stage = 2 AND id NOT {here}", (root_id,))
        index.db.execute(f"UPDATE chunk SET stage = 2 WHERE root_id = ? AND stage = 1 AND id {here}", (root_id,))
        index.db.execute("DELETE FROM stale WHERE root_id = ?", (root_id,))
        index.db.execute(
            "INSERT INTO stale SELECT ?, id FROM present WHERE id NOT IN"
            " (SELECT id FROM chunk WHERE root_id = ? AND stage = 2)",
            (root_id, root_id),
        )
        index.db.execute("DROP TABLE present")


def abandon_generation(index: Index) -> int:
    """Everything must be placed again, in a new directory; returns its number."""
    with transaction(index.db):
        number = int(index.meta("generation") or 1) + 1
        index.set_meta("generation", str(number))
        index.db.execute("UPDATE chunk SET stage = 1 WHERE stage = 2")
        index.db.execute("DELETE FROM stale")
    return number


def sample_placed(index: Index, root_id: int, model: str, count: int) -> list[tuple[int, bytes]]:
    """A few placed chunks with their vectors, to see whether Chroma still finds them."""
    rows = index.db.execute(
        "SELECT chunk.id, vector.data FROM chunk JOIN vector ON vector.text_hash = chunk.text_hash AND model = ?"
        " WHERE chunk.id IN (SELECT id FROM chunk WHERE root_id = ? AND stage = 2 ORDER BY random() LIMIT ?)",
        (model, root_id, count),
    )
    return [(row["id"], row["data"]) for row in rows]
