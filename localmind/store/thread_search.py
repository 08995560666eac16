"""Full-text search over titles and everything that was said, nearest first.

What was typed as it stands comes before its words apart, whole words before their beginnings, and a title before
messages that are as near: who looks for `question 42` must not go through 420 to 429 first, however new they are.
Equally near messages are in the order of BM25, then newest first. Only SELECTs, as in thread_reading.
"""

import re
import sqlite3
import unicodedata
from collections.abc import Sequence

from localmind.store.thread_reading import storable, thread
from localmind.store.transcript import Hit

MARK, UNMARK = "\x02", "\x03"
"""Around what a search found, within SQLite only."""
SNIPPET_WORDS = 24
ALL = -1
"""For SQLite's LIMIT."""
FAR = 3
"""How far the farthest is: 0 as typed, 1 all its words, 2 as typed but for the end of the last word, 3 all its words,
the last one as a beginning."""


def search(db: sqlite3.Connection, query: str, limit: int, *, once: bool = False) -> list[Hit]:
    """Threads by their titles, and messages with all the words, the last one as a beginning; nearest first.

    `once`: of each thread what is nearest only, so that one of many words hides no other.
    """
    words = re.findall(r"\w+", storable(query))
    if not words:
        return []
    found = _titles(db, words, limit) + _messages(db, words, storable(query).strip(), ALL if once else limit)
    hits = [hit for _, hit in sorted(found, key=lambda each: each[0])]
    if once:
        nearest: dict[str, Hit] = {}
        for hit in hits:
            nearest.setdefault(hit.thread.id, hit)
        hits = list(nearest.values())
    return hits[:limit]


def _titles(db: sqlite3.Connection, words: Sequence[str], limit: int) -> list[tuple[int, Hit]]:
    wanted = [_folded(word) for word in words]
    within = re.compile(".*".join(map(re.escape, wanted)), re.DOTALL)
    found = [
        (_distance(folded, wanted), row["id"])
        for row in db.execute("SELECT id, title FROM thread ORDER BY updated_at DESC")
        if within.search(folded := _folded(row["title"]))
    ]
    nearest = sorted(found, key=lambda each: each[0])[:limit]
    threads = [(far, thread(db, key)) for far, key in nearest]
    return [(far, Hit(each, None, None, each.updated_at, ((each.title, False),))) for far, each in threads]


def _distance(text: str, words: Sequence[str]) -> int:
    phrase = r"\W+".join(map(re.escape, words))
    if re.search(rf"\b{phrase}\b", text):
        return 0
    if set(words) <= set(re.findall(r"\w+", text)):
        return 1
    return 2 if re.search(rf"\b{phrase}", text) else FAR


def _folded(text: str) -> str:
    """As the index of messages has it: in small letters without accents."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(part for part in parts if not unicodedata.combining(part))


def _messages(db: sqlite3.Connection, words: Sequence[str], typed: str, limit: int) -> list[tuple[int, Hit]]:
    phrase, apart = " ".join(words), " ".join(f'"{word}"' for word in words)
    nearer = (f'"{phrase}"', apart, f'"{phrase}" *')
    found = "(SELECT rowid FROM message_fts WHERE message_fts MATCH ?)"
    cases = " ".join(f"WHEN message.id IN {found} THEN {far}" for far in range(len(nearer)))
    rows = db.execute(
        f"SELECT message.id, message.role, message.created_at, turn.thread_id, CASE {cases} ELSE {FAR} END AS far, "
        f"snippet(message_fts, 0, '{MARK}', '{UNMARK}', '…', {SNIPPET_WORDS}) AS snippet "
        "FROM message_fts JOIN message ON message.id = message_fts.rowid JOIN turn ON turn.id = message.turn_id "
        "WHERE message_fts MATCH ? "
        "ORDER BY far, instr(lower(message.content), lower(?)) = 0, rank, message.id DESC LIMIT ?",
        (*nearer, f"{apart} *", typed, limit),
    ).fetchall()
    threads = {key: thread(db, key) for key in {row["thread_id"] for row in rows}}
    return [
        (
            row["far"],
            Hit(threads[row["thread_id"]], row["id"], row["role"], row["created_at"], _pieces(row["snippet"])),
        )
        for row in rows
    ]


def _pieces(snippet: str) -> tuple[tuple[str, bool], ...]:
    pieces: list[tuple[str, bool]] = []
    for index, part in enumerate(snippet.split(MARK)):
        marked, _, plain = part.partition(UNMARK) if index else ("", "", part)
        pieces += [(text, is_marked) for text, is_marked in ((marked, True), (plain, False)) if text]
    return tuple(pieces)
