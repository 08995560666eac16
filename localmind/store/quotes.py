"""What threads still quote of files that are gone: found, and blanked.

A source keeps its path and lines and loses its text; what the answers of its thread repeat of it word for
word is taken out of them. What the user wrote stays. Copies of the database from before migrations are treated the
same. Which files are gone is for the caller to say.
"""

import contextlib
import re
import sqlite3
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from localmind.store.connection import transaction
from localmind.store.forgetting import OPTIMIZE

FORGOTTEN = "[forgotten: the file is gone, or its folder is no longer watched]"
"""Stands in place of a quoted passage."""
LEFT_OUT = "[forgotten]"
"""Stands in an answer in place of what it repeated."""
# So many words in a row that a passage has too are a repetition of it and no accident.
WORDS_ALIKE = 5

# A letter of a language without blanks is a word here.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


def quoted(db: sqlite3.Connection) -> list[tuple[str, int]]:
    """(file, chunk) of which some thread holds a quotation."""
    rows = db.execute("SELECT DISTINCT path, chunk_id FROM source WHERE text <> ?", (FORGOTTEN,))
    return [(row["path"], row["chunk_id"]) for row in rows]


def forget(db: sqlite3.Connection, path: Path, gone: Collection[str]) -> int:
    """Blank all quotations of these files, in the database at `path` and its copies; returns how many there were."""
    if not gone:
        return 0
    count = _blank(db, gone)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for copy in path.parent.glob(f"{path.name}.backup-*"):
        with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as old:
            old.row_factory = sqlite3.Row
            old.execute("PRAGMA secure_delete = ON")
            _blank(old, gone)
    return count


def _blank(db: sqlite3.Connection, gone: Collection[str]) -> int:
    marks = ", ".join("?" * len(gone))
    where = f"path IN ({marks}) AND text <> ?"
    with transaction(db):
        rows = db.execute(
            "SELECT turn.thread_id, source.text FROM source JOIN message ON message.id = message_id"
            f" JOIN turn ON turn.id = turn_id WHERE {where}",
            (*gone, FORGOTTEN),
        ).fetchall()
        said: dict[str, list[str]] = {}
        for row in rows:
            said.setdefault(row["thread_id"], []).append(row["text"])
        for thread_id, texts in said.items():
            _blank_answers(db, thread_id, texts)
        db.execute(f"UPDATE source SET text = ?, heading = NULL WHERE {where}", (FORGOTTEN, *gone, FORGOTTEN))
        if rows and _has_index(db):
            db.execute(OPTIMIZE)
    return len(rows)


def _blank_answers(db: sqlite3.Connection, thread_id: str, texts: list[str]) -> None:
    # A copy from before that column was there has no reasoning.
    thoughts = any(row["name"] == "reasoning" for row in db.execute("PRAGMA table_info (message)"))
    reasoning_of = "reasoning" if thoughts else "''"
    answers = db.execute(
        f"SELECT message.id, content, {reasoning_of} AS reasoning, state FROM message"
        " JOIN turn ON turn.id = turn_id WHERE thread_id = ? AND role = 'assistant'",
        (thread_id,),
    ).fetchall()
    repeated = _runs(texts)
    for row in answers:
        content, reasoning = without(row["content"], repeated), without(row["reasoning"], repeated)
        indexed = _has_index(db) and row["state"] != "streaming" and content != row["content"]
        if indexed:
            db.execute(
                "INSERT INTO message_fts (message_fts, rowid, content) VALUES ('delete', ?, ?)",
                (row["id"], row["content"]),
            )
            db.execute("INSERT INTO message_fts (rowid, content) VALUES (?, ?)", (row["id"], content))
        if content != row["content"]:
            db.execute("UPDATE message SET content = ? WHERE id = ?", (content, row["id"]))
        if reasoning != row["reasoning"]:
            db.execute("UPDATE message SET reasoning = ? WHERE id = ?", (reasoning, row["id"]))


def _has_index(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'message_fts'").fetchone() is not None


Repeated = Callable[[tuple[str, ...]], bool]


def _runs(texts: list[str]) -> Repeated:
    """Whether so many words in a row stand in one of the texts."""
    known: set[tuple[str, ...]] = set()
    for text in texts:
        words = [match[0].lower() for match in _WORD.finditer(text)]
        # A passage of fewer words is repeated when all of them are.
        length = min(WORDS_ALIKE, len(words))
        if length:
            known |= {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}
    return known.__contains__


def without(text: str, repeated: Repeated) -> str:
    """The text with LEFT_OUT for each longest run of words that is repeated."""
    found = list(_WORD.finditer(text))
    words = tuple(match[0].lower() for match in found)
    alike = [False] * len(words)
    for length in range(1, WORDS_ALIKE + 1):
        for at in range(len(words) - length + 1):
            if repeated(words[at : at + length]):
                alike[at : at + length] = [True] * length
    pieces, end = [], 0
    for first, last in _stretches(alike):
        pieces += [text[end : found[first].start()], LEFT_OUT]
        end = found[last].end()
    return "".join([*pieces, text[end:]])


def _stretches(marks: list[bool]) -> Iterator[tuple[int, int]]:
    """(first, last) of every run of True."""
    first: int | None = None
    for at, mark in enumerate([*marks, False]):
        if mark and first is None:
            first = at
        elif not mark and first is not None:
            yield first, at - 1
            first = None
