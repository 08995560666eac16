"""What the app remembers between its windows: drafts, what was asked before, theme, the thread that was open.

One small JSON file in the data directory, replaced as a whole. A draft is written half a second after the
last key, so that neither a closed terminal nor a dying machine takes more than a few words. A file that cannot
be read begins anew, and is kept beside, since it may hold a draft. Several windows share it: each reads it anew under
a lock and puts in what it changed itself (sharing.py).
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from localmind.clean import clean_line
from localmind.errors import LocalmindError
from localmind.paths import private_dir, write_atomic
from localmind_tui.sharing import Changed, Ours

HISTORY_KEPT = 500
DRAFTS_KEPT = 100
LONGEST_DRAFT = 1_000_000
LONGEST_PASTES = 4_000_000
"""Characters of one draft's pastes; they are written with every change of it."""
PASTED_KEPT = 10
LONGEST_WAIT_S = 2.0
"""For another window's writing."""


class Picture(msgspec.Struct, frozen=True):
    """An image of a draft or of a question: a file that is read again when it is sent, or one that the daemon has."""

    name: str
    media_type: str
    width: int
    height: int
    size: int
    path: str = ""
    """Where it is read; empty for one that the daemon has."""
    sha256: str = ""
    """Of one that the daemon has, from a question that is worded anew."""

    @property
    def words(self) -> str:
        """`boiler.png, PNG 640×480, 12.3 kB`."""
        from localmind.images import Looks

        return clean_line(f"{self.name}, {Looks(self.media_type, self.width, self.height, self.size).words}")


class Remembered(msgspec.Struct):
    """All of it."""

    drafts: dict[str, str] = {}
    """By thread id; "" is the thread that has not begun."""
    pictures: dict[str, tuple[Picture, ...]] = {}
    """Images of those drafts."""
    pastes: dict[str, tuple[str, ...]] = {}
    """Long pastes that those drafts name."""
    history: list[str] = []
    """Questions, oldest first."""
    theme: str = ""
    thread: str = ""
    """The one that was open last."""
    unread: list[str] = []
    """Threads that were being answered, or had been while nobody looked."""
    mode: str = "files"
    model: str = ""
    greeted: bool = False
    """The first run is over."""


class Memory:
    """The file and its contents."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.now = self._read()
        self._ours = Ours(self.now)
        self._taken = self._kept = 0  # how often it was copied for the disk, and the newest copy that is there
        self._disk = threading.Lock()  # held while the file is written
        self._turn = asyncio.Lock()

    def draft(self, thread: str, text: str) -> None:
        """Remember what is being typed; an empty text forgets it."""
        self._put("drafts", thread, text[:LONGEST_DRAFT] if text.strip() else "", DRAFTS_KEPT)

    def pictured(self, thread: str, pictures: tuple[Picture, ...]) -> None:
        """Remember the images that go with what is being typed."""
        self._put("pictures", thread, pictures, DRAFTS_KEPT)

    def pasted(self, thread: str, pastes: tuple[str, ...]) -> None:
        """Remember the long pastes that go with what is being typed; not those that are too long for it."""
        fits = sum(len(each) for each in pastes) <= LONGEST_PASTES
        self._put("pastes", thread, pastes if fits else (), PASTED_KEPT)

    def _put(self, shelf: str, thread: str, value: Any, most: int) -> None:
        kept: dict[str, Any] = getattr(self.now, shelf)
        if not self._ours.put(shelf, thread, value, kept.get(thread)):
            return
        kept.pop(thread, None)
        if value:
            kept[thread] = value
        while len(kept) > most:
            del kept[next(iter(kept))]

    def asked(self, text: str) -> None:
        """Remember a question at the end of the history, once."""
        text = text[:LONGEST_DRAFT]
        self._ours.asked.append(text)
        self.now.history[:] = [*(each for each in self.now.history if each != text), text][-HISTORY_KEPT:]

    def save(self) -> None:
        """Write what changed. Blocking: it waits for the disk."""
        copy = self._copy()
        self._adopt(copy[1], self._write(*copy))

    async def save_beside(self) -> None:
        """The same while the app goes on: a disk that has much to do takes a second, and keys are pressed meanwhile."""
        async with self._turn:
            copy = self._copy()
            self._adopt(copy[1], await asyncio.to_thread(self._write, *copy))

    def _copy(self) -> tuple[int, Changed]:
        self._taken += 1
        return self._taken, self._ours.changed(self.now)

    def _write(self, number: int, changed: Changed) -> Remembered | None:
        """The file's new content; None where it was not written. A full or read-only disk must not take the app down:
        what is on the screen stays."""
        with self._disk, contextlib.suppress(LocalmindError, OSError):
            if self._path is None or changed.nothing or number < self._kept:
                return None
            private_dir(self._path.parent)
            with _alone(self._path):
                theirs = self._stored()
                known = msgspec.json.decode(changed.whole, type=Remembered) if theirs is None else theirs
                content = changed.put_into(known)
                write_atomic(self._path, msgspec.json.encode(content))
            self._kept = number
            return content
        return None

    def _adopt(self, changed: Changed, content: Remembered | None) -> None:
        if content is not None:
            self._ours.written(changed, content, self.now)

    def _read(self) -> Remembered:
        return self._stored() or Remembered()

    def _stored(self) -> Remembered | None:
        if self._path is None:
            return None
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Remembered)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            with contextlib.suppress(OSError):
                self._path.replace(self._path.with_suffix(".broken"))
            return None


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While no other window writes it. One that does so for long is not waited for: what is typed comes first."""
    import filelock  # when something is written, which the first picture never does

    lock = filelock.FileLock(path.with_suffix(".lock"), mode=0o600)
    try:
        lock.acquire(timeout=LONGEST_WAIT_S)
    except (filelock.Timeout, OSError, NotImplementedError):  # not every disk in a network knows locks
        yield
        return
    try:
        yield
    finally:
        lock.release()
