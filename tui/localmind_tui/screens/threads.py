"""F2: the threads, and full-text search over everything ever said. Enter goes to the place that was found."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static

from localmind.clean import clean_line
from localmind.counted import counted
from localmind.errors import LocalmindError
from localmind_tui import format
from localmind_tui.desk import Desk
from localmind_tui.exporting import export
from localmind_tui.headed import Headed
from localmind_tui.keymap import bindings
from localmind_tui.screens.asking import Confirm, Prompt
from localmind_tui.screens.listed import Listed
from localmind_tui.widgets.keys import KeyLine

LISTED = 200
TYPING_PAUSE_S = 0.12


@dataclass(slots=True, frozen=True)
class Found:
    """A line of the list: a thread, and the message in it where one was found."""

    thread: Mapping[str, Any]
    message: int | None


@dataclass(slots=True, frozen=True)
class Wanted:
    """What the screen is left with."""

    thread: str
    message: int | None


class ThreadsScreen(Listed[Found, Wanted]):
    """The search has the focus; the arrows move the mark in the list below it."""

    place = "threads"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("threads"), *bindings("window")]

    def __init__(self, desk: Desk, new: Collection[str]) -> None:
        """`new` are threads with an answer that came while nobody looked."""
        super().__init__()
        self._desk = desk
        self._new = new
        self._anew = True  # what is listed is not yet what is typed
        self._choosing = False  # Enter was quicker than the search

    def compose(self) -> ComposeResult:
        with Vertical(classes="window") as box:
            box.border_title = "Threads"
            yield Input(placeholder="Search everything ever said")
            yield OptionList(markup=False)
            yield Static(classes="empty", markup=False)
            yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(OptionList).can_focus = False
        self.look()

    @on(Input.Changed)
    def _typed(self) -> None:
        self._anew = True  # of another search the best hit is marked
        self._choosing = False
        self.look()

    @work(exclusive=True, group="search")
    async def look(self) -> None:
        query = self.query_one(Input).value
        if query.strip():
            await asyncio.sleep(TYPING_PAUSE_S)  # a further key cancels this one
        try:
            if query.strip():
                hits = (await self._desk.daemon.get("/threads/search", q=query, limit=LISTED))["hits"]
                found = [Found(hit["thread"], hit["message_id"]) for hit in hits]
                lines = [self._hit(hit) for hit in hits]
            else:
                threads = (await self._desk.daemon.get("/threads", limit=LISTED))["threads"]
                found = [Found(thread, None) for thread in threads]
                lines = [self._thread(thread) for thread in threads]
        except LocalmindError as problem:
            found, lines = [], []
            self.complain(problem)
        if not self.query(OptionList):
            return  # closed meanwhile
        self.query_one(OptionList).display = bool(lines)
        anew, self._anew = self._anew, False
        self.show(found, lines, anew=anew)
        empty = self.query_one(".empty", Static)
        empty.display = not lines
        empty.update("Nothing was said about that." if query.strip() else "No thread yet. Ask something.")
        if self._choosing:
            self._choosing = False
            self.action_choose()

    def action_choose(self) -> None:
        """What is typed is what is meant, also before it has been found."""
        if self._anew:
            self._choosing = True
        else:
            super().action_choose()

    def _thread(self, thread: Mapping[str, Any]) -> Content:
        title = clean_line(str(thread["title"])) or "Untitled"
        mark = "◐ " if thread.get("answering") else "● " if str(thread["id"]) in self._new else "  "
        turns = counted(thread["turns"], "question")
        then = format.when(float(thread["updated_at"]), self._desk.clock())
        after = Content.styled(f"  {turns} · {then}", "$foreground-muted")
        return Headed(Content.styled(mark, "$accent"), Content(title), after, Content(""))

    def _hit(self, hit: Mapping[str, Any]) -> Content:
        title = clean_line(str(hit["thread"]["title"])) or "Untitled"
        if hit["message_id"] is None:
            return self._thread(hit["thread"])
        who = "you" if hit["role"] == "user" else "answer"
        after = Content.styled(f"  {who}, {self._when(hit)}", "$foreground-muted")
        pieces = [(" ".join(text.split("\n")), "bold $accent" if marked else "") for text, marked in hit["snippet"]]
        below = Content.assemble(("\n    ", "$foreground-muted"), *((_kept(text), style) for text, style in pieces))
        return Headed(Content("  "), Content(title), after, below)

    def _when(self, hit: Mapping[str, Any]) -> str:
        return format.when(float(hit["created_at"]), self._desk.clock())

    def chosen(self, item: Found) -> None:
        self.dismiss(Wanted(str(item.thread["id"]), item.message))

    def same(self, one: Found, other: Found) -> bool:
        return (one.thread["id"], one.message) == (other.thread["id"], other.message)

    @work(group="change")
    async def action_export(self) -> None:
        if (found := self.marked) is None:
            return
        try:
            path = await export(self._desk.daemon, found.thread, "", self._desk.here)
        except LocalmindError as problem:
            self.complain(problem)
        else:
            self.notify(f"Written to {clean_line(str(path))}", markup=False)

    @work(group="change")
    async def action_rename(self) -> None:
        if (found := self.marked) is None:
            return
        title = await self.app.push_screen_wait(Prompt("Title of the thread", clean_line(str(found.thread["title"]))))
        if title is not None:
            await self.attempt(self._desk.daemon.patch(f"/threads/{found.thread['id']}", {"title": title}))

    @work(group="change")
    async def action_delete(self) -> None:
        if (found := self.marked) is None:
            return
        title = clean_line(str(found.thread["title"])) or "Untitled"
        if await self.app.push_screen_wait(Confirm(f"Delete “{title}” for good? No copy stays.")):
            await self.attempt(self._desk.daemon.delete(f"/threads/{found.thread['id']}"))


def _kept(text: str) -> str:
    """Cleaned, with the blanks at its ends, which part it from its neighbours."""
    inner = clean_line(text)
    return f"{' ' if text[:1].isspace() else ''}{inner}{' ' if inner and text[-1:].isspace() else ''}"
