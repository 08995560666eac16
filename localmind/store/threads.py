"""What was said: threads, their turns and their messages, with the sources of each answer.

It owns `threads.db` and nothing else writes there; the daemon holds the one instance. A turn is one
question and what was answered to it. The question is on the disk before anything is generated, and
an answer is stored while it streams, so that a stop, a crash or a power cut loses a quarter of a
second of the answer and never what the user typed. It generates nothing, ranks nothing and knows
no client. Calls are short and blocking, safe from any thread.
"""

import contextlib
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from localmind.errors import InternalError, InvalidRequest, LocalmindError, NotFound, from_wire, to_wire
from localmind.events import Passage
from localmind.messages import Timings, Usage
from localmind.store.connection import open_database, transaction
from localmind.store.threads_schema import MIGRATIONS
from localmind.store.transcript import StoredMessage, Thread, Transcript, Turn, title_of

DRAFT_SECONDS = 0.25
"""An answer is written to the disk this often while it streams: eight streams cost 32 small writes a second."""


@dataclass(slots=True)
class _Draft:
    """The text of an answer that is still streaming, ahead of the disk by at most DRAFT_SECONDS."""

    thread_id: str
    written_at: float
    pieces: list[str] = field(default_factory=list)
    dirty: bool = False


class Threads:
    """The store. `clock` gives Unix seconds, `monotonic` paces the writing of drafts."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._drafts: dict[int, _Draft] = {}
        self._db = open_database(path, MIGRATIONS, synchronous="FULL")
        self._end_orphans()

    def close(self) -> None:
        """Write drafts and close. Answers still streaming count as crashed at the next opening."""
        with self._lock:
            self._flush(self._drafts)
            self._db.close()

    def create(self, *, title: str = "", folder: str | None = None) -> Thread:
        """A new thread without turns."""
        thread_id = secrets.token_hex(6)  # random from its first digit, so that a short prefix names a thread
        now = self._clock()
        with self._write():
            self._db.execute(
                "INSERT INTO thread (id, title, folder, created_at, updated_at) VALUES (?, ?, ?, ?, ?)",
                (thread_id, _storable(title), folder and _storable(folder), now, now),
            )
        return Thread(thread_id, _storable(title), folder and _storable(folder), now, now, 0)

    def ask(self, thread_id: str, text: str) -> Turn:
        """Store what the user typed as a new turn. On return it is on the disk, whatever happens next."""
        text = _storable(text)
        now = self._clock()
        with self._write():
            thread = self._thread(thread_id)
            turn_id = _inserted(
                self._db.execute(
                    "INSERT INTO turn (thread_id, number) SELECT ?, coalesce(max(number), 0) + 1 FROM turn "
                    "WHERE thread_id = ?",
                    (thread_id, thread_id),
                )
            )
            self._db.execute(
                "INSERT INTO message (turn_id, role, content, state, created_at, finished_at) "
                "VALUES (?, 'user', ?, 'done', ?, ?)",
                (turn_id, text, now, now),
            )
            self._db.execute(
                "UPDATE thread SET updated_at = ?, title = ? WHERE id = ?",
                (now, thread.title or title_of(text), thread_id),
            )
            return self._turns("turn.id = ?", turn_id)[0]

    def begin(self, turn_id: int, *, model: str) -> int:
        """An empty answer in the state `streaming`; returns its message id for `extend` and `finish`."""
        with self._write():
            row = self._db.execute("SELECT thread_id FROM turn WHERE id = ?", (turn_id,)).fetchone()
            if row is None:
                raise NotFound(f"no turn {turn_id}; was its thread deleted?", hint="localmind threads")
            message_id = _inserted(
                self._db.execute(
                    "INSERT INTO message (turn_id, role, content, state, model, created_at) "
                    "VALUES (?, 'assistant', '', 'streaming', ?, ?)",
                    (turn_id, model, self._clock()),
                )
            )
            self._drafts[message_id] = _Draft(row["thread_id"], self._monotonic())
        return message_id

    def extend(self, message_id: int, text: str) -> None:
        """Append to a streaming answer. Raises NotFound when it has ended or its thread was deleted."""
        with self._lock:
            draft = self._draft(message_id)
            draft.pieces.append(_storable(text))
            draft.dirty = True
            if self._monotonic() - draft.written_at >= DRAFT_SECONDS:
                self._flush([message_id])

    def cite(self, message_id: int, passages: Sequence[Passage]) -> None:
        """Store the sources of an answer, in place of any stored before."""
        with self._write():
            self._draft(message_id)
            self._replace_sources(message_id, passages)

    def finish(
        self,
        message_id: int,
        state: Literal["done", "stopped", "failed"] = "done",
        *,
        finish_reason: str | None = None,
        usage: Usage | None = None,
        timings: Timings | None = None,
        error: LocalmindError | None = None,
        sources: Sequence[Passage] | None = None,
    ) -> bool:
        """End an answer and keep its text, whole or not. False when it had ended already or is deleted."""
        with self._write():
            draft = self._drafts.get(message_id)
            if draft is None:
                return False
            if sources is not None:
                self._replace_sources(message_id, sources)
            now = self._clock()
            self._db.execute(
                "UPDATE message SET content = ?, state = ?, finish_reason = ?, usage = ?, timings = ?, error = ?, "
                "finished_at = ? WHERE id = ?",
                (
                    "".join(draft.pieces),
                    state,
                    finish_reason,
                    None if usage is None else msgspec.json.encode(usage).decode(),
                    None if timings is None else msgspec.json.encode(timings).decode(),
                    None if error is None else _error_text(error),
                    now,
                    message_id,
                ),
            )
            self._db.execute("UPDATE thread SET updated_at = ? WHERE id = ?", (now, draft.thread_id))
        with self._lock:  # only after the commit: a full disk must leave the draft where `finish` can be tried again
            self._drafts.pop(message_id, None)
        return True

    def recent(self, *, limit: int = 50, offset: int = 0) -> list[Thread]:
        """Threads, the one used last first."""
        with self._lock:
            rows = self._db.execute(
                f"{_THREAD_COLUMNS} ORDER BY updated_at DESC, thread.rowid DESC LIMIT ? OFFSET ?", (limit, offset)
            )
            return [Thread(**row) for row in rows]

    def find(self, prefix: str) -> Thread:
        """The one thread whose id begins with `prefix`. Raises NotFound or, when several do, InvalidRequest."""
        with self._lock:
            where = "WHERE substr(thread.id, 1, length(?1)) = ?1 LIMIT 2"
            rows = self._db.execute(f"{_THREAD_COLUMNS} {where}", (_storable(prefix),)).fetchall() if prefix else []
        if not rows:
            raise NotFound(f"no thread {prefix!r}", hint="localmind threads")
        if len(rows) > 1:
            raise InvalidRequest(f"{prefix!r} is the beginning of several threads", hint="localmind threads")
        return Thread(**rows[0])

    def get(self, thread_id: str) -> Transcript:
        """A thread with everything said in it, the part of a streaming answer included."""
        with self._lock:
            self._flush([key for key, draft in self._drafts.items() if draft.thread_id == thread_id])
            return Transcript(self._thread(thread_id), tuple(self._turns("turn.thread_id = ?", thread_id)))

    def delete(self, thread_id: str) -> None:
        """Remove a thread from the database, from its write-ahead log and from the copies made before migrations."""
        with self._write():
            if not self._db.execute("DELETE FROM thread WHERE id = ?", (thread_id,)).rowcount:
                raise NotFound(f"no thread {thread_id!r}", hint="localmind threads")
            self._drafts = {key: draft for key, draft in self._drafts.items() if draft.thread_id != thread_id}
        with self._lock:
            # secure_delete zeroes the pages, yet the log still holds their older images until it is emptied.
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for copy in self._path.parent.glob(f"{self._path.name}.backup-*"):
            with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as old:
                old.execute("PRAGMA secure_delete = ON")
                old.execute("PRAGMA foreign_keys = ON")
                old.execute("DELETE FROM thread WHERE id = ?", (thread_id,))

    @contextlib.contextmanager
    def _write(self) -> Iterator[None]:
        with self._lock, transaction(self._db):
            yield

    def _end_orphans(self) -> None:
        """What streams while nobody has it open was cut off by a crash. Its text stays."""
        error = InternalError("localmind stopped while it was writing this answer", hint="localmind doctor")
        with self._write():
            self._db.execute(
                "UPDATE message SET state = 'failed', error = ?, finished_at = ? WHERE state = 'streaming'",
                (_error_text(error), self._clock()),
            )

    def _draft(self, message_id: int) -> _Draft:
        draft = self._drafts.get(message_id)
        if draft is None:
            raise NotFound(f"answer {message_id} is not streaming: it has ended, or its thread was deleted")
        return draft

    def _flush(self, message_ids: Sequence[int] | dict[int, _Draft]) -> None:
        late = [(key, draft) for key in message_ids if (draft := self._drafts[key]).dirty]
        if not late:
            return
        # Without a wait for the disk: the text survives a crash of ours at once, and a power cut after the next
        # FULL commit or checkpoint. Waiting four times a second and stream would stall the daemon's loop.
        self._db.execute("PRAGMA synchronous = NORMAL")
        try:
            with transaction(self._db):
                for key, draft in late:
                    draft.pieces[:] = ["".join(draft.pieces)]
                    self._db.execute("UPDATE message SET content = ? WHERE id = ?", (draft.pieces[0], key))
        finally:
            self._db.execute("PRAGMA synchronous = FULL")
        for _, draft in late:
            draft.dirty = False
            draft.written_at = self._monotonic()

    def _thread(self, thread_id: str) -> Thread:
        row = self._db.execute(f"{_THREAD_COLUMNS} WHERE thread.id = ?", (_storable(thread_id),)).fetchone()
        if row is None:
            raise NotFound(f"no thread {thread_id!r}", hint="localmind threads")
        return Thread(**row)

    def _turns(self, where: str, argument: str | int) -> list[Turn]:
        sources: dict[int, list[Passage]] = {}
        for row in self._db.execute(
            f"SELECT source.* FROM source JOIN message ON message.id = message_id JOIN turn ON turn.id = turn_id "
            f"WHERE {where} ORDER BY source.number",
            (argument,),
        ):
            values = dict(row)
            sources.setdefault(values.pop("message_id"), []).append(Passage(**values))
        turns: dict[int, tuple[int, list[StoredMessage]]] = {}
        for row in self._db.execute(
            f"SELECT message.*, turn.number FROM message JOIN turn ON turn.id = turn_id WHERE {where} "
            "ORDER BY turn.number, message.id",
            (argument,),
        ):
            message = _message(dict(row), tuple(sources.get(row["id"], ())))
            turns.setdefault(message.turn_id, (row["number"], []))[1].append(message)
        return [Turn(key, number, tuple(messages)) for key, (number, messages) in turns.items()]

    def _replace_sources(self, message_id: int, passages: Sequence[Passage]) -> None:
        self._db.execute("DELETE FROM source WHERE message_id = ?", (message_id,))
        self._db.executemany(
            "INSERT INTO source (message_id, number, path, line_start, line_end, page, heading, text, score, chunk_id) "
            "VALUES (:message_id, :number, :path, :line_start, :line_end, :page, :heading, :text, :score, :chunk_id)",
            [_storable_fields(msgspec.structs.asdict(passage)) | {"message_id": message_id} for passage in passages],
        )


_THREAD_COLUMNS = (
    "SELECT id, title, folder, created_at, updated_at, "
    "(SELECT count(*) FROM turn WHERE thread_id = thread.id) AS turns FROM thread"
)


def _message(row: dict[str, Any], sources: tuple[Passage, ...]) -> StoredMessage:
    del row["number"]
    row["usage"] = msgspec.json.decode(row["usage"], type=Usage) if row["usage"] else Usage()
    row["timings"] = msgspec.json.decode(row["timings"], type=Timings) if row["timings"] else Timings()
    row["error"] = from_wire(msgspec.json.decode(row["error"])) if row["error"] else None
    return StoredMessage(**row, sources=sources)


def _error_text(error: LocalmindError) -> str:
    return msgspec.json.encode(_storable_fields(to_wire(error))).decode()


def _storable_fields(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _storable(value) if isinstance(value, str) else value for key, value in values.items()}


def _storable(text: str) -> str:
    """`text` without lone surrogates, which arrive with undecodable arguments and file names and are no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _inserted(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None
    return cursor.lastrowid
