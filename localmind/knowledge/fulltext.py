"""Rows in and out of the full-text index of chunks, many at a time.

FTS5 gathers words in memory and writes them out as one segment, but at every statement that may have to be
undone by itself it writes what it has; a trigger on `chunk` would make each inserted row such a statement (2.4
times the work of storing a file, measured). So whoever adds, renames or deletes chunks calls these, inside the same
transaction. The text comes from the table: a row is removed before it changes and added after.
"""

import sqlite3
from typing import Any

COLUMNS = "text, heading, path, extra"


def add(db: sqlite3.Connection, where: str, values: tuple[Any, ...] = ()) -> None:
    """Index the rows of `chunk` that fulfil a condition; they must not be indexed yet."""
    db.execute(
        f"INSERT INTO chunk_fts (rowid, {COLUMNS}) SELECT id, {COLUMNS} FROM chunk WHERE {where} ORDER BY id", values
    )


def remove(db: sqlite3.Connection, where: str, values: tuple[Any, ...] = ()) -> None:
    """Take the rows of `chunk` that fulfil a condition out of the index, before they change or go."""
    db.execute(
        f"INSERT INTO chunk_fts (chunk_fts, rowid, {COLUMNS}) SELECT 'delete', id, {COLUMNS} FROM chunk WHERE {where}"
        " ORDER BY id",
        values,
    )


def delete(db: sqlite3.Connection, where: str, values: tuple[Any, ...] = ()) -> None:
    """Delete rows of `chunk`, with their words."""
    remove(db, where, values)
    db.execute(f"DELETE FROM chunk WHERE {where}", values)


def delete_root(db: sqlite3.Connection, root_id: int) -> None:
    """Delete all rows of a root. When no other has any, the words are dropped as a whole: they need not be cut again
    to be found, which takes seconds for a big folder."""
    other = "SELECT 1 FROM root WHERE id != ? AND EXISTS (SELECT 1 FROM chunk WHERE root_id = root.id)"
    if db.execute(other, (root_id,)).fetchone() is None:
        db.execute("INSERT INTO chunk_fts (chunk_fts) VALUES ('delete-all')")
    else:
        remove(db, "root_id = ?", (root_id,))
    db.execute("DELETE FROM chunk WHERE root_id = ?", (root_id,))
