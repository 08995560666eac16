"""What one window puts into a memory that others write too: its own changes, and nothing that it only read.

A draft counts while somebody types it: what is typed goes in, what was sent or wiped out goes, unless another window
has put something else there since. What is typed in a thread that has not begun is "" here and stands under this
window's place in the file (places.py). Of single words (theme, the thread that was open) the last change counts,
questions come behind those that others asked, and a thread that was looked at in one window is new in none.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from localmind_tui.places import is_place
from localmind_tui.remembered import DRAFTS_KEPT, HISTORY_KEPT, PASTED_KEPT, SHELVES, Remembered

WORDS = ("theme", "thread", "mode", "model", "greeted")


@dataclass(slots=True, frozen=True)
class Changed:
    """Of one moment, for a thread that writes: it shares nothing with what goes on."""

    put: dict[tuple[str, str], tuple[Any, Any]]
    """By shelf and key: what is there now, empty for what goes; and what stands in the file if nobody else wrote it."""
    asked: tuple[str, ...]
    words: dict[str, Any]
    came: frozenset[str]
    went: frozenset[str]
    """Threads that are new, and that no longer are."""
    whole: bytes
    """All that this window knows, for a file that is gone."""

    @property
    def nothing(self) -> bool:
        return not (self.put or self.asked or self.words or self.came or self.went)

    @property
    def unsent(self) -> bool:
        """Whether anything of it was typed in a thread that has not begun."""
        return any(not key for _, key in self.put)

    def put_into(self, theirs: Remembered, place: str) -> Remembered:
        """`theirs`, which is what stands in the file, with our changes."""
        for (shelf, thread), (value, before) in self.put.items():
            key, kept = thread or place, getattr(theirs, shelf)
            if value:
                kept.pop(key, None)  # the newest stand at the end
                kept[key] = value
            elif kept.get(key) == before:
                kept.pop(key, None)
            while len(kept) > (PASTED_KEPT if shelf == "pastes" else DRAFTS_KEPT):
                del kept[next(iter(kept))]
        ours = dict.fromkeys(reversed(self.asked))
        theirs.history = [*(each for each in theirs.history if each not in ours), *reversed(ours)][-HISTORY_KEPT:]
        for name, word in self.words.items():
            setattr(theirs, name, word)
        theirs.unread = sorted({*theirs.unread, *self.came} - self.went)
        return theirs


@dataclass(slots=True)
class Ours:
    """What this window did since it last wrote."""

    read: Remembered
    asked: list[str] = field(default_factory=list)
    _put: dict[tuple[str, str], tuple[Any, Any]] = field(default_factory=dict)
    _had: dict[tuple[str, str], Any] = field(default_factory=dict)
    """What this window last had there, on its screen."""
    _filed: dict[tuple[str, str], Any] = field(default_factory=dict)
    """Of what it had, what stands in the file."""
    _words: dict[str, Any] = field(init=False)
    _unread: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._words, self._unread = _words(self.read), frozenset(self.read.unread)
        for shelf in SHELVES:
            self._filed |= {(shelf, key): value for key, value in getattr(self.read, shelf).items()}
        self._had |= self._filed

    def put(self, shelf: str, key: str, value: Any, known: Any) -> bool:
        """Something was typed where `known` stood. False for no news: nothing is where this window had nothing."""
        place = shelf, key
        if value and value == known and place not in self._put:
            self._filed[place] = value  # it was another window's, and is shown here now
        if not value and not self._had.get(place):
            return False
        self._put[place] = value, self._filed.get(place)
        self._had[place] = value
        return True

    def took_up(self, stored: Remembered, place: str, now: Remembered) -> None:
        """What stands at `place` is this window's, and on its screen."""
        for shelf in SHELVES:
            if (value := getattr(stored, shelf).get(place)) is not None:
                getattr(now, shelf)[""] = self._filed[shelf, ""] = self._had[shelf, ""] = value

    def changed(self, now: Remembered) -> Changed:
        words, unread = _words(now), frozenset(now.unread)
        news = {name: word for name, word in words.items() if word != self._words[name]}
        came, went = unread - self._unread, self._unread - unread
        return Changed(dict(self._put), tuple(self.asked), news, came, went, msgspec.json.encode(now))

    def written(self, changed: Changed, content: Remembered, now: Remembered) -> None:
        """The file holds `changed`, and `content` is all of it; what others put there is known here from now on."""
        for place, value in changed.put.items():
            self._filed[place] = value[0]
            if self._put.get(place) == value:
                del self._put[place]
        del self.asked[: len(changed.asked)]
        self._words |= changed.words
        self._unread = (self._unread | changed.came) - changed.went
        now.history[:] = [*(each for each in content.history if each not in self.asked), *dict.fromkeys(self.asked)]
        for shelf in SHELVES:
            kept, theirs = getattr(now, shelf), getattr(content, shelf)
            ours = {key: kept[key] for key in kept if not key or (shelf, key) in self._put}
            kept.clear()  # the same object: others hold it
            kept |= {key: theirs[key] for key in theirs if not is_place(key) and (shelf, key) not in self._put}
            kept |= ours  # a thread that has not begun is each window's own


def _words(of: Remembered) -> dict[str, Any]:
    fields = msgspec.structs.asdict(of)
    return {name: fields[name] for name in WORDS}
