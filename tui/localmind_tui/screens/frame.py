"""What stands around the conversation: the first line, the threads, the passages, the words at the question's edge.

It shows what the daemon says of itself, and what the screen knows of the thread; it asks for the status and the list
of threads and for nothing else. Asking and answering are the conversation's.
"""

import asyncio
import importlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

from textual import work
from textual.actions import SkipAction
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen

from localmind.clean import clean_line
from localmind.counted import counted
from localmind.errors import LocalmindError
from localmind_tui import format, versions
from localmind_tui.desk import Desk
from localmind_tui.keymap import shown
from localmind_tui.widgets.composer import Composer
from localmind_tui.widgets.header import Header
from localmind_tui.widgets.lean import Backdrop
from localmind_tui.widgets.sidebar import Sidebar
from localmind_tui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from localmind_tui.widgets.passages import Passages
    from localmind_tui.widgets.turn import TurnView

SIDEBAR_THREADS = 30


class Frame(Screen[None], Backdrop):
    """Of one thread at a time, of any number that are being answered."""

    class Linked(Message):
        """The daemon has been reached."""

    mode: reactive[str] = reactive("files", init=False)

    def __init__(self, desk: Desk, *, folder: str | None, model: str | None) -> None:
        super().__init__()
        self.desk = desk
        self.thread: dict[str, Any] | None = None
        self.folder = folder
        self.model = model
        self._key = ""  # of the draft: the thread's id, "" before it has one
        self._trail: list[str] = []  # threads that were open, this one last
        self.searching = False
        """The folders are asked for in a thread that is about what was attached to it."""
        self._beside: int | None = None  # the turn that the next question is another wording of
        self._beside_files: tuple[dict[str, str], ...] = ()  # which go along with that other wording too
        self.first_options: dict[str, Any] = {}
        """What a thread that has not begun will have."""
        self.queued: str | None = (
            None  # what is in the composer and goes when the answer has ended, or the daemon has started
        )
        self._drawn = False  # for the first time
        self._view: TurnView | None = None
        self._roots: list[str] = []
        self._version = ""  # of the daemon

    def update_node_styles(self, animate: bool = True) -> None:
        """Textual styles all of a screen once more before its first picture, when nothing has changed since it was
        mounted: a sixth of the way from there to that picture."""
        if self._drawn:
            super().update_node_styles(animate)

    @cached_property  # the same one to the end: what still works while the window is being closed finds it
    def composer(self) -> Composer:
        return self.query_one(Composer)

    @property
    def here(self) -> bool:
        """Whether there is still something to show anything on: the app may be closing around a worker."""
        return bool(self.query(Composer)) and bool(self.query(Header))

    @cached_property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    @property
    def answering(self) -> bool:
        return self._view is not None and self._view.state == "streaming"

    @property
    def last_turn(self) -> "TurnView | None":
        turns = self.transcript.turns
        return turns[-1] if turns else None

    def action_copy_text(self) -> None:
        """Textual's own Ctrl+C knows the terminal's clipboard alone, and says nothing: the app's is meant."""
        raise SkipAction

    def watch_mode(self, mode: str) -> None:
        self.desk.memory.now.mode = mode
        self._show_composer()

    # -- the daemon

    @work(group="link")
    async def _keep_link(self) -> None:
        warm = False
        async for _ in self.desk.link.changes():
            await self._show_link()
            if not warm and self.desk.link.connected:
                warm = True  # before the first answer comes, and after everything that the first picture waits for
                for module in ("localmind_tui.widgets.document", "localmind_tui.colours"):
                    await asyncio.to_thread(importlib.import_module, module)

    async def _show_link(self) -> None:
        if not self.here:
            return
        link, header = self.desk.link, self.query_one(Header)
        if not link.connected:
            first = link.starting and header.state == "connecting"
            header.state = "connecting" if first else "unreachable"
            if link.starting:
                self.transcript.welcome("Starting the daemon …")
                return
            if link.problem is not None:
                self.transcript.welcome(format.failure(link.problem))
            return
        try:
            threads = (await self.desk.daemon.get("/threads", limit=SIDEBAR_THREADS))["threads"]
        except LocalmindError:
            return  # the next status says why
        if not self.here:
            return
        self.sidebar.show(threads, self._key)
        self.desk.memory.now.unread = sorted(self.sidebar.waiting)
        header.state = "answering" if self.answering else "ready"
        self._roots = format.roots(link.status)
        self._tell_version(str(link.status.get("version") or ""))
        folders = f"only {clean_line(self.folder)}" if self.folder else format.folders(link.status)
        header.folders = self._elsewhere() or folders
        header.model = format.model_in_use(link.status, self.model_name)
        self.transcript.welcome(format.welcome(self._roots, self._news()))
        self._show_composer()
        self.post_message(self.Linked())

    @cached_property
    def sidebar(self) -> Sidebar:
        return self.query_one(Sidebar)

    def _now_in(self, thread: str) -> None:
        """Another thread is shown, or one that has not begun, which is nowhere to come back to."""
        self._key = thread
        if thread:
            self._trail = [*(each for each in self._trail if each != thread), thread]
            self.desk.memory.now.thread = thread

    @property
    def waiting(self) -> list[str]:
        """Other threads with an answer that was not looked at, then those that are being answered; newest first."""
        sidebar = self.sidebar
        return [each for each in (*sidebar.unread, *sidebar.answering) if each != self._key]

    @property
    def before(self) -> str | None:
        """The thread that was open before this one, of those that are still there."""
        listed = self.sidebar.titles
        return next((each for each in reversed(self._trail) if each != self._key and each in listed), None)

    def _elsewhere(self) -> str:
        """What happens in other threads, for the first line; empty where nothing does."""
        busy = [each for each in self.sidebar.answering if each != self._key]
        new = [each for each in self.sidebar.unread if each != self._key]
        if not busy and not new:
            return ""
        told = [f"● {counted(len(new), 'new answer')}"] if new else []
        told += [f"◐ {len(busy)} more answering"] if busy else []
        return f"{', '.join(told)}, {self._back_key}" if new else told[0]

    def _news(self) -> str:
        """Where to go on from an empty thread, in words."""
        title, waiting = self.sidebar.titles, self.waiting
        if waiting:
            came = waiting[0] in self.sidebar.unread
            more = f" There is more in {counted(len(waiting) - 1, 'other thread')}." if len(waiting) > 1 else ""
            told = "● “{}” has been answered." if came else "◐ “{}” is being answered."
            return f"{told.format(title[waiting[0]])} {self._back_key} goes there.{more}"
        return f"{self._back_key} goes back to “{title[self.before]}”." if self.before else ""

    @property
    def _back_key(self) -> str:
        return shown("thread.back", self.desk.preferences.keys)

    def _tell_version(self, version: str) -> None:
        before, self._version = self._version, version
        if words := versions.news(version, before):
            self.notify(words, markup=False, timeout=10)

    @property
    def model_name(self) -> str | None:
        """The model that the next question goes to, where somebody chose one."""
        return self.model or ((self.thread or {}).get("options") or {}).get("model")

    def _show_composer(self) -> None:
        composer = self.composer
        composer.entitle(self._asking_for())
        turn = self.last_turn
        rate = turn.rate if turn is not None and turn.state == "streaming" else 0
        used = [each for each in self.transcript.turns if each.usage.prompt_tokens]
        speed = f"≈ {rate:.0f} tokens/s" if rate else ""
        told = [speed]
        if used:
            model = (used[-1].said.model if used[-1].said else None) or self.model_name
            filled = format.context(used[-1].usage, format.context_of(self.desk.link.status, model))
            told = [f"{speed} · {each}" for each in filled[:2] if speed] + filled
        composer.tell(told)

    @property
    def options(self) -> dict[str, Any]:
        """Instructions and parameters of this thread."""
        return dict(self.first_options if self.thread is None else self.thread.get("options") or {})

    @property
    def about(self) -> str:
        """What was attached to the question that the next one goes on about, for people; empty where nothing was."""
        turns = self.transcript.turns
        edited = next((at for at, turn in enumerate(turns) if turn.question.turn == self._beside), len(turns))
        for turn in reversed(turns[:edited]):
            names = [*turn.question.attachments, *(picture.name for picture in turn.question.pictures)]
            if len(names) == 1:
                return clean_line(names[0].rpartition("/")[2])
            if names:
                return counted(len(names), "file")
            if turn.question.mode != "attached":
                return ""
        return "what was attached" if turns[:edited] else ""

    @property
    def asks(self) -> str | None:
        """What the next question is answered from: `files`, `chat`, or `attached`; None where the daemon knows better,
        since the end of the thread is not here."""
        if self.mode == "chat" or self.searching:
            return self.mode
        if self.transcript.below:
            return None
        return "attached" if self.about else "files"

    def _asking_for(self) -> str:
        """What Enter does with what is typed."""
        if self.queued is not None:
            return f"Goes when {'this answer ends; Esc ends it now' if self.answering else 'the daemon has started'}"
        if self._beside is not None:
            names = [clean_line(each["path"].rpartition("/")[2]) for each in self._beside_files]
            return f"Ask again{''.join(f', with {name}' for name in names)}, beside the old question"
        if self.composer.pictures:
            return "Ask about the image"
        if self.asks == "attached":
            return f"Ask about {self.about}"
        return "Ask your files" if self.mode == "files" else "Chat, without your files"

    def complain(self, problem: LocalmindError) -> None:
        self.notify(format.failure(problem), severity="error", markup=False, timeout=8)

    async def copy(self, text: str, named: str = "") -> None:
        """To the clipboard, by the terminal and by the desktop's own tool."""
        if not text:
            self.notify("There is nothing to copy in it yet.", markup=False)
            return
        from localmind_tui import clipboard

        lines = await clipboard.copy(text, self.app.copy_to_clipboard, self.desk.environ)
        words = [word for word in (named, counted(lines, "line") if lines > 1 else "") if word]
        self.notify(f"Copied {', '.join(words)}." if words else "Copied.", markup=False, timeout=2)

    @property
    def passages(self) -> "Passages | None":
        """The panel of passages, while it is shown."""
        return next((panel for panel in self.query("Passages") if panel.display), None)  # type: ignore[return-value]

    def show_passages(self) -> None:
        """The passages of the turn in focus, else of the newest answer that has some."""
        if (panel := self.passages) is not None:
            turns = self.transcript.turns
            focused = [turn for turn in turns if turn.has_focus or turn.has_focus_within]
            found = next((turn.passages for turn in focused or reversed(turns) if turn.passages), ())
            panel.show(found, self._roots)
