"""The conversation: asks the daemon, shows answers while they come, and everything that is done with them.

Answers belong to the daemon, so one screen is enough for any number of threads: going to another one drops
the reader of this one and nothing else. What is typed is remembered per thread and never sent twice.
"""

import asyncio
import importlib
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Static, TextArea

from localmind.clean import clean, clean_line
from localmind.errors import LocalmindError
from localmind_tui import clipboard, format
from localmind_tui.attaching import attach
from localmind_tui.commands import COMMANDS
from localmind_tui.completion import Candidate, Completion, complete, references
from localmind_tui.desk import Desk
from localmind_tui.following import follow
from localmind_tui.keymap import bindings
from localmind_tui.said import Exchange, exchanges
from localmind_tui.widgets.composer import Completions, Composer
from localmind_tui.widgets.dictation import Dictation, MicChip
from localmind_tui.widgets.header import NARROW, Header
from localmind_tui.widgets.keys import KeyLine
from localmind_tui.widgets.lean import Backdrop
from localmind_tui.widgets.sidebar import Sidebar
from localmind_tui.widgets.sources import passage_text
from localmind_tui.widgets.transcript import Transcript
from localmind_tui.widgets.turn import TurnView

TURN_ROWS = 10
"""Rows that a turn is thought to have: so many are opened at once as fill the view; more come at its top."""
AROUND = 4
"""Turns that are opened around a place that was searched for."""
MORE = 4
SIDEBAR_THREADS = 30
DRAFT_PAUSE_S = 0.5


class Middle(Horizontal, Backdrop):
    """Threads, conversation and passages, side by side."""


class Column(Vertical, Backdrop):
    """The conversation over the question."""


class Conversation(Screen[None], Backdrop):
    """One thread at a time, of any number that are being answered."""

    class Linked(Message):
        """The daemon has been reached."""

    BINDINGS = bindings("chat")
    AUTO_FOCUS: ClassVar[str | None] = "Composer"

    mode: reactive[str] = reactive("files", init=False)

    def __init__(self, desk: Desk, *, folder: str | None, model: str | None, thread: str | None) -> None:
        super().__init__()
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-normal"), (120, "-wide")]
        self.desk = desk
        self.thread: dict[str, Any] | None = None
        self.folder = folder
        self.model = model
        self.queued: tuple[str, str] | None = None
        self._first_thread = thread
        self._key = ""  # of the draft: the thread's id, "" before it has one
        self._beside: int | None = None  # the turn that the next question is another wording of
        self._reader: asyncio.Task[None] | None = None
        self._view: TurnView | None = None
        self._roots: list[str] = []
        self._draft_timer: Any = None
        self._version = ""  # of the daemon
        self._opening = True  # until the first thread is here, the composer is nobody's

    def compose(self) -> ComposeResult:
        # As the first resize will say; set now, nothing that was just styled is styled again.
        self.add_class(*self._get_breakpoint_classes(self.app.size.width, self.HORIZONTAL_BREAKPOINTS or []))
        completions = Completions()
        desk, pause_s = self.desk, self.desk.preferences.pause_s
        dictation = Dictation(desk.daemon, desk.open_microphone, desk.listen, pause_s)
        yield Header()
        with Middle(id="middle"):
            yield Sidebar()
            with Column(id="conversation"):
                yield Transcript()
                yield dictation
                yield completions
                yield Composer(completions, self._complete, vim=self.desk.preferences.vim)
            with VerticalScroll(id="passages", can_focus=False):
                yield Static(id="passages-text", markup=False)
        with Horizontal(id="foot"):
            yield KeyLine()
            yield MicChip(dictation)

    def on_mount(self) -> None:
        self.query_one("#passages").display = False
        self.query_one("#passages").border_title = "Passages"
        memory = self.desk.memory.now
        self.mode = memory.mode if memory.mode in ("files", "chat") else "files"
        self.watch_mode(self.mode)
        self.composer.asked = memory.history
        self.call_after_refresh(self._keep_link)  # the first picture comes before anything is loaded for it
        self.call_later(self.open, self._first_thread or None)

    async def on_unmount(self) -> None:
        self.remember()
        await self._drop_reader()

    @property
    def composer(self) -> Composer:
        return self.query_one(Composer)

    @property
    def here(self) -> bool:
        """Whether there is still something to show anything on: the app may be closing around a worker."""
        return bool(self.query(Composer)) and bool(self.query(Header))

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    @property
    def answering(self) -> bool:
        return self._view is not None and self._view.state == "streaming"

    @property
    def last_turn(self) -> TurnView | None:
        turns = self.transcript.turns
        return turns[-1] if turns else None

    def watch_mode(self, mode: str) -> None:
        self.desk.memory.now.mode = mode
        self._show_composer()

    # -- threads

    async def open(self, thread: str | None, around: int | None = None) -> None:
        """Show a thread, or begin a new one. A running answer is followed where it is."""
        self._keep_draft()
        self._opening = True  # between two threads what is in the composer belongs to neither
        await self._drop_reader()
        self._view, self._beside, self.queued = None, None, None
        found: dict[str, Any] = {"thread": None, "messages": [], "start": 0}
        if thread:
            try:
                limit = max(2, self.app.size.height // TURN_ROWS) if around is None else AROUND
                found = await self.desk.daemon.get(f"/threads/{thread}", limit=limit, around=around)
            except LocalmindError as problem:
                self.complain(problem)
        self.thread = found["thread"]
        self._key = self.thread["id"] if self.thread else ""
        self.desk.memory.now.thread = self._key
        self.composer.put(self.desk.memory.now.drafts.get(self._key, ""))
        self._opening = False
        shown = exchanges(found["messages"])
        await self.transcript.show(shown, self._roots, above=found["start"])
        if not self.here:
            return
        self.query_one(Header).thread = clean_line(self.thread["title"]) if self.thread else ""
        turns = self.transcript.turns
        if around is not None:
            for turn in turns:
                if around in (turn.question.id, turn.said.id if turn.said else None):
                    turn.focus()
        if turns and turns[-1].said is not None and turns[-1].state == "streaming":
            self._read(turns[-1], turns[-1].said.id)
        self._show_composer()
        self.show_passages()
        self.desk.link.ask()

    @on(Transcript.MoreWanted)
    async def _more(self, event: Transcript.MoreWanted) -> None:
        if self.thread is None:
            return
        start = max(0, event.above - MORE)
        try:
            path = f"/threads/{self.thread['id']}"
            found = await self.desk.daemon.get(path, start=start, limit=event.above - start)
        except LocalmindError as problem:
            self.complain(problem)
            return
        await self.transcript.prepend(exchanges(found["messages"]), self._roots, above=found["start"])

    @on(Sidebar.Chosen)
    async def _chosen(self, event: Sidebar.Chosen) -> None:
        await self.open(event.thread)

    # -- asking

    async def submit(self, text: str) -> None:
        """Have a question answered. Until the daemon has it, it stays where it was typed."""
        try:
            named = await asyncio.to_thread(references, text, self._roots, self.desk.here)
            attached = await asyncio.to_thread(attach, named, self.composer.pasted)
            begun = await self.desk.daemon.begin(
                text,
                thread=self._key or None,
                mode=self.mode,
                folder=attached.folder or self.folder,
                model=self.model,
                attachments=attached.files,
                beside=self._beside,
            )
        except LocalmindError as problem:
            self.complain(problem)
            self.desk.link.ask()
            return
        if not self.here:
            return
        beside, self._beside = self._beside, None
        self.desk.memory.asked(text)
        self.desk.memory.draft(self._key, "")
        self.composer.take()
        self.thread = begun["thread"]
        self._key = begun["thread"]["id"]
        self.desk.memory.now.thread = self._key
        self.query_one(Header).thread = clean_line(begun["thread"]["title"])
        if beside is not None:
            await self.open(self._key)
            return
        await self._begin(exchanges(begun["messages"])[-1])

    async def _begin(self, exchange: Exchange) -> None:
        turn = await self.transcript.begin(exchange, self._roots)
        if not self.here:
            return
        if exchange.answer is not None:
            self._read(turn, exchange.answer.id)
        self._show_composer()
        self.remember()

    def _read(self, turn: TurnView, message: int) -> None:
        self._view = turn
        self.query_one(Header).state = "answering"
        self._reader = asyncio.create_task(follow(self.desk.daemon, turn, message, self.desk.link.back))
        self._see_through(turn, self._reader)

    @work(group="answer")
    async def _see_through(self, turn: TurnView, reader: "asyncio.Task[None]") -> None:
        """Wait for an answer to end; then send what waits for it."""
        await asyncio.wait([reader])
        if reader.cancelled() or not self.here:
            return
        if (bug := reader.exception()) is not None:
            raise bug
        self.desk.link.ask()
        self._show_composer()
        self.show_passages()
        queued, self.queued = self.queued, None
        if queued is not None and queued[0] == self._key:
            await self.submit(queued[1])

    async def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
            self._reader = None

    # -- what is typed

    @on(TextArea.Changed)
    def _typed(self) -> None:
        self._keep_draft()
        if self._draft_timer is None:
            self._draft_timer = self.set_timer(DRAFT_PAUSE_S, self.remember)

    def _keep_draft(self) -> None:
        if not self._opening:
            self.desk.memory.draft(self._key, self.composer.text)

    def remember(self) -> None:
        """Write the draft and the rest of the memory to the disk."""
        if self._draft_timer is not None:
            self._draft_timer.stop()
            self._draft_timer = None
        self.desk.memory.save()

    def _complete(self, before: str, first_line: bool) -> Completion | None:
        if first_line and (prefix := "/template ") and before.startswith(prefix) and " " not in before[len(prefix) :]:
            from localmind import templates  # its patterns take 5 ms to compile, which the first picture saves

            names = templates.names(self.desk.templates)
            found = [Candidate(f"{name} ", name) for name in names if name.startswith(before[len(prefix) :])]
            return Completion(len(prefix), tuple(found)) if found else None
        commands = ((each.name, f"{each.takes}  {each.help}".strip()) for each in COMMANDS)
        return complete(before, first_line=first_line, commands=commands, roots=self._roots, here=self.desk.here)

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
        sidebar = self.query_one(Sidebar)
        sidebar.show(threads, self._key)
        elsewhere = sidebar.busy - (1 if self.answering else 0)
        header.state = "answering" if self.answering else "ready"
        self._roots = format.roots(link.status)
        self._tell_version(str(link.status.get("version") or ""))
        folders = f"only {clean_line(self.folder)}" if self.folder else format.folders(link.status)
        header.folders = f"◐ {elsewhere} more answering" if elsewhere > 0 else folders
        header.model = format.model_in_use(link.status, self.model_name)
        self.transcript.welcome(format.welcome(self._roots))
        self._show_composer()
        self.post_message(self.Linked())

    def _tell_version(self, version: str) -> None:
        """An upgrade under the app changes nothing of what is here; that this app is older is worth a word."""
        before, self._version = self._version, version
        if before and version != before:
            words = f"The daemon is {clean_line(version)} now; this window is still {clean_line(before)}."
            self.notify(f"{words} Open it again when you like: nothing is lost.", markup=False, timeout=10)

    @property
    def model_name(self) -> str | None:
        """The model that the next question goes to, where somebody chose one."""
        options = (self.thread or {}).get("options") or {}
        return self.model or options.get("model")

    def _show_composer(self) -> None:
        composer = self.composer
        what = "Ask your files" if self.mode == "files" else "Chat, without your files"
        composer.border_title = "Ask again, beside the old question" if self._beside is not None else what
        parts = []
        turn = self.last_turn
        if turn is not None and turn.state == "streaming" and turn.rate:
            parts.append(f"≈ {turn.rate:.0f} tokens/s")
        used = [each for each in self.transcript.turns if each.usage.prompt_tokens]
        if used:
            model = (used[-1].said.model if used[-1].said else None) or self.model_name
            parts.append(format.context(used[-1].usage, format.context_of(self.desk.link.status, model)))
        composer.border_subtitle = " · ".join(parts)

    def complain(self, problem: LocalmindError) -> None:
        self.notify(format.failure(problem), severity="error", markup=False, timeout=8)

    async def confirm(self, question: str) -> bool:
        from localmind_tui.screens.asking import Confirm

        answer: bool = await self.app.push_screen_wait(Confirm(question))
        return answer

    async def copy(self, text: str) -> None:
        """To the clipboard, by the terminal and by the desktop's own tool."""
        safe = clean(text)
        self.app.copy_to_clipboard(safe)
        tool = clipboard.tool_for(self.desk.environ)
        if tool is not None:
            await clipboard.copy_by_tool(safe, tool)
        count = len(safe.splitlines())
        self.notify(f"Copied {count} lines." if count > 1 else "Copied.", markup=False, timeout=2)

    def show_passages(self) -> None:
        """The passages of the turn in focus, else of the newest answer that has some."""
        panel = self.query_one("#passages")
        if not panel.display:
            return
        turns = self.transcript.turns
        focused = [turn for turn in turns if turn.has_focus or turn.has_focus_within]
        for turn in focused or reversed(turns):
            if turn.passages:
                self.query_one("#passages-text", Static).update(passage_text(turn.passages, self._roots))
                panel.scroll_home(animate=False)
                return
        self.query_one("#passages-text", Static).update("No answer has sources yet.")
