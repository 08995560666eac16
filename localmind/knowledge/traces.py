"""What deleted text leaves behind in our files, and its removal in steps that let a search pass.

Deleting a row is not forgetting: words stay in segments of the full-text index, pages in the write-ahead
log, vectors in Chroma's files, whole copies in backups of the database. `secure_delete` blanks what
SQLite frees, so merging the full-text index and cutting the log is enough for text (a test looks for planted
words in the bytes). Vectors in Chroma's files go when a new generation is written; that is `VectorIndex`'s
work, this module only remembers that it is due. A mark is set by triggers in the deleting transaction,
so a crash forgets no mark.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from localmind.knowledge.index import Index, Root
from localmind.knowledge.passages import listed
from localmind.store.connection import transaction

# Pages of the full-text index in one step, rows of vectors in one step: about 50 ms each on a slow disk.
MERGE_PAGES = 300
VECTORS_A_STEP = 2000
VACUUM_PAGES = 2000


@dataclass(slots=True, frozen=True)
class Traces:
    """Since when (Unix seconds) something of deleted files is left; None: nothing is."""

    text: float | None
    vectors: float | None

    def __bool__(self) -> bool:
        return self.text is not None or self.vectors is not None


def traces(index: Index) -> Traces:
    """What there is to remove, a removal that was broken off included."""

    def since(kind: str) -> float | None:
        marks = [index.meta(f"{step}_{kind}") for step in ("traces_of", "removing")]
        return min((float(mark) for mark in marks if mark is not None), default=None)

    return Traces(since("text"), since("vectors"))


def unknown(index: Index, quoted: Sequence[tuple[str, int]]) -> list[str]:
    """Of these (file, chunk) the files that are gone: deleted, or in no watched folder any more.

    Files of a folder that is not there at the moment are known, and a file that was renamed keeps its chunks.
    """
    ids = [number for _, number in quoted]
    alive = {row["id"] for row in index.db.execute(f"SELECT id FROM chunk WHERE id IN ({listed(ids)})")}
    moved = {path for path, number in quoted if number in alive}
    paths = sorted({path for path, _ in quoted} - moved)
    known = {
        os.path.join(root.path, relpath)
        for root in index.roots()
        for relpath in index.known(root.id, _below(root, paths))
    }
    return [path for path in paths if path not in known]


def _below(root: Root, paths: Sequence[str]) -> list[str]:
    prefix = f"{root.path}{os.sep}".replace(2 * os.sep, os.sep)
    return [path[len(prefix) :].replace(os.sep, "/") for path in paths if path.startswith(prefix)]


def begin_removal(index: Index, kind: str) -> None:
    """From here on a new deletion makes a new mark, so that it is not taken for what is removed now."""
    with transaction(index.db):
        index.db.execute("INSERT OR IGNORE INTO meta VALUES (?, '0')", (f"removing_{kind}",))
        index.db.execute("DELETE FROM meta WHERE key = ?", (f"traces_of_{kind}",))


def end_removal(index: Index, kind: str) -> None:
    """What was there at `begin_removal` is gone."""
    index.db.execute("DELETE FROM meta WHERE key = ?", (f"removing_{kind}",))


def prune_vectors(index: Index) -> bool:
    """Delete some vectors of texts that no chunk has, or of models that are not used. True: there are more."""
    keep = {index.meta("embed_model"), index.meta("serving_model")} - {None}
    marks = ", ".join("?" for _ in keep)
    with transaction(index.db):
        deleted = index.db.execute(
            "DELETE FROM vector WHERE (text_hash, model) IN (SELECT text_hash, model FROM vector"
            " WHERE NOT EXISTS (SELECT 1 FROM chunk WHERE chunk.text_hash = vector.text_hash)"
            f" OR model NOT IN ({marks}) LIMIT ?)",
            (*keep, VECTORS_A_STEP),
        ).rowcount
    return deleted >= VECTORS_A_STEP


def merge_words(index: Index) -> bool:
    """One step of merging the full-text index into one segment, which drops deleted words. True: there is more."""
    before = index.db.total_changes
    index.db.execute("INSERT INTO chunk_fts (chunk_fts, rank) VALUES ('merge', ?)", (-MERGE_PAGES,))
    return index.db.total_changes - before >= 2


def shrink(index: Index) -> bool:
    """Give some free pages back to the disk. True: there are more."""
    free = int(index.db.execute("PRAGMA freelist_count").fetchone()[0])
    if free and int(index.db.execute("PRAGMA auto_vacuum").fetchone()[0]) == 2:
        # The pragma does its work while its rows are read.
        index.db.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
        return free > VACUUM_PAGES
    return False


def cut_log(index: Index) -> bool:
    """Write the log into the database and empty it; False when a reader is in the way."""
    return bool(index.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)


def remove_backups(index: Index) -> None:
    """Copies from before a migration hold deleted text too; what they hold can be read from the folders again."""
    file = index.path
    for copy in file.parent.glob(f"{file.name}.backup-*"):
        copy.unlink(missing_ok=True)
