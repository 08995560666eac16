"""Answers of OpenAI's Responses that a later request may build on, with what they answered.

It owns `responses.db`. An answer is kept with its own input alone and the id of the one before it, so that a long
conversation costs no more than what was said. The newest KEPT are there; the API promises them no longer than the
user's disk and patience last. Calls are short and blocking, safe from any thread.
"""

import sqlite3
import threading
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from localmind.errors import NotFound
from localmind.store.connection import Migration, open_database, transaction

KEPT = 2000
LONGEST_CHAIN = 1000

MIGRATIONS = (
    Migration(
        1,
        "responses",
        """
CREATE TABLE response (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    previous TEXT,
    input BLOB NOT NULL,
    body BLOB NOT NULL
);
""",
    ),
)

_WITH_SOURCES = "FROM response, json_each(CAST(response.body AS TEXT), '$.sources') AS source"
"""Answers with the passages that they were given, a row each."""
_PATH = "json_extract(source.value, '$.path')"


@dataclass(slots=True, frozen=True)
class StoredResponse:
    id: str
    previous: str | None
    input: list[Any]
    """Items as the client sent them."""
    body: dict[str, Any]
    """The response as it was given out."""


class Responses:
    """The store. It opens its file with the first call, since most daemons are never asked."""

    def __init__(self, path: Path, *, kept: int = KEPT) -> None:
        self._path = path
        self._kept = kept
        self._lock = threading.RLock()
        self._open: sqlite3.Connection | None = None

    def close(self) -> None:
        with self._lock:
            if self._open is not None:
                self._open.close()
            self._open = None

    def add(self, response: StoredResponse) -> None:
        """Keep it, on the disk on return; the oldest goes when there are too many."""
        values = (
            response.id,
            response.previous,
            msgspec.json.encode(response.input),
            msgspec.json.encode(response.body),
        )
        with self._lock, transaction(self._db) as db:
            db.execute("INSERT INTO response (id, previous, input, body) VALUES (?, ?, ?, ?)", values)
            db.execute("DELETE FROM response WHERE number <= (SELECT max(number) FROM response) - ?", (self._kept,))

    def get(self, response_id: str) -> StoredResponse:
        """Raises NotFound."""
        with self._lock:
            row = self._db.execute("SELECT * FROM response WHERE id = ?", (response_id,)).fetchone()
        if row is None:
            raise NotFound(
                f"there is no response {response_id[:80]!r}",
                hint="it was sent with store=false, deleted, or is too old",
            )
        return StoredResponse(
            row["id"], row["previous"], msgspec.json.decode(row["input"]), msgspec.json.decode(row["body"])
        )

    def chain(self, response_id: str) -> list[StoredResponse]:
        """That one and all before it, oldest first. Raises NotFound when one of them is gone."""
        found = [self.get(response_id)]
        while (previous := found[-1].previous) is not None and len(found) < LONGEST_CHAIN:
            found.append(self.get(previous))
        return found[::-1]

    def remove(self, response_id: str) -> None:
        """Raises NotFound."""
        self.get(response_id)
        with self._lock, transaction(self._db) as db:
            db.execute("DELETE FROM response WHERE id = ?", (response_id,))

    def quoted(self) -> list[tuple[str, int]]:
        """(file, chunk) that some answer rests on: those that `file_search` found for it."""
        with self._lock:
            if not self._path.exists():
                return []
            chunk = "json_extract(source.value, '$.chunk_id')"
            rows = self._db.execute(f"SELECT DISTINCT {_PATH}, {chunk} {_WITH_SOURCES}")
            return [(str(row[0]), int(row[1] or 0)) for row in rows]

    def forget(self, gone: Collection[str]) -> int:
        """Remove the answers that rest on these files, and all that go on from them; returns how many.

        A client that wants to go on from one is told that it is gone, as when it is too old.
        """
        if not gone or not self._path.exists():
            return 0
        marks = ", ".join("?" * len(gone))
        with self._lock:
            with transaction(self._db) as db:
                count = db.execute(
                    "DELETE FROM response WHERE id IN ("
                    f"WITH RECURSIVE lost (id) AS (SELECT response.id {_WITH_SOURCES} WHERE {_PATH} IN ({marks})"
                    " UNION SELECT response.id FROM response JOIN lost ON response.previous = lost.id)"
                    " SELECT id FROM lost)",
                    tuple(gone),
                ).rowcount
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return count

    @property
    def _db(self) -> sqlite3.Connection:
        if self._open is None:
            self._open = open_database(self._path, MIGRATIONS, synchronous="NORMAL")
        return self._open
