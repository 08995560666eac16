"""The app's memory between its windows: drafts, what was asked before, theme, the thread that was open.

One small JSON file in the data directory, replaced as a whole. A draft is written half a second after the
last key, so that neither a closed terminal nor a dying machine takes more than a few words. A file that makes no sense
begins anew, and is kept beside, since it may hold a draft. One that cannot be had for the moment stays as it is: it is
tried again with every change, and nothing goes over what nobody here has seen. Several windows share it: each reads it
anew under a lock and puts in what it changed itself (sharing.py, places.py).
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from localmind.errors import LocalmindError
from localmind.paths import private_dir, write_atomic
from localmind_tui import format
from localmind_tui.places import Place, empty, is_place, move, used, waiting
from localmind_tui.remembered import DRAFTS_KEPT, HISTORY_KEPT, PASTED_KEPT, SHELVES, Picture, Remembered
from localmind_tui.sharing import Changed, Ours

LONGEST_DRAFT = 1_000_000
LONGEST_PASTES = 4_000_000
"""Characters of one draft's pastes; they are written with every change of it."""
LONGEST_WAIT_S = 2.0
"""For another window's writing."""


class Memory:
    """The file and its contents."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._place: Place | None = None  # until something is typed or taken up in a thread that has not begun
        self._problems: list[str] = []
        self._trouble = ""
        """With the disk, as it was told."""
        self._missed = False  # what stands in the file: it could not be had
        self._waits = False  # something may be in no window's hands
        self.now = self._first()
        self._ours = Ours(self.now)
        self._taken = self._kept = 0  # how often it was copied for the disk, and the newest copy that is there
        self._disk = threading.Lock()  # held while the file is read or written
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

    def told(self) -> list[str]:
        """What went wrong and was not told yet."""
        return [self._problems.pop(0) for _ in range(len(self._problems))]  # a thread may add to them

    async def take_up(self) -> None:
        """What was typed in a thread that has not begun, and is in no window's hands, is here now."""
        if not self._waits:
            return
        found = await asyncio.to_thread(self._waiting)
        if found is None:
            return
        place, stored = found
        if self._place is not None or any("" in getattr(self.now, shelf) for shelf in SHELVES):
            place.leave()  # something was typed here meanwhile, which has a place of its own
            return
        self._place = place
        self._ours.took_up(stored, place.name, self.now)

    def _waiting(self) -> tuple[Place, Remembered] | None:
        with self._disk, contextlib.suppress(OSError):
            stored = self._stored()
            self._waits = False
            if self._path is not None and stored is not None:
                place = waiting(self._path, stored)
                stored = self._stored() if place is not None else None  # as whoever had the place left it
                return (place, stored) if place is not None and stored is not None else None
        return None

    def save(self) -> None:
        """Write what changed. Blocking: it waits for the disk."""
        copy = self._copy()
        self._adopt(copy[1], self._write(*copy))

    async def save_beside(self) -> None:
        """The same while the app goes on: a disk that has much to do takes a second, and keys are pressed meanwhile."""
        async with self._turn:
            copy = self._copy()
            self._adopt(copy[1], await asyncio.to_thread(self._write, *copy))

    def leave(self) -> None:
        """The window closes: what was not sent in it is the next one's."""
        if self._place is not None:
            self._place.leave()

    def _copy(self) -> tuple[int, Changed]:
        self._taken += 1
        return self._taken, self._ours.changed(self.now)

    def _write(self, number: int, changed: Changed) -> Remembered | None:
        """The file's new content; None where it was not written. A full or read-only disk must not take the app down:
        what is on the screen stays."""
        with self._disk:
            if self._path is None or changed.nothing or number < self._kept:
                return None
            try:
                private_dir(self._path.parent)
                with _alone(self._path):
                    content = self._merged(self._path, changed)
                    write_atomic(self._path, msgspec.json.encode(content))
            except (LocalmindError, OSError) as problem:
                self._complain("What you type is not kept", problem)
                return None
            self._kept, self._missed, self._trouble = number, False, ""
            return content

    def _merged(self, path: Path, changed: Changed) -> Remembered:
        """What stands in the file, with what changed here. Raises OSError: then nothing is known of it."""
        found = self._stored()
        if changed.unsent and self._place is None:
            self._place = empty(path, found or Remembered())
        place = self._place.name if self._place is not None else ""
        if found is None:
            found = msgspec.json.decode(changed.whole, type=Remembered)
            move(found, "", place)
        elif self._missed:
            _set_aside(path, found, changed)
        return changed.put_into(found, place)

    def _adopt(self, changed: Changed, content: Remembered | None) -> None:
        if content is not None:
            self._ours.written(changed, content, self.now)

    def _first(self) -> Remembered:
        """What is known when the window opens."""
        try:
            found = self._stored() or Remembered()
            self._waits = bool(used(found))
        except OSError as problem:
            self._complain("Drafts and earlier questions are not here", problem)
            self._missed = self._waits = True
            return Remembered()
        for shelf in SHELVES:
            kept: dict[str, Any] = getattr(found, shelf)
            for key in [key for key in kept if is_place(key)]:
                del kept[key]  # it may be another window's
        return found

    def _stored(self) -> Remembered | None:
        """What stands in the file; None where there is none. Raises OSError: there may be one, and nothing is known."""
        if self._path is None:
            return None
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Remembered)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            broken = self._path.with_suffix(".broken")
            self._path.replace(broken)
            self._problems.append(f"{self._path.name} made no sense and was begun anew; what stood in it is {broken}")
            return None

    def _complain(self, what: str, problem: LocalmindError | OSError) -> None:
        """Once for each kind of trouble, and anew when it comes again."""
        if isinstance(problem, LocalmindError):
            why = format.failure(problem)
        else:
            why = f"cannot read {self._path}: {(problem.strerror or str(problem)).lower()}"
        if (told := f"{what}: {why}") != self._trouble:
            self._trouble = told
            self._problems.append(told)


def _set_aside(path: Path, found: Remembered, changed: Changed) -> None:
    """Drafts in whose threads something was typed here before they could be read: a later window takes them up."""
    for (shelf, thread), (value, _) in changed.put.items():
        if thread and value and getattr(found, shelf).get(thread, value) != value:
            place = empty(path, found)
            move(found, thread, place.name)
            place.leave()


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
