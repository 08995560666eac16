"""What the app remembers between its windows: drafts, what was asked before, theme, the thread that was open.

One small JSON file in the data directory, replaced as a whole. A draft is written half a second after the
last key, so that neither a closed terminal nor a dying machine takes more than a few words. A file that cannot
be read begins anew, and is kept beside, since it may hold a draft.
"""

import asyncio
import contextlib
import threading
from pathlib import Path

import msgspec

from localmind.clean import clean_line
from localmind.errors import LocalmindError
from localmind.paths import private_dir, write_atomic

HISTORY_KEPT = 500
DRAFTS_KEPT = 100
LONGEST_DRAFT = 1_000_000
LONGEST_PASTES = 4_000_000
"""Characters of one draft's pastes; they are written with every change of it."""
PASTED_KEPT = 10


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
        self._written = msgspec.json.encode(self.now)
        self._taken = self._kept = 0  # how often it was copied for the disk, and the newest copy that is there
        self._disk = threading.Lock()  # held while the file is written

    def draft(self, thread: str, text: str) -> None:
        """Remember what is being typed; an empty text forgets it."""
        self.now.drafts.pop(thread, None)
        if text.strip():
            self.now.drafts[thread] = text[:LONGEST_DRAFT]
        while len(self.now.drafts) > DRAFTS_KEPT:
            del self.now.drafts[next(iter(self.now.drafts))]

    def pictured(self, thread: str, pictures: tuple[Picture, ...]) -> None:
        """Remember the images that go with what is being typed."""
        self.now.pictures.pop(thread, None)
        if pictures:
            self.now.pictures[thread] = pictures
        while len(self.now.pictures) > DRAFTS_KEPT:
            del self.now.pictures[next(iter(self.now.pictures))]

    def pasted(self, thread: str, pastes: tuple[str, ...]) -> None:
        """Remember the long pastes that go with what is being typed; not those that are too long for it."""
        self.now.pastes.pop(thread, None)
        if pastes and sum(len(each) for each in pastes) <= LONGEST_PASTES:
            self.now.pastes[thread] = pastes
        while len(self.now.pastes) > PASTED_KEPT:
            del self.now.pastes[next(iter(self.now.pastes))]

    def asked(self, text: str) -> None:
        """Remember a question at the end of the history, once."""
        with contextlib.suppress(ValueError):
            self.now.history.remove(text)
        self.now.history.append(text[:LONGEST_DRAFT])
        del self.now.history[:-HISTORY_KEPT]

    def save(self) -> None:
        """Write what changed. Blocking: it waits for the disk."""
        self._write(*self._copy())

    async def save_beside(self) -> None:
        """The same while the app goes on: a disk that has much to do takes a second, and keys are pressed meanwhile."""
        await asyncio.to_thread(self._write, *self._copy())

    def _copy(self) -> tuple[int, bytes]:
        self._taken += 1
        return self._taken, msgspec.json.encode(self.now)

    def _write(self, number: int, data: bytes) -> None:
        """A full or read-only disk must not take the app down: what is on the screen stays."""
        with self._disk, contextlib.suppress(LocalmindError, OSError):
            if self._path is None or data == self._written or number < self._kept:
                return
            private_dir(self._path.parent)
            write_atomic(self._path, data)
            self._written, self._kept = data, number

    def _read(self) -> Remembered:
        if self._path is None:
            return Remembered()
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Remembered)
        except FileNotFoundError:
            return Remembered()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            with contextlib.suppress(OSError):
                self._path.replace(self._path.with_suffix(".broken"))
            return Remembered()
