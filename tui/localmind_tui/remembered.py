"""What the app remembers between its windows, as it stands in tui.json. Who reads and writes it is in state.py.

What is typed in a thread that has not begun belongs to a window, and stands under that window's place (places.py).
"""

import msgspec

from localmind.clean import clean_line

HISTORY_KEPT = 500
DRAFTS_KEPT = 100
PASTED_KEPT = 10
SHELVES = ("drafts", "pictures", "pastes")
"""By thread or place."""


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
    """By thread id, and by place what is typed in threads that have not begun; the newest stand at the end."""
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
