"""The knowledge database as plain functions of SQL: what is known about folders, files and chunks.

All calls are synchronous and belong to one thread; the asynchronous side is in `database.py`. A
file is replaced in one transaction and can be found by keyword at that commit; chunks whose text did
not change keep their ids, so nothing is embedded or moved in Chroma again. It decides nothing:
what to read comes from `scan`. The SQL of vectors is in `vector_rows.py`, that of traces in `traces.py`.
"""

import hashlib
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from localmind.knowledge import fulltext
from localmind.knowledge.chunk import Chunk
from localmind.knowledge.scan import Entry, Known
from localmind.knowledge.tables import MIGRATIONS, NO_VECTOR, STORED
from localmind.store.connection import BUSY_TIMEOUT_MS, open_database, transaction

# In the queue of vectors a file that a first scan found counts as edited at least so many seconds ago.
FOUND_S = 3600
# SQLite from 3.42 on takes words of deleted text out of the full-text index at once; before, a merge does it.
ERASES_WORDS = sqlite3.sqlite_version_info >= (3, 42)
# KiB of pages that a connection for searches keeps: the inner pages of the full-text index of 100,000 chunks.
READER_CACHE = 24_000
# Pages of the log (4 KiB each) before they are written into the database: a first read writes the same pages of the
# full-text index again and again, and with SQLite's own 1000 each of them goes to the database more often.
LOG_PAGES = 4000


@dataclass(slots=True, frozen=True)
class Root:
    """A watched folder as stored. `problem` says why it cannot be read at present."""

    id: int
    path: Path
    device: int
    problem: str | None


@dataclass(slots=True, frozen=True)
class Counts:
    """Of one root. `waiting` chunks have no vector in Chroma yet, `unembedded` not even one stored."""

    files: int
    chunks: int
    unembedded: int
    waiting: int


def embedded_text(heading: str | None, text: str) -> str:
    """What is embedded for a chunk: its heading trail above its text."""
    body = text.strip()
    return f"{heading}\n{body}" if heading else body


def text_hash(text: str) -> bytes:
    """Names a text for good; vectors are keyed by it."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()


def _prepare(db: sqlite3.Connection, *, new: bool) -> None:
    if ERASES_WORDS:
        db.execute("INSERT INTO chunk_fts (chunk_fts, rank) VALUES ('secure-delete', 1)")
    db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    if new:
        # So that the file can shrink in small steps. It takes effect at a VACUUM, which is free while it is empty.
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("VACUUM")


class Index:
    """An open knowledge database. `clock` gives Unix time in seconds."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.path = path
        new = not path.exists()
        # NORMAL may lose the last commits at a power cut, never consistency: a scan brings them back.
        self.db = open_database(path, MIGRATIONS, synchronous="NORMAL", prepare=partial(_prepare, new=new))

    @classmethod
    def reader(cls, path: Path, *, cache_kib: int = READER_CACHE) -> "Index":
        """A second connection that can only read: a search never waits for a file that is being stored."""
        index = cls.__new__(cls)
        index._clock, index.path = time.time, path
        index.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_MS / 1000)
        index.db.row_factory = sqlite3.Row
        index.db.execute("PRAGMA query_only = ON")
        index.db.execute(f"PRAGMA cache_size = -{cache_kib}")
        return index

    def close(self) -> None:
        self.db.close()

    # Meta and roots

    def meta(self, key: str) -> str | None:
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row["value"])

    def set_meta(self, key: str, value: str) -> None:
        self.db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
        )

    def clear_meta(self, key: str) -> None:
        self.db.execute("DELETE FROM meta WHERE key = ?", (key,))

    def roots(self) -> list[Root]:
        rows = self.db.execute("SELECT id, path, device, problem FROM root ORDER BY path")
        return [Root(row["id"], Path(row["path"]), row["device"], row["problem"]) for row in rows]

    def add_root(self, path: Path, device: int) -> Root:
        self.db.execute(
            "INSERT INTO root (path, device, added_at) VALUES (?, ?, ?)", (str(path), device, self._clock())
        )
        return next(root for root in self.roots() if root.path == path)

    def remove_root(self, root_id: int) -> None:
        """Forget the root with all that came from it; vectors nobody else needs go when traces are removed."""
        with transaction(self.db):
            fulltext.delete_root(self.db, root_id)
            self.db.execute("DELETE FROM file WHERE root_id = ?", (root_id,))
            self.db.execute("DELETE FROM root WHERE id = ?", (root_id,))
            # Its collection is dropped as a whole.
            self.db.execute("DELETE FROM stale WHERE root_id = ?", (root_id,))

    def set_problem(self, root_id: int, problem: str | None) -> None:
        self.db.execute("UPDATE root SET problem = ? WHERE id = ?", (problem, root_id))

    # Files

    def known(self, root_id: int, scope: Sequence[str] = ("",)) -> dict[str, Known]:
        """Known files at or below the paths of `scope`."""
        found: dict[str, Known] = {}
        for path in scope:
            # "0" follows "/" in the order of characters: a range over the index of (root_id, relpath).
            condition, values = ("", ()) if path == "" else (
                "AND (relpath = ? OR (relpath >= ? AND relpath < ?))", (path, path + "/", path + "0")
            )  # fmt: skip
            rows = self.db.execute(
                f"SELECT id, relpath, device, inode, size, mtime_ns, recipe FROM file WHERE root_id = ? {condition}",
                (root_id, *values),
            )
            found.update((row["relpath"], Known(*row)) for row in rows)
        return found

    def problems(self, root_id: int) -> list[tuple[str, str]]:
        """(relpath, reason) of files that failed."""
        rows = self.db.execute(
            "SELECT relpath, reason FROM file WHERE root_id = ? AND state = 'failed' ORDER BY relpath", (root_id,)
        )
        return [(row["relpath"], row["reason"]) for row in rows]

    def file_state(self, root_id: int, relpath: str) -> tuple[str, str | None, int] | None:
        """(state, reason, chunks) of a known file."""
        row = self.db.execute(
            "SELECT state, reason, (SELECT count(*) FROM chunk WHERE file_id = file.id) AS chunks"
            " FROM file WHERE root_id = ? AND relpath = ?",
            (root_id, relpath),
        ).fetchone()
        return None if row is None else (row["state"], row["reason"], row["chunks"])

    def renumber(self, root_id: int, devices: Mapping[int, int]) -> None:
        """The system gave disks new numbers, as it may at every start."""
        with transaction(self.db):
            for old, new in devices.items():
                self.db.execute("UPDATE file SET device = ? WHERE root_id = ? AND device = ?", (new, root_id, old))
                self.db.execute("UPDATE root SET device = ? WHERE id = ? AND device = ?", (new, root_id, old))

    def move(self, moves: Iterable[tuple[int, Entry]]) -> None:
        """Give files their new paths; chunks, ids and vectors stay."""
        with transaction(self.db):
            pairs = list(moves)
            # Two files may have swapped names: free all the old names first.
            for file_id, _ in pairs:
                self.db.execute("UPDATE file SET relpath = char(0) || id WHERE id = ?", (file_id,))
                fulltext.remove(self.db, "file_id = ?", (file_id,))
            for file_id, entry in pairs:
                self.db.execute("UPDATE file SET relpath = ? WHERE id = ?", (entry.relpath, file_id))
                self.db.execute("UPDATE chunk SET path = ? WHERE file_id = ?", (entry.relpath, file_id))
            for file_id, _ in pairs:
                fulltext.add(self.db, "file_id = ?", (file_id,))

    def forget(self, file_ids: Iterable[int]) -> None:
        """Remove files that are gone."""
        with transaction(self.db):
            for file_id in file_ids:
                fulltext.delete(self.db, "file_id = ?", (file_id,))
                self.db.execute("DELETE FROM file WHERE id = ?", (file_id,))

    def fail(self, root_id: int, entry: Entry, recipe: str, reason: str, *, again: bool = False) -> None:
        """Remember that this version of a file could not be read; what an older one said is dropped.

        `again`: it may not be the file's fault, so the next look at the whole folder tries once more.
        """
        with transaction(self.db):
            mtime_ns = 0 if again else entry.mtime_ns
            self._put_file(root_id, entry, recipe, "failed", reason, None, entry.size, mtime_ns)

    def replace(
        self, root_id: int, entry: Entry, recipe: str, result: dict[str, Any], model: str, *, hot: bool = False
    ) -> None:
        """Store what the extract worker made of a file; see `ExtractCalls.extract` for `result`.

        `hot`: somebody saved it just now, so its vectors come before those of files that were found.
        """
        # A time that the next save may have too tells nothing: the next look reads the file once more.
        mtime_ns = 0 if result["fresh"] else result["mtime_ns"]
        chunks = [Chunk(*row) for row in result["chunks"]]
        state, reason = ("skipped", result["skip"]) if result["skip"] else ("indexed", None)
        with transaction(self.db):
            file_id = self._put_file(
                root_id, entry, recipe, state, reason, result["content_hash"], result["size"], mtime_ns, keep=True
            )  # fmt: skip
            now = int(self._clock())
            edited = now if hot else min(entry.mtime_ns // 1_000_000_000, now - FOUND_S)
            self._put_chunks(root_id, file_id, entry.relpath, chunks, model, edited)

    def put_unread(self, root_id: int, entry: Entry, recipe: str, content_hash: bytes, reason: str) -> None:
        """A file that is not in the index yet, and why. Inside a transaction; an older version's chunks stay."""
        self._put_file(root_id, entry, recipe, "skipped", reason, content_hash, entry.size, entry.mtime_ns, keep=True)

    def _put_file(
        self, root_id: int, entry: Entry, recipe: str, state: str, reason: str | None, content_hash: bytes | None,
        size: int, mtime_ns: int, *, keep: bool = False,
    ) -> int:  # fmt: skip
        row = self.db.execute(
            "INSERT INTO file (root_id, relpath, device, inode, size, mtime_ns, content_hash, recipe, state, reason,"
            " indexed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (root_id, relpath) DO UPDATE SET"
            " device = excluded.device, inode = excluded.inode, size = excluded.size, mtime_ns = excluded.mtime_ns,"
            " content_hash = excluded.content_hash, recipe = excluded.recipe, state = excluded.state,"
            " reason = excluded.reason, indexed_at = excluded.indexed_at RETURNING id",
            (root_id, entry.relpath, entry.device, entry.inode, size, mtime_ns, content_hash, recipe, state, reason,
             self._clock()),
        ).fetchone()  # fmt: skip
        if not keep:
            fulltext.delete(self.db, "file_id = ?", (row["id"],))
        return int(row["id"])

    def _put_chunks(
        self, root_id: int, file_id: int, path: str, chunks: Sequence[Chunk], model: str, edited: int
    ) -> None:
        # Equal in all that is searched: such a chunk keeps its id, and with it its vector and its words.
        old: dict[tuple[bytes, str, str | None, str], list[int]] = defaultdict(list)
        for row in self.db.execute(
            "SELECT id, text_hash, text, heading, extra FROM chunk WHERE file_id = ? ORDER BY ordinal DESC", (file_id,)
        ):
            old[row["text_hash"], row["text"], row["heading"], row["extra"]].append(row["id"])
        moved, new = [], []
        for ordinal, piece in enumerate(chunks):
            digest = text_hash(embedded_text(piece.heading, piece.text))
            span = (piece.char_start, piece.char_end, piece.line_start, piece.line_end, piece.page)
            if same := old.get((digest, piece.text, piece.heading, piece.extra)):
                moved.append((ordinal, *span, same.pop()))
            else:
                new.append((file_id, root_id, ordinal, path, piece.heading, piece.text, digest, *span, piece.extra,
                            digest, model, STORED, NO_VECTOR, edited))  # fmt: skip
        for ids in old.values():
            for chunk_id in ids:
                fulltext.delete(self.db, "id = ?", (chunk_id,))
        self.db.executemany(
            "UPDATE chunk SET ordinal = ?, char_start = ?, char_end = ?, line_start = ?, line_end = ?, page = ?"
            " WHERE id = ?",
            moved,
        )
        newest = self.db.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'chunk'").fetchone()[0]
        self.db.executemany(
            "INSERT INTO chunk (file_id, root_id, ordinal, path, heading, text, text_hash, char_start, char_end,"
            " line_start, line_end, page, extra, stage, edited) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
            " iif(EXISTS (SELECT 1 FROM vector WHERE text_hash = ? AND model = ?), ?, ?), ?)",
            new,
        )
        fulltext.add(self.db, "file_id = ? AND id > ?", (file_id, newest))

    def chunks(self) -> int:
        """Of all roots."""
        return int(self.db.execute("SELECT count(*) FROM chunk INDEXED BY chunk_of_root").fetchone()[0])

    def counts(self, root_id: int) -> Counts:
        files = self.db.execute(
            "SELECT count(*) AS n FROM file WHERE root_id = ? AND state = 'indexed'", (root_id,)
        ).fetchone()["n"]
        by_stage = {
            row["stage"]: row["n"]
            for row in self.db.execute(
                "SELECT stage, count(*) AS n FROM chunk WHERE root_id = ? GROUP BY stage", (root_id,)
            )
        }
        unembedded = by_stage.get(NO_VECTOR, 0)
        return Counts(files, sum(by_stage.values()), unembedded, unembedded + by_stage.get(STORED, 0))
