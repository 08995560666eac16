"""Sound files of watched folders: heard in parts that are kept as they come, then cut like any other text.

Line N of a recording's text is what is said in its Nth second, so a passage knows its time as others know their
lines. What was heard is stored under the hash of the file's bytes: after a kill hearing goes on where it was, and a
rename, a copy or another embedder hears nothing again. It rests whenever the gate is shut, between two parts.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import msgspec

from localmind.errors import AudioUnreadable, ExtractFailed, ModelNotInstalled
from localmind.knowledge.database import Database
from localmind.knowledge.index import Index, Root
from localmind.knowledge.pace import Gate
from localmind.knowledge.scan import Entry
from localmind.speech import SAMPLE_RATE, Part, clock
from localmind.store.connection import transaction
from localmind.workers.process import WorkerCalls

NOBODY = "sound files of folders are not heard here: knowledge.recordings is off"


class Listener(Protocol):
    """Who hears; the daemon's Voice."""

    def deaf(self) -> str:
        """Why nothing can be heard; empty when it can."""

    async def part(self, path: Path, start: int, language: str | None = None) -> Part: ...


@dataclass(slots=True, frozen=True)
class Heard:
    """What is known of a recording."""

    said: tuple[tuple[float, str], ...] = ()
    until: int = 0
    language: str = ""
    done: bool = False


class Recordings:
    """`deaf` says why no recording can be heard at present; empty when it can."""

    def __init__(self, database: Database, extract: WorkerCalls, gate: Gate) -> None:
        self._database = database
        self._extract = extract
        self._gate = gate
        self.listener: Listener | None = None
        self.deaf = NOBODY

    def look(self) -> bool:
        """See whether there is a model that hears. True when that has changed."""
        before, self.deaf = self.deaf, self.listener.deaf() if self.listener is not None else NOBODY
        return bool(before) != bool(self.deaf)

    async def read(
        self, root: Root, entry: Entry, recipe: str, params: dict[str, Any], wanted: Callable[[], bool]
    ) -> dict[str, Any] | None:
        """As the extract worker's `extract`, with what is said; None when the file is no longer wanted or another one.

        Raises ExtractFailed for a file that cannot be heard, and what workers raise.
        """
        file: dict[str, Any] = await self._extract.call("extract", params)
        if self.listener is None or self.deaf:
            return file | {"skip": self.deaf or NOBODY}
        key = file["content_hash"]
        heard = await self._database.run(load, key)
        worked = 0.0
        while not heard.done:
            await self._gate.turn(worked)
            if not wanted():
                return None
            started = time.monotonic()
            try:
                part = await self.listener.part(Path(params["path"]), heard.until, heard.language or None)
            except AudioUnreadable as problem:
                raise ExtractFailed(problem.message) from problem
            except ModelNotInstalled:
                self.look()
                return file | {"skip": self.deaf}
            worked = time.monotonic() - started
            heard = Heard((*heard.said, *part.said), part.until, part.language, part.done)
            far = f"being heard: {clock(part.until / SAMPLE_RATE)} of {clock(part.duration)}"
            await self._database.run(keep, root.id, entry, recipe, key, heard, far)
        whole: dict[str, Any] = await self._extract.call("extract", params | {"text": timed(heard.said)})
        if whole["content_hash"] != key:
            return None
        return whole if heard.said else whole | {"skip": "nobody speaks in it"}


def timed(said: Sequence[tuple[float, str]]) -> str:
    """A text whose line N holds what is said from the Nth second on."""
    lines: list[list[str]] = [[] for _ in range(int(max((at for at, _ in said), default=0.0)) + 1)]
    for at, text in said:
        lines[int(at)].append(" ".join(text.split()))
    return "\n".join(" ".join(texts) for texts in lines)


def load(index: Index, content_hash: bytes) -> Heard:
    """What is known of these bytes."""
    row = index.db.execute(
        "SELECT said, until, language, done FROM transcript WHERE content_hash = ?", (content_hash,)
    ).fetchone()
    if row is None:
        return Heard()
    said = msgspec.msgpack.decode(row["said"], type=tuple[tuple[float, str], ...])
    return Heard(said, row["until"], row["language"], bool(row["done"]))


def keep(index: Index, root_id: int, entry: Entry, recipe: str, content_hash: bytes, heard: Heard, far: str) -> None:
    """Store what is heard by now; until it is all, the file counts as one that is still to be read."""
    with transaction(index.db):
        index.db.execute(
            "INSERT OR REPLACE INTO transcript (content_hash, said, until, language, done) VALUES (?, ?, ?, ?, ?)",
            (content_hash, msgspec.msgpack.encode(heard.said), heard.until, heard.language, heard.done),
        )
        index.put_unread(root_id, replace(entry, mtime_ns=0), recipe, content_hash, far)
