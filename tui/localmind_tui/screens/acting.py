"""The conversation's keys: what a user does with a thread besides reading it and asking."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work
from textual.geometry import Offset

from localmind.errors import LocalmindError
from localmind_tui.screens.picturing import Picturing
from localmind_tui.widgets.column import Middle
from localmind_tui.widgets.composer import Composer
from localmind_tui.widgets.mic import MicChip
from localmind_tui.widgets.sidebar import Sidebar

if TYPE_CHECKING:
    from localmind_tui.attaching import Before
    from localmind_tui.said import Said
    from localmind_tui.widgets.dictation import Dictation
    from localmind_tui.widgets.document import Document
    from localmind_tui.widgets.sources import SourcesView
    from localmind_tui.widgets.turn import TurnView


class Acting(Picturing):
    """The conversation, with its keys.

    Messages of widgets that come after the first picture are taken by their names: `@on` would load their classes.
    """

    async def confirm(self, question: str) -> bool:
        from localmind_tui.screens.asking import Confirm

        answer: bool = await self.app.push_screen_wait(Confirm(question))
        return answer

    # -- what turns ask for

    @work(group="asking")
    async def on_turn_view_asked(self, event: "TurnView.Asked") -> None:
        turn, key, wish = event.turn, self._key, self._wish
        try:
            match event.what:
                case "copy":
                    await self.copy(event.text, event.named)
                case "read" if self.desk.aloud.reading:
                    self.desk.aloud.stop()
                case "read":
                    await self.desk.aloud.read(event.text)
                case "edit":
                    before = await self._before(turn.question)
                    if wish is not self._wish:
                        return  # the user is elsewhere by now; so below
                    if self._beside is None:
                        self._aside = self.composer.text, self.composer.pastes, self.composer.pictures
                    self._beside, self._beside_files = turn.question.turn, before.files
                    self.composer.pastes = before.pastes
                    self.composer.put(turn.question.content)
                    self.composer.pictures = turn.question.pictures
                    self.set_focus(self.composer)  # at once: keys can be quicker than what is drawn
                    await self.show_pictures()
                    self._show_composer()
                case "again":
                    begun = await self.desk.daemon.post(
                        f"/messages/{(turn.said or turn.question).id}/again", {"model": self.model}
                    )
                    await self._open_still(wish, begun["thread"]["id"])
                case "choose":
                    await self.desk.daemon.post(f"/messages/{event.message}/choose")
                    await self._open_still(wish, key, around=event.message)
                case "delete":
                    if await self.confirm("Delete this question and all that follows it, for good?"):
                        await self.desk.daemon.delete(f"/messages/{turn.question.id}")
                        await self._open_still(wish, key)
        except LocalmindError as problem:
            self.complain(problem)

    async def _open_still(self, wish: object, thread: str, around: int | None = None) -> None:
        """Show a thread that was changed, unless the user has gone to another one since."""
        if wish is self._wish:
            await self.open(thread, around=around)
        else:
            self.desk.link.ask()

    async def _before(self, question: "Said") -> "Before":
        """What it took along. Raises LocalmindError."""
        from localmind_tui.attaching import Before, before
        from localmind_tui.completion import references

        if not question.attachments:
            return Before()
        found = await self.desk.daemon.get(f"/messages/{question.id}/attachments")
        named = await asyncio.to_thread(references, question.content, self._roots, self.desk.here)
        return before(found["attachments"], named)

    async def on_turn_view_move(self, event: "TurnView.Move") -> None:
        transcript = self.transcript
        if (event.where == "first" and transcript.above) or (event.where == "last" and transcript.below):
            await self.open(self._key, start=0 if event.where == "first" else None)
            if turns := transcript.turns:
                turns[0 if event.where == "first" else -1].focus()
            return
        turns = self.transcript.turns
        if event.turn not in turns:
            return  # a key was quicker than what it was pressed on
        place = turns.index(event.turn)
        wanted = {"next": place + 1, "previous": place - 1, "first": 0, "last": len(turns) - 1}.get(event.where)
        if wanted is not None and wanted >= len(turns) and transcript.below:
            transcript.ask_later()
        elif wanted is None or wanted >= len(turns):
            self.composer.focus()
        elif wanted < 0:
            self.transcript.ask_more()
        else:
            turns[wanted].focus()
            turns[wanted].scroll_visible(animate=False)
            if wanted == 0 and event.where == "first":
                self.transcript.scroll_home(animate=False)
            self.show_passages()

    @work(group="editor")
    async def on_sources_view_opened(self, event: "SourcesView.Opened") -> None:
        from localmind_tui.editor import launch_for

        if event.what == "copy":
            await self.copy(event.passage.place)
            return
        try:
            await self.desk.launch(launch_for(event.passage, self.desk.environ))
        except LocalmindError as problem:
            self.complain(problem)

    def on_sources_view_marked(self, event: "SourcesView.Marked") -> None:
        if (panel := self.passages) is not None and event.view.has_focus:
            panel.show([event.passage], self._roots)

    async def on_document_copy_wanted(self, event: "Document.CopyWanted") -> None:
        await self.copy(event.code)

    @on(Composer.Copied)
    async def _copied(self, event: Composer.Copied) -> None:
        await self.copy(event.text)

    # -- keys

    async def action_stop(self) -> None:
        if self._dictation is not None and self._dictation.active:
            self._dictation.cancel()
            return
        if self.desk.aloud.reading:
            self.desk.aloud.stop()
            return
        if self.answering and self._view is not None and self._view.said is not None:
            with contextlib.suppress(LocalmindError):
                await self.desk.daemon.post(f"/messages/{self._view.said.id}/stop")
            return
        worded_anew = self._beside is not None and self.composer.has_focus
        self.set_focus(self.composer)
        if worded_anew:
            self._beside = None
            self.composer.drop()
            self._take_up()
            await self.show_pictures()
            self._show_composer()

    def action_switch_mode(self) -> None:
        """What is attached, where something is; your files; the model alone."""
        if self.asks == "attached":
            self.searching = True
            self._show_composer()
        else:
            self.searching = False
            self.mode = "chat" if self.mode == "files" else "files"

    async def action_new(self) -> None:
        self.set_focus(self.composer)
        await self.open(None)

    async def action_neighbour(self, step: int) -> None:
        threads = self.query_one(Sidebar).threads
        place = threads.index(self._key) + step if self._key in threads else 0 if threads else -1
        if 0 <= place < len(threads):
            await self.open(threads[place])

    def action_sidebar(self) -> None:
        shown = self.query_one(Sidebar).display
        self.set_class(shown, "-no-sidebar")
        self.set_class(not shown, "-sidebar")

    async def action_sources_panel(self) -> None:
        from localmind_tui.widgets.passages import Passages

        if not self.query(Passages):
            await self.query_one(Middle).mount(Passages())
        else:
            panel = self.query_one(Passages)
            panel.display = not panel.display
        self.show_passages()

    def action_sources(self) -> None:
        for turn in reversed(self.transcript.turns):
            if turn.passages:
                self.set_focus(turn.sources)  # at once, so that a quick Enter does not miss it
                return
        self.notify("No answer has sources yet.", markup=False)

    @work(group="window")
    async def action_jump(self) -> None:
        from localmind_tui.screens.jumping import Jump

        places = self._places()
        chosen = await self.app.push_screen_wait(Jump([at for at, _ in places]))
        if chosen is not None:
            places[chosen][1]()

    def _places(self) -> list[tuple[Offset, Callable[[], object]]]:
        """What can be gone to, with the cell that its letter stands at; what is scrolled out of view is not."""
        view, places = self.transcript.region, list[tuple[Offset, Callable[[], object]]]()
        places.append((self.composer.region.offset + Offset(1, 1), self.composer.focus))
        for turn in reversed(self.transcript.turns):
            for each in (turn, turn.sources) if turn.passages else (turn,):
                if shown := each.region.intersection(view):
                    places.append((shown.offset, each.focus))
        for thread, row in self.query_one(Sidebar).rows():
            places.append((row, partial(self.post_message, Sidebar.Chosen(thread))))
        return places

    def action_turns(self) -> None:
        if (turn := self.last_turn) is not None:
            self.set_focus(turn)
            turn.scroll_visible(animate=False)

    def action_page(self, direction: int) -> None:
        if direction < 0:
            self.transcript.scroll_page_up(animate=False)
        else:
            self.transcript.scroll_page_down(animate=False)

    @on(Composer.EditorWanted)
    @work(group="editor")
    async def _edit_in_editor(self) -> None:
        """Lend the terminal to the editor, with the question in a private file."""
        from localmind_tui.editor import Launch, editor_command

        try:
            command = editor_command(self.desk.environ)
            with tempfile.TemporaryDirectory(prefix="localmind-") as directory:
                path = Path(directory) / "question.md"
                path.write_text(self.composer.text, "utf-8")
                await self.desk.launch(Launch((*command, os.fspath(path)), in_terminal=True))
                self.composer.put(path.read_text("utf-8", "replace").rstrip("\n"))
        except OSError as problem:
            self.complain(LocalmindError(f"the editor cannot be run: {problem}", hint="export EDITOR=nano"))
        except LocalmindError as problem:
            self.complain(problem)

    # -- speaking

    def action_speak(self) -> None:
        self.dictation.toggle()

    def on_dictation_changed(self) -> None:
        active = self.dictation.active
        self.query_one(MicChip).show(active)
        self.composer.lets_escape_pass = active

    def on_dictation_written(self, event: "Dictation.Written") -> None:
        composer = self.composer
        row, column = composer.cursor_location
        before = composer.document.get_line(row)[:column]
        composer.insert(f" {event.text}" if before and not before[-1].isspace() else event.text)
        composer.focus()
        if self.desk.preferences.send_spoken:
            composer.action_send()
