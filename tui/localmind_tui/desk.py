"""What every screen works with, put together once by the app."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from localmind_tui.link import Link

if TYPE_CHECKING:
    from localmind_tui.aloud import Aloud
    from localmind_tui.daemon import Daemon
    from localmind_tui.editor import Launch
    from localmind_tui.preferences import Preferences
    from localmind_tui.room import Room
    from localmind_tui.state import Memory
    from localmind_tui.widgets.dictation import Listen, Open


@dataclass(slots=True)
class Desk:
    """Seams for tests: the daemon, the environment, the clock, programs that are started."""

    daemon: "Daemon"
    environ: Mapping[str, str]
    launch: "Callable[[Launch], Awaitable[None]]"
    open_microphone: "Open"
    listen: "Listen"
    aloud: "Aloud"
    clock: Callable[[], float]
    room: "Callable[[], Room]"
    memory: "Memory"
    preferences: "Preferences"
    templates: Path
    here: Path
    """Where relative paths of @file and /export begin."""
    pasted: Path
    """The directory of images that were pasted."""
    link: Link = field(init=False)

    def __post_init__(self) -> None:
        self.link = Link(self.daemon)
