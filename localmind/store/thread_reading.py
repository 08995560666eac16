"""How threads are read out of their tables: the path to the tip, windows of it, branches.

Only SELECTs, over a connection that the store hands in while it holds its lock. A thread of thousands of
turns is read as numbers first, and only the turns of the window with their texts.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from localmind.errors import InvalidRequest, NotFound, from_wire
from localmind.events import Passage
from localmind.messages import Timings, Usage
from localmind.store import images
from localmind.store.transcript import Attachment, Mode, Options, StoredMessage, Thread, Transcript, Turn

THREAD_COLUMNS = (
    "SELECT thread.id, thread.title, thread.folder, thread.created_at, thread.updated_at, thread.options, "
    "(SELECT count(*) FROM turn WHERE thread_id = thread.id) AS turns FROM thread"
)


def as_thread(row: sqlite3.Row) -> Thread:
    values = dict(row)
    options = values.pop("options")
    return Thread(**values, options=msgspec.json.decode(options, type=Options) if options else Options())


def thread(db: sqlite3.Connection, thread_id: str) -> Thread:
    row = db.execute(f"{THREAD_COLUMNS} WHERE thread.id = ?", (storable(thread_id),)).fetchone()
    if row is None:
        raise NotFound(f"no thread {thread_id!r}", hint="localmind threads list")
    return as_thread(row)


def found_by_prefix(db: sqlite3.Connection, prefix: str) -> Thread:
    where = "WHERE substr(thread.id, 1, length(?1)) = ?1 LIMIT 2"
    rows = db.execute(f"{THREAD_COLUMNS} {where}", (storable(prefix),)).fetchall() if prefix else []
    if not rows:
        raise NotFound(f"no thread {prefix!r}", hint="localmind threads list")
    if len(rows) > 1:
        raise InvalidRequest(f"{prefix!r} is the beginning of several threads", hint="localmind threads list")
    return as_thread(rows[0])


def tip(db: sqlite3.Connection, thread_id: str) -> int | None:
    """The message that the next question follows; None in an empty thread."""
    row = db.execute("SELECT tip FROM thread WHERE id = ?", (thread_id,)).fetchone()
    return None if row is None or row["tip"] is None else int(row["tip"])


def path_to(db: sqlite3.Connection, message_id: int | None) -> list[tuple[int, int]]:
    """(turn, last message of it) from the first turn to the one of `message_id`."""
    rows = db.execute(
        "WITH RECURSIVE path (turn_id, message_id, parent, depth) AS ("
        " SELECT turn.id, message.id, turn.parent, 0 FROM message JOIN turn ON turn.id = message.turn_id"
        " WHERE message.id = ?"
        " UNION ALL"
        " SELECT turn.id, message.id, turn.parent, depth + 1 FROM path"
        " JOIN message ON message.id = path.parent JOIN turn ON turn.id = message.turn_id"
        ") SELECT turn_id, message_id FROM path ORDER BY depth DESC",
        (message_id,),
    )
    return [(row["turn_id"], row["message_id"]) for row in rows]


def newest_leaf(db: sqlite3.Connection, message_id: int) -> int:
    """Where a conversation that goes through `message_id` ended last."""
    while True:
        row = db.execute(
            "SELECT answer.id FROM message JOIN message AS answer ON answer.turn_id = message.turn_id "
            "WHERE message.id = ? AND message.role = 'user' AND answer.role = 'assistant' ORDER BY answer.id DESC",
            (message_id,),
        ).fetchone()
        answer = message_id if row is None else row["id"]
        row = db.execute(
            "SELECT message.id FROM message AS before JOIN turn AS earlier ON earlier.id = before.turn_id "
            "JOIN turn ON turn.thread_id = earlier.thread_id AND turn.parent = before.id "
            "JOIN message ON message.turn_id = turn.id "
            "WHERE before.id = ? AND message.role <> 'assistant' ORDER BY message.id DESC",
            (answer,),
        ).fetchone()
        if row is None:
            return int(answer)
        message_id = row["id"]


def transcript(
    db: sqlite3.Connection, thread_id: str, *, start: int | None, limit: int | None, around: int | None
) -> Transcript:
    """The path to the tip; `limit` turns of it from `start` on, else with `around` in the middle, else its last."""
    found = thread(db, thread_id)
    path = path_to(db, tip(db, thread_id))
    total = len(path)
    wanted = total if limit is None else limit
    if start is None and around is not None:
        place = next((index for index, (turn_id, _) in enumerate(path) if turn_id == _turn_of(db, around)), total)
        start = place - wanted // 2
    if start is None:
        start = total - wanted
    start = max(0, min(start, total - wanted))
    return Transcript(found, tuple(_turns(db, path[start : start + wanted])), start, total)


def turns_before(db: sqlite3.Connection, turn_id: int) -> list[Turn]:
    """The path that a turn follows."""
    row = db.execute("SELECT parent FROM turn WHERE id = ?", (turn_id,)).fetchone()
    return [] if row is None else _turns(db, path_to(db, row["parent"]))


def turn(db: sqlite3.Connection, turn_id: int, message_id: int) -> Turn:
    return _turns(db, [(turn_id, message_id)])[0]


def mode_after(db: sqlite3.Connection, message_id: int | None, folder: str | None, filters: str | None) -> Mode:
    """What a question that does not say is answered from, behind a message: what was attached there, unless it names a
    folder or files of its own."""
    turn_id = None if folder or filters or message_id is None else _turn_of(db, message_id)
    if turn_id is None or message_id is None:
        return "files"
    return "attached" if turn(db, turn_id, message_id).about_attached else "files"


def _turn_of(db: sqlite3.Connection, message_id: int) -> int | None:
    row = db.execute("SELECT turn_id FROM message WHERE id = ?", (message_id,)).fetchone()
    return None if row is None else int(row["turn_id"])


def _turns(db: sqlite3.Connection, path: Sequence[tuple[int, int]]) -> list[Turn]:
    wanted = json.dumps([turn_id for turn_id, _ in path])
    shown = json.dumps([message_id for _, message_id in path])
    rows = {
        row["id"]: dict(row)
        for row in db.execute("SELECT * FROM turn WHERE id IN (SELECT value FROM json_each(?))", (wanted,))
    }
    sources: dict[int, list[Passage]] = {}
    for row in db.execute("SELECT * FROM source WHERE message_id IN (SELECT value FROM json_each(?))", (shown,)):
        values = dict(row)
        sources.setdefault(values.pop("message_id"), []).append(Passage(**values))
    messages: dict[int, dict[int, StoredMessage]] = {}
    for row in db.execute(
        "SELECT * FROM message WHERE turn_id IN (SELECT value FROM json_each(?)) "
        "AND (role <> 'assistant' OR id IN (SELECT value FROM json_each(?)))",
        (wanted, shown),
    ):
        message = _message(dict(row), tuple(sources.get(row["id"], ())))
        messages.setdefault(message.turn_id, {})[message.id] = message
    pictures = images.of_questions(db, wanted)
    answers = _grouped(
        db,
        "SELECT turn_id AS key, id FROM message WHERE role = 'assistant' "
        "AND turn_id IN (SELECT value FROM json_each(?)) ORDER BY id",
        wanted,
    )
    questions = _grouped(
        db,
        "SELECT turn.id AS key, message.id FROM turn "
        "JOIN turn AS other ON other.thread_id = turn.thread_id AND other.parent IS turn.parent "
        "JOIN message ON message.turn_id = other.id AND message.role <> 'assistant' "
        "WHERE turn.id IN (SELECT value FROM json_each(?)) ORDER BY message.id",
        wanted,
    )
    turns = []
    for turn_id, message_id in path:
        said = messages[turn_id]
        question = next(message for message in said.values() if message.role != "assistant")
        if question.id in pictures:
            question = replace(question, images=pictures[question.id])
        turns.append(
            Turn(
                id=turn_id,
                number=rows[turn_id]["number"],
                mode=rows[turn_id]["mode"],
                folder=rows[turn_id]["folder"],
                filters=rows[turn_id]["filters"],
                question=question,
                answer=said[message_id] if message_id != question.id else None,
                questions=questions[turn_id],
                answers=answers.get(turn_id, ()),
            )
        )
    return turns


def _grouped(db: sqlite3.Connection, select: str, wanted: str) -> dict[int, tuple[int, ...]]:
    groups: dict[int, tuple[int, ...]] = {}
    for row in db.execute(select, (wanted,)):
        groups[row["key"]] = (*groups.get(row["key"], ()), row["id"])
    return groups


def _message(row: dict[str, Any], sources: tuple[Passage, ...]) -> StoredMessage:
    row["usage"] = msgspec.json.decode(row["usage"], type=Usage) if row["usage"] else Usage()
    row["timings"] = msgspec.json.decode(row["timings"], type=Timings) if row["timings"] else Timings()
    row["error"] = from_wire(msgspec.json.decode(row["error"])) if row["error"] else None
    attached = row["attachments"]
    row["attachments"] = msgspec.json.decode(attached, type=tuple[Attachment, ...]) if attached else ()
    return StoredMessage(**row, sources=tuple(sorted(sources, key=lambda passage: passage.number)))


def storable(text: str) -> str:
    """`text` without lone surrogates, which arrive with undecodable arguments and file names and are no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def storable_fields(values: dict[str, Any]) -> dict[str, Any]:
    return {key: storable(value) if isinstance(value, str) else value for key, value in values.items()}
