"""Deleting for real: branches out of the tree, and every byte out of the index, the log and the copies.

SQLite zeroes the pages it frees (`secure_delete`), yet a deleted text is still in older segments of the
full-text index, in the write-ahead log and in the copies made before migrations. Deletions are given as
(turn ids, message ids), which are the same in every copy.
"""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from localmind.store.connection import transaction
from localmind.store.thread_reading import newest_leaf, tip

OPTIMIZE = "INSERT INTO message_fts (message_fts) VALUES ('optimize')"
"""Merges all segments of the index into one, without what was deleted."""


def delete_branch(db: sqlite3.Connection, thread_id: str, message_id: int) -> tuple[list[int], list[int]]:
    """Delete a message and all that follows it, within the caller's transaction, and move the tip to what is left.

    Returns what was deleted: whole turns, and the message.
    """
    place = db.execute(
        "SELECT message.role, message.turn_id, turn.parent FROM message JOIN turn ON turn.id = turn_id "
        "WHERE message.id = ?",
        (message_id,),
    ).fetchone()
    whole_turn = place["role"] != "assistant"
    turns = [place["turn_id"]] if whole_turn else []
    gone = _messages_in(db, turns) if whole_turn else [message_id]
    while gone:
        marks = ", ".join("?" * len(gone))
        below = [row[0] for row in db.execute(f"SELECT id FROM turn WHERE parent IN ({marks})", gone)]
        turns += below
        gone = _messages_in(db, below)
    _delete(db, turns, [message_id])
    if db.execute("SELECT 1 FROM message WHERE id = ?", (tip(db, thread_id),)).fetchone() is None:
        leaf = _leaf_beside(db, thread_id, place["parent"], None if whole_turn else place["turn_id"])
        db.execute("UPDATE thread SET tip = ? WHERE id = ?", (leaf, thread_id))
    return turns, [message_id]


def turns_of(db: sqlite3.Connection, thread_id: str) -> list[int]:
    return [row[0] for row in db.execute("SELECT id FROM turn WHERE thread_id = ?", (thread_id,))]


def forget_copies(
    db: sqlite3.Connection, path: Path, turns: Sequence[int], messages: Sequence[int], thread_id: str | None = None
) -> None:
    """Bring what was deleted out of the index, out of the log and out of every copy beside `path`."""
    with transaction(db):
        db.execute(OPTIMIZE)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for copy in path.parent.glob(f"{path.name}.backup-*"):
        with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as old:
            old.execute("PRAGMA secure_delete = ON")
            old.execute("PRAGMA foreign_keys = ON")
            old.execute("DELETE FROM thread WHERE id = ?", (thread_id,))
            _delete(old, turns, messages)
            if old.execute("SELECT 1 FROM sqlite_master WHERE name = 'message_fts'").fetchone():
                old.execute(OPTIMIZE)


def _delete(db: sqlite3.Connection, turns: Sequence[int], messages: Sequence[int]) -> None:
    db.executemany("DELETE FROM turn WHERE id = ?", [(turn_id,) for turn_id in turns])
    db.executemany("DELETE FROM message WHERE id = ?", [(message_id,) for message_id in messages])


def _messages_in(db: sqlite3.Connection, turns: Sequence[int]) -> list[int]:
    marks = ", ".join("?" * len(turns))
    return [row[0] for row in db.execute(f"SELECT id FROM message WHERE turn_id IN ({marks})", turns)]


def _leaf_beside(db: sqlite3.Connection, thread_id: str, parent: int | None, turn_id: int | None) -> int | None:
    """Where a thread goes on whose branch was deleted: another wording or answer, else what came before."""
    if turn_id is None:
        row = db.execute(
            "SELECT message.id FROM turn JOIN message ON message.turn_id = turn.id "
            "WHERE turn.thread_id = ? AND turn.parent IS ? AND message.role <> 'assistant' ORDER BY message.id DESC",
            (thread_id, parent),
        ).fetchone()
    else:
        row = db.execute("SELECT id FROM message WHERE turn_id = ? ORDER BY id DESC", (turn_id,)).fetchone()
    return parent if row is None else newest_leaf(db, row["id"])
