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
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec

from localmind.errors import InternalError, LocalmindError, NotFound, to_wire
from localmind.events import Passage
from localmind.images import Image
from localmind.messages import Message, Timings, Usage
from localmind.store import forgetting, images, quotes, thread_search
from localmind.store import thread_reading as reading
from localmind.store.connection import open_database, transaction
from localmind.store.images import Picture
from localmind.store.thread_reading import storable as _storable
from localmind.store.thread_reading import storable_fields as _storable_fields
from localmind.store.threads_schema import MIGRATIONS
from localmind.store.transcript import Attachment, Hit, Mode, Options, Thread, Transcript, Turn, messages_of, title_of

DRAFT_SECONDS = 0.25
"""An answer is written to the disk this often while it streams: eight streams cost 32 small writes a second."""


@dataclass(slots=True)
class _Draft:
    """The text of an answer that is still streaming, ahead of the disk by at most DRAFT_SECONDS."""

    thread_id: str
    written_at: float
    pieces: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
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

    @property
    def changes(self) -> int:
        """A number that grows whenever something is written."""
        with self._lock:
            return self._db.total_changes

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

    def ask(
        self,
        thread_id: str,
        text: str,
        *,
        mode: Mode | None = None,
        folder: str | None = None,
        filters: str | None = None,
        attachments: Sequence[Attachment] = (),
        pictures: Sequence[Picture] = (),
        beside: int | None = None,
    ) -> Turn:
        """Store what the user typed as a new turn. On return it is on the disk, whatever happens next.

        It follows the thread's newest message; with `beside`, it is another wording of that turn's question.
        """
        text = _storable(text)
        now = self._clock()
        with self._write():
            thread = reading.thread(self._db, thread_id)
            parent = reading.tip(self._db, thread_id)
            if beside is not None:
                row = self._db.execute("SELECT thread_id, parent FROM turn WHERE id = ?", (beside,)).fetchone()
                if row is None or row["thread_id"] != thread_id:
                    raise NotFound(f"no turn {beside} in this thread", hint=f"localmind threads show {thread_id}")
                parent = row["parent"]
            following = reading.mode_after(self._db, parent, folder, filters)
            turn_id = _inserted(
                self._db.execute(
                    "INSERT INTO turn (thread_id, number, parent, mode, folder, filters) "
                    "SELECT ?, coalesce(max(number), 0) + 1, ?, ?, ?, ? FROM turn WHERE thread_id = ?",
                    (thread_id, parent, mode or following, folder and _storable(folder), filters, thread_id),
                )
            )
            message_id = _inserted(
                self._db.execute(
                    "INSERT INTO message (turn_id, role, content, state, attachments, created_at, finished_at) "
                    "VALUES (?, 'user', ?, 'done', ?, ?, ?)",
                    (turn_id, text, _attached(attachments), now, now),
                )
            )
            images.keep(self._db, message_id, pictures)
            self._db.execute(
                "UPDATE thread SET updated_at = ?, title = ?, tip = ? WHERE id = ?",
                (now, thread.title or title_of(text), message_id, thread_id),
            )
            return reading.turn(self._db, turn_id, message_id)

    def begin(self, turn_id: int, *, model: str) -> int:
        """An empty answer in the state `streaming`; returns its message id for `extend` and `finish`."""
        with self._write():
            row = self._db.execute("SELECT thread_id FROM turn WHERE id = ?", (turn_id,)).fetchone()
            if row is None:
                raise NotFound(f"no turn {turn_id}; was its thread deleted?", hint="localmind threads list")
            message_id = _inserted(
                self._db.execute(
                    "INSERT INTO message (turn_id, role, content, state, model, created_at) "
                    "VALUES (?, 'assistant', '', 'streaming', ?, ?)",
                    (turn_id, model, self._clock()),
                )
            )
            self._db.execute("UPDATE thread SET tip = ? WHERE id = ?", (message_id, row["thread_id"]))
            self._drafts[message_id] = _Draft(row["thread_id"], self._monotonic())
        return message_id

    def extend(self, message_id: int, text: str, reasoning: str = "") -> None:
        """Append to a streaming answer. Raises NotFound when it has ended or its thread was deleted."""
        with self._lock:
            draft = self._draft(message_id)
            draft.pieces.append(_storable(text))
            draft.thoughts.append(_storable(reasoning))
            draft.dirty = True
            if self._monotonic() - draft.written_at >= DRAFT_SECONDS:
                self._flush([message_id])

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
                self._store_sources(message_id, sources)
            now = self._clock()
            self._db.execute(
                "UPDATE message SET content = ?, reasoning = ?, state = ?, finish_reason = ?, usage = ?, timings = ?, "
                "error = ?, finished_at = ? WHERE id = ?",
                (
                    "".join(draft.pieces),
                    "".join(draft.thoughts),
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

    def rename(self, thread_id: str, title: str) -> Thread:
        """Give a thread a title of the user's own; an empty one goes back to the first question's beginning."""
        with self._write():
            first = self._db.execute(
                "SELECT content FROM message JOIN turn ON turn.id = turn_id WHERE thread_id = ? "
                "ORDER BY message.id LIMIT 1",
                (thread_id,),
            ).fetchone()
            title = " ".join(_storable(title).split()) or (title_of(first["content"]) if first else "")
            self._db.execute("UPDATE thread SET title = ? WHERE id = ?", (title, thread_id))
            return reading.thread(self._db, thread_id)

    def set_options(self, thread_id: str, options: Options) -> Thread:
        """How a thread is answered from now on, in place of what was set before."""
        with self._write():
            text = _storable(msgspec.json.encode(options).decode())
            self._db.execute("UPDATE thread SET options = ? WHERE id = ?", (text, thread_id))
            return reading.thread(self._db, thread_id)

    def choose(self, message_id: int) -> str:
        """Let a thread go on where the conversation through this message ended last; returns the thread's id."""
        with self._write():
            thread_id = self._thread_of(message_id)
            leaf = reading.newest_leaf(self._db, message_id)
            self._db.execute("UPDATE thread SET tip = ? WHERE id = ?", (leaf, thread_id))
        return thread_id

    def recent(self, *, limit: int = 50, offset: int = 0) -> list[Thread]:
        """Threads, the one used last first."""
        with self._lock:
            rows = self._db.execute(
                f"{reading.THREAD_COLUMNS} ORDER BY updated_at DESC, thread.rowid DESC LIMIT ? OFFSET ?",
                (limit, offset),
            )
            return [reading.as_thread(row) for row in rows]

    def find(self, prefix: str) -> Thread:
        """The one thread whose id begins with `prefix`. Raises NotFound or, when several do, InvalidRequest."""
        with self._lock:
            return reading.found_by_prefix(self._db, prefix)

    def get(
        self, thread_id: str, *, start: int | None = None, limit: int | None = None, around: int | None = None
    ) -> Transcript:
        """A thread along its path, the part of a streaming answer included.

        `limit` turns of it: from `start` (0-based) on, or around a message's, or else the last ones.
        """
        with self._lock:
            self._flush([key for key, draft in self._drafts.items() if draft.thread_id == thread_id])
            return reading.transcript(self._db, thread_id, start=start, limit=limit, around=around)

    def turn(self, message_id: int) -> Turn:
        """The turn of a message, with this message as its answer when it is one."""
        with self._lock:
            self._thread_of(message_id)
            self._flush([message_id] if message_id in self._drafts else [])
            row = self._db.execute("SELECT turn_id FROM message WHERE id = ?", (message_id,)).fetchone()
            return reading.turn(self._db, row["turn_id"], message_id)

    def thread_of(self, message_id: int) -> Thread:
        """The thread of a message."""
        with self._lock:
            return reading.thread(self._db, self._thread_of(message_id))

    def said_until(self, turn: Turn, *, seeing: bool) -> list[Message]:
        """What a model is told to answer a turn: what was said before, and its question; images where it sees."""
        with self._lock:
            turns = [*reading.turns_before(self._db, turn.id), replace(turn, answer=None)]
            return messages_of(turns, images.newest(self._db, turns) if seeing else {})

    def contents(self, turns: Sequence[Turn]) -> dict[str, bytes]:
        """The bytes of all images in them, by their hash."""
        with self._lock:
            return images.contents(self._db, turns)

    def image(self, sha256: str) -> Image:
        """An image that some question has. Raises NotFound."""
        with self._lock:
            return images.image(self._db, sha256)

    def search(self, query: str, *, limit: int = 50, once: bool = False) -> list[Hit]:
        """Full-text search over everything ever said, streaming answers excepted; `once`: each thread once."""
        with self._lock:
            return thread_search.search(self._db, query, limit, once=once)

    def delete_branch(self, message_id: int) -> str:
        """Remove a message and everything that was said after it, for good; returns the thread's id."""
        with self._lock:
            with self._write():
                thread_id = self._thread_of(message_id)
                turns, messages = forgetting.delete_branch(self._db, thread_id, message_id)
                self._drop_drafts()
            forgetting.forget_copies(self._db, self._path, turns, messages)
        return thread_id

    def delete(self, thread_id: str) -> None:
        """Remove a thread from the database, from its write-ahead log and from the copies made before migrations."""
        with self._lock:
            with self._write():
                turns = forgetting.turns_of(self._db, thread_id)
                if not self._db.execute("DELETE FROM thread WHERE id = ?", (thread_id,)).rowcount:
                    raise NotFound(f"no thread {thread_id!r}", hint="localmind threads list")
                self._drop_drafts()
            forgetting.forget_copies(self._db, self._path, turns, (), thread_id)

    def quoted(self) -> list[tuple[str, int]]:
        """(file, chunk) that some answer quotes."""
        with self._lock:
            return quotes.quoted(self._db)

    def forget_quotes(self, gone: Collection[str]) -> int:
        """Blank what answers quote of these files; returns how many quotations there were."""
        with self._lock:
            return quotes.forget(self._db, self._path, gone)

    def _drop_drafts(self) -> None:
        left = {row["id"] for row in self._db.execute("SELECT id FROM message WHERE state = 'streaming'")}
        self._drafts = {key: draft for key, draft in self._drafts.items() if key in left}

    def _thread_of(self, message_id: int) -> str:
        row = self._db.execute(
            "SELECT thread_id FROM turn JOIN message ON turn.id = turn_id WHERE message.id = ?", (message_id,)
        ).fetchone()
        if row is None:
            raise NotFound(f"no message {message_id}; was its thread deleted?", hint="localmind threads list")
        return str(row["thread_id"])

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
                    draft.thoughts[:] = ["".join(draft.thoughts)]
                    self._db.execute(
                        "UPDATE message SET content = ?, reasoning = ? WHERE id = ?",
                        (draft.pieces[0], draft.thoughts[0], key),
                    )
        finally:
            self._db.execute("PRAGMA synchronous = FULL")
        for _, draft in late:
            draft.dirty = False
            draft.written_at = self._monotonic()

    def _store_sources(self, message_id: int, passages: Sequence[Passage]) -> None:
        self._db.executemany(
            "INSERT INTO source (message_id, number, path, line_start, line_end, page, heading, text, score, chunk_id) "
            "VALUES (:message_id, :number, :path, :line_start, :line_end, :page, :heading, :text, :score, :chunk_id)",
            [_storable_fields(msgspec.structs.asdict(passage)) | {"message_id": message_id} for passage in passages],
        )


def _error_text(error: LocalmindError) -> str:
    return msgspec.json.encode(_storable_fields(to_wire(error))).decode()


def _attached(attachments: Sequence[Attachment]) -> str | None:
    kept = [Attachment(_storable(each.path), _storable(each.text)) for each in attachments]
    return msgspec.json.encode(kept).decode() if kept else None


def _inserted(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None
    return cursor.lastrowid
