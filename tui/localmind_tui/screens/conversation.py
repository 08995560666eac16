"""The conversation: asks the daemon, shows answers while they come, and everything that is done with them.

Answers belong to the daemon, so one screen is enough for any number of threads: going to another one drops
the reader of this one and nothing else. A question is never sent twice.
"""

import asyncio
from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal

from localmind.clean import clean_line
from localmind.errors import LocalmindError
from localmind_tui.desk import Desk
from localmind_tui.keymap import bindings
from localmind_tui.preferences import Preferences
from localmind_tui.screens.drafting import Drafting
from localmind_tui.widgets.column import Column, Middle
from localmind_tui.widgets.composer import Composer
from localmind_tui.widgets.header import NARROW, Header
from localmind_tui.widgets.keys import KeyLine
from localmind_tui.widgets.mic import MicChip
from localmind_tui.widgets.sidebar import Sidebar
from localmind_tui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from localmind_tui.outgoing import Outgoing
    from localmind_tui.said import Exchange
    from localmind_tui.widgets.dictation import Dictation
    from localmind_tui.widgets.turn import TurnView

TURN_ROWS = 10
"""Rows that a turn is thought to have: so many are opened at once as fill the view; more come at its top."""
AROUND = 4
"""Turns that are opened around a place that was searched for."""


class Conversation(Drafting):
    """One thread at a time, of any number that are being answered."""

    BINDINGS = bindings("chat")
    AUTO_FOCUS: ClassVar[str | None] = "Composer"

    def __init__(self, desk: Desk, *, folder: str | None, model: str | None) -> None:
        super().__init__(desk, folder=folder, model=model)
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-normal"), (120, "-wide")]
        self._styled_as: Set[str] = frozenset()
        self._reader: asyncio.Task[None] | None = None
        self._wish = object()  # another one for each thread that is opened
        self._showing = asyncio.Lock()  # what is in the transcript changes by one at a time
        self._sending: set[str] = set()  # drafts whose question is on its way
        self._dictation: Dictation | None = None

    def compose(self) -> ComposeResult:
        # As the first resize will say; set now, nothing that was just styled is styled again.
        self.add_class(*self._get_breakpoint_classes(self.app.size.width, self.HORIZONTAL_BREAKPOINTS or []))
        self._styled_as = self.classes
        yield Header()
        with Middle(id="middle"):
            yield Sidebar()
            with Column(id="conversation"):
                yield Transcript()
                yield Composer(self._completions, self._complete, vim=self.desk.preferences.vim)
        with Horizontal(id="foot"):
            yield KeyLine()
            yield MicChip(lambda: self.dictation, self.desk.clock)

    def on_mount(self) -> None:
        memory = self.desk.memory.now
        self.mode = memory.mode if memory.mode in ("files", "chat") else "files"
        self.watch_mode(self.mode)
        self.composer.asked = memory.history
        self.call_after_refresh(self._first_drawn)

    def _first_drawn(self) -> None:
        self._drawn = True
        if self.classes != self._styled_as:  # the terminal got another size meanwhile
            self.update_node_styles(animate=False)
        self._keep_link()  # the first picture comes before anything is loaded for it

    def prefer(self, before: Preferences, after: Preferences) -> None:
        """The user's settings were changed while the app is open."""
        if after.vim != before.vim:
            self.composer.use_vim(after.vim)
        if self._dictation is not None:
            self._dictation.pause_s = after.pause_s

    async def on_unmount(self) -> None:
        if self._opening:  # the thread that it was meant for never came
            self._keep("", *self._with_what_came_since(""))
        self.remember()
        await self._drop_reader()

    @property
    def dictation(self) -> "Dictation":
        """The line of whoever speaks."""
        if self._dictation is None:
            from localmind_tui.widgets.dictation import Dictation

            desk = self.desk
            self._dictation = Dictation(desk.daemon, desk.open_microphone, desk.listen, desk.preferences.pause_s)
            self.query_one(Column).hold(self._dictation)
        return self._dictation

    # -- threads

    async def open(self, thread: str | None, around: int | None = None, start: int | None = None) -> None:
        """Show the end of a thread, or the place `around` a message or from a turn on, or begin a new one.

        A running answer is followed where it is. The last wish counts: one that waits for the daemon gives way to it.
        """
        self._wish = wish = object()
        if self.answering and thread != self._key:
            self.sidebar.expect(self._key)
        self._leave()
        self._view, self._beside, self.queued, self.first_options = None, None, None, {}
        self.searching = False
        await self._drop_reader()
        found: dict[str, Any] = {"thread": None, "messages": [], "start": 0, "total": 0}
        if thread:
            try:
                limit = max(2, self.app.size.height // TURN_ROWS) if around is None else AROUND
                found = await self.desk.daemon.get(f"/threads/{thread}", limit=limit, around=around, start=start)
            except LocalmindError as problem:
                self.complain(problem)
        if not found["thread"]:
            await self.desk.memory.take_up()
        async with self._showing:
            if wish is not self._wish or not self.here:
                return
            self.thread = found["thread"]
            self._now_in(self.thread["id"] if self.thread else "")
            self._put_draft()
            self.query_one(Header).thread = clean_line(self.thread["title"]) if self.thread else ""
            await self.show_pictures()
            shown = _exchanges(found["messages"])
            below = found["total"] - found["start"] - len(shown)
            await self.transcript.show(shown, self._roots, above=found["start"], below=below)
        if wish is not self._wish or not self.here:
            return
        turns = self.transcript.turns
        if around is not None:
            for turn in turns:
                if around in (turn.question.id, turn.said.id if turn.said else None):
                    turn.focus()
        self._follow_last()
        self._show_composer()
        self.show_passages()
        self.desk.link.ask()

    def _follow_last(self) -> None:
        """An answer that is being written is at the end of its thread."""
        turn = self.last_turn
        if turn is not None and turn.said is not None and turn.state == "streaming" and turn is not self._view:
            self._read(turn, turn.said.id)

    @on(Transcript.MoreWanted)
    async def _more(self, event: Transcript.MoreWanted) -> None:
        if self.thread is None or event.shown != self.transcript.shown:
            return
        try:
            path = f"/threads/{self.thread['id']}"
            found = await self.desk.daemon.get(path, start=event.start, limit=event.count)
        except LocalmindError as problem:
            self.complain(problem)
            self.transcript.refused()
            return
        more = _exchanges(found["messages"])
        async with self._showing:
            if not self.here or event.shown != self.transcript.shown:
                return
            if event.start < self.transcript.above:
                await self.transcript.prepend(more, self._roots, above=found["start"])
            elif self.transcript.below:  # else it was wanted between two threads, by the ends of the one before
                below = found["total"] - found["start"] - len(more)
                await self.transcript.append(more, self._roots, below=below)
                self._follow_last()

    @on(Sidebar.Chosen)
    async def _chosen(self, event: Sidebar.Chosen) -> None:
        await self.open(event.thread)

    # -- asking

    async def submit(self, text: str) -> None:
        """Have a question answered. Until the daemon has it, it stays where it was typed."""
        if self._opening:  # it is nobody's yet, and may be the end of a draft that comes with the thread
            self.notify("The thread is still on its way. Press Enter again when it is here.", markup=False)
            return
        key = self._key
        if key in self._sending:
            return  # Enter was pressed twice
        self._sending.add(key)
        try:
            await self._submit(text)
        finally:
            self._sending.discard(key)

    async def _submit(self, text: str) -> None:
        from localmind_tui.outgoing import Outgoing

        wish = self._wish
        question = Outgoing(
            text=text,
            thread=self._key,
            mode=self.asks,
            searches=self.mode == "files",
            folder=self.folder,
            model=self.model,
            beside=self._beside,
            files=self._beside_files if self._beside is not None else (),
            pasted=self.composer.pasted,
            pictures=self.composer.pictures,
            options=self.first_options,
        )
        try:
            begun = await question.send(self.desk.daemon, self._roots, self.desk.here)
        except LocalmindError as problem:
            self.complain(problem)
            self.desk.link.ask()
            return
        await self._keep_first_options(begun, question.options)
        self.desk.memory.asked(text)
        self.desk.memory.draft(question.thread, "")
        self.desk.memory.pictured(question.thread, ())
        self.desk.memory.pasted(question.thread, ())
        been_away = wish is not self._wish
        elsewhere = self._opening or self._key != question.thread or (been_away and not question.thread)
        if elsewhere or not self.here:
            self.desk.link.ask()
            return
        await self._taken(question, begun, been_away)

    async def _taken(self, question: "Outgoing", begun: dict[str, Any], been_away: bool) -> None:
        """The daemon has it: it goes from the composer to the end of its thread, where the user still or again is."""
        self._beside, self.searching = None, False
        later = tuple(each for each in self.composer.pictures if each not in question.pictures)
        self.composer.take(question.text)
        self._take_up()
        self.composer.pictures += later
        self.thread = begun["thread"]
        self._now_in(begun["thread"]["id"])
        self.query_one(Header).thread = clean_line(begun["thread"]["title"])
        wish = self._wish
        await self.show_pictures()
        if wish is not self._wish:
            return
        if question.beside is not None or been_away or self.transcript.below:  # the end of the thread is not here
            await self.open(self._key)
        else:
            await self._begin(_exchanges(begun["messages"])[-1])

    async def _keep_first_options(self, begun: dict[str, Any], options: Mapping[str, Any]) -> None:
        """What was set before the first question counts for those after it as well."""
        if not options:
            return
        try:
            begun |= await self.desk.daemon.patch(f"/threads/{begun['thread']['id']}", {"options": options})
        except LocalmindError as problem:
            self.complain(problem)

    async def _begin(self, exchange: "Exchange") -> None:
        wish = self._wish
        async with self._showing:
            if wish is not self._wish or not self.here:
                return
            turn = await self.transcript.begin(exchange, self._roots)
        if wish is not self._wish or not self.here:
            return
        if exchange.answer is not None and exchange.answer.state == "streaming":
            self._read(turn, exchange.answer.id)
        else:  # it was quicker than the daemon's word that it has begun
            self.desk.link.ask()
            self.show_passages()
        self._show_composer()
        self.remember()

    def _read(self, turn: "TurnView", message: int) -> None:
        from localmind_tui.following import follow

        self._view = turn
        self.query_one(Header).state = "answering"
        self._reader = asyncio.create_task(follow(self.desk.daemon, turn, message, self.desk.link.back))
        self._see_through(turn, self._reader)

    @work(group="answer")
    async def _see_through(self, turn: "TurnView", reader: "asyncio.Task[None]") -> None:
        """Wait for an answer to end; then send what waits for it."""
        await asyncio.wait([reader])
        if reader.cancelled() or not self.here:
            return
        if (bug := reader.exception()) is not None:
            raise bug
        self.desk.link.ask()
        self._show_composer()
        self.show_passages()
        await self._submit_queued()

    @work(exclusive=True, group="queued")
    async def _send_queued(self) -> None:
        """What was asked while the daemon was being started."""
        await self.desk.link.back()
        await self._submit_queued()

    async def _submit_queued(self) -> None:
        if self.queued is not None:
            queued, self.queued = self.queued, None
            await self.submit(queued)

    async def _drop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


def _exchanges(messages: list[dict[str, Any]]) -> "list[Exchange]":
    if not messages:
        return []
    from localmind_tui.said import exchanges

    return exchanges(messages)
