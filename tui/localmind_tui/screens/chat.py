"""The conversation's keys and commands: what a user does with a thread besides reading it."""

import contextlib
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import on, work
from textual.widgets import Static

from localmind.clean import clean, clean_line
from localmind.errors import InvalidRequest, LocalmindError
from localmind_tui.commands import BY_NAME
from localmind_tui.editor import Launch, editor_command, launch_for
from localmind_tui.exporting import export
from localmind_tui.screens.conversation import Conversation
from localmind_tui.widgets.composer import Composer
from localmind_tui.widgets.dictation import Dictation, MicChip
from localmind_tui.widgets.header import Header
from localmind_tui.widgets.sidebar import Sidebar
from localmind_tui.widgets.sources import SourcesView, passage_text
from localmind_tui.widgets.turn import TurnView

if TYPE_CHECKING:
    from localmind_tui.widgets.document import Document

OPTIONS: dict[str, Callable[[str], Any]] = {
    "temperature": float,
    "top_p": float,
    "max_tokens": int,
    "thinking": lambda word: {"on": True, "true": True, "off": False, "false": False}[word.lower()],
}


class ChatScreen(Conversation):
    """The conversation with its keys and commands."""

    @on(Composer.Sent)
    @work(group="asking")
    async def _sent(self, event: Composer.Sent) -> None:
        if event.text.startswith("/") and (name := event.text[1:].split(None, 1)[0] if event.text[1:].strip() else ""):
            command = BY_NAME.get(name)
            if command is not None:
                self.composer.take()
                await self.run_named(command.name, event.text[1 + len(name) :].strip())
                return
            if "/" not in name:
                self.notify(f"There is no command /{clean_line(name)}. Ctrl+P lists them.", markup=False)
                return
        if self.answering:
            self.notify("Sent when this answer ends. Esc stops it.", markup=False)
            self.queued = (self._key, event.text)
            return
        await self.submit(event.text)

    async def run_named(self, name: str, rest: str) -> None:
        """Run a command; what goes wrong is told."""
        run: Callable[[str], Awaitable[None]] = getattr(self, BY_NAME[name].method)
        try:
            await run(rest)
        except LocalmindError as problem:
            self.complain(problem)

    # -- what turns ask for

    @on(TurnView.Asked)
    @work(group="asking")
    async def _asked(self, event: TurnView.Asked) -> None:
        turn = event.turn
        try:
            match event.what:
                case "copy":
                    await self.copy(event.text)
                case "read" if self.desk.aloud.reading:
                    self.desk.aloud.stop()
                case "read":
                    await self.desk.aloud.read(event.text)
                case "edit":
                    self._beside = turn.question.turn
                    self.composer.put(turn.question.content)
                    self.composer.focus()
                    self._show_composer()
                case "again":
                    begun = await self.desk.daemon.post(
                        f"/messages/{(turn.said or turn.question).id}/again", {"model": self.model}
                    )
                    await self.open(begun["thread"]["id"])
                case "choose":
                    await self.desk.daemon.post(f"/messages/{event.message}/choose")
                    await self.open(self._key, around=event.message)
                case "delete":
                    if await self.confirm("Delete this question and all that follows it, for good?"):
                        await self.desk.daemon.delete(f"/messages/{turn.question.id}")
                        await self.open(self._key)
        except LocalmindError as problem:
            self.complain(problem)

    @on(TurnView.Move)
    def _move(self, event: TurnView.Move) -> None:
        turns = self.transcript.turns
        place = turns.index(event.turn)
        wanted = {"next": place + 1, "previous": place - 1, "first": 0, "last": len(turns) - 1}.get(event.where)
        if wanted is None or wanted >= len(turns):
            self.composer.focus()
        elif wanted < 0:
            self.transcript.ask_more()
        else:
            turns[wanted].focus()
            turns[wanted].scroll_visible(animate=False)
            if wanted == 0 and event.where == "first":
                self.transcript.scroll_home(animate=False)
            self.show_passages()

    @on(SourcesView.Opened)
    @work(group="editor")
    async def _open_source(self, event: SourcesView.Opened) -> None:
        if event.what == "copy":
            await self.copy(event.passage.place)
            return
        try:
            await self.desk.launch(launch_for(event.passage, self.desk.environ))
        except LocalmindError as problem:
            self.complain(problem)

    @on(SourcesView.Marked)
    def _mark_source(self, event: SourcesView.Marked) -> None:
        panel = self.query_one("#passages")
        if panel.display and self.focused is not None and isinstance(self.focused, SourcesView):
            self.query_one("#passages-text", Static).update(passage_text([event.passage], self._roots))
            panel.scroll_home(animate=False)

    async def on_document_copy_wanted(self, event: "Document.CopyWanted") -> None:
        await self.copy(event.code)

    # -- keys

    async def action_stop(self) -> None:
        if (dictation := self.query_one(Dictation)).active:
            dictation.cancel()
            return
        if self.desk.aloud.reading:
            self.desk.aloud.stop()
            return
        if self.answering and self._view is not None and self._view.said is not None:
            with contextlib.suppress(LocalmindError):
                await self.desk.daemon.post(f"/messages/{self._view.said.id}/stop")
            return
        if self._beside is not None and self.composer.has_focus:
            self._beside = None
            self.composer.put("")
            self._show_composer()
        self.composer.focus()

    def action_switch_mode(self) -> None:
        self.mode = "chat" if self.mode == "files" else "files"

    async def action_new(self) -> None:
        await self.open(None)
        self.composer.focus()

    async def action_neighbour(self, step: int) -> None:
        threads = self.query_one(Sidebar).threads
        place = threads.index(self._key) + step if self._key in threads else 0 if threads else -1
        if 0 <= place < len(threads):
            await self.open(threads[place])

    def action_sidebar(self) -> None:
        shown = self.query_one(Sidebar).display
        self.set_class(shown, "-no-sidebar")
        self.set_class(not shown, "-sidebar")

    def action_sources_panel(self) -> None:
        panel = self.query_one("#passages")
        panel.display = not panel.display
        self.show_passages()

    def action_sources(self) -> None:
        for turn in reversed(self.transcript.turns):
            if turn.passages:
                self.set_focus(turn.sources)  # at once, so that a quick Enter does not miss it
                return
        self.notify("No answer has sources yet.", markup=False)

    def action_turns(self) -> None:
        if (turn := self.last_turn) is not None:
            self.set_focus(turn)
            turn.scroll_visible(animate=False)

    def action_page(self, direction: int) -> None:
        if direction < 0:
            self.transcript.scroll_page_up(animate=False)
        else:
            self.transcript.scroll_page_down(animate=False)

    # -- commands

    async def run_again(self, rest: str) -> None:
        if (turn := self.last_turn) is not None:
            turn.action_again()

    async def run_copy(self, rest: str) -> None:
        if (turn := self.last_turn) is not None:
            await self.copy(turn.answer)

    async def run_stop(self, rest: str) -> None:
        await self.action_stop()

    async def run_new(self, rest: str) -> None:
        await self.action_new()

    async def run_speak(self, rest: str) -> None:
        self.action_speak()

    async def run_sources(self, rest: str) -> None:
        self.action_sources_panel()

    async def run_mode(self, rest: str) -> None:
        self.mode = rest if rest in ("files", "chat") else "chat" if self.mode == "files" else "files"

    async def run_file(self, rest: str) -> None:
        self.composer.put(f'@"{rest}" ' if " " in rest else f"@{rest}")

    async def run_folder(self, rest: str) -> None:
        if not rest:
            self.folder = None
        else:
            path = Path(rest).expanduser()
            self.folder = next((root for root in self._roots if Path(root).name == rest), str(path.absolute()))
        self.desk.link.ask()

    async def run_folders(self, rest: str) -> None:
        self.app.action_folders()  # type: ignore[attr-defined]

    async def run_models(self, rest: str) -> None:
        self.app.action_models()  # type: ignore[attr-defined]

    async def run_threads(self, rest: str) -> None:
        self.app.action_threads()  # type: ignore[attr-defined]

    async def run_model(self, rest: str) -> None:
        if not rest:
            self.app.action_models()  # type: ignore[attr-defined]
            return
        await self.desk.daemon.get("/models/show", name=rest)
        self.use_model(rest)

    def use_model(self, name: str) -> None:
        """Answer with this model from now on."""
        self.model = name
        self.desk.memory.now.model = name
        self.query_one(Header).model = clean_line(name)

    async def _ask(self, what: str, before: str) -> str | None:
        from localmind_tui.screens.asking import Prompt

        answer: str | None = await self.app.push_screen_wait(Prompt(what, before))
        return answer

    async def run_rename(self, rest: str) -> None:
        if self.thread is None:
            raise InvalidRequest("there is nothing to rename before the first question")
        title: str | None = rest or None
        if title is None:
            title = await self._ask("Title", str(self.thread["title"]))
        if title is not None:
            self.thread = (await self.desk.daemon.patch(f"/threads/{self._key}", {"title": title}))["thread"]
            self.query_one(Header).thread = clean_line(str(self.thread["title"]))
            self.desk.link.ask()

    async def run_delete(self, rest: str) -> None:
        if self.thread is not None and await self.confirm("Delete this thread for good? No copy stays."):
            await self.desk.daemon.delete(f"/threads/{self._key}")
            await self.open(None)

    async def run_export(self, rest: str) -> None:
        if self.thread is None:
            raise InvalidRequest("there is nothing to export before the first question")
        self.notify(
            f"Written to {clean_line(str(await export(self.desk.daemon, self.thread, rest, self.desk.here)))}",
            markup=False,
        )

    async def run_system(self, rest: str) -> None:
        await self._change_options(system=rest or None)
        self.notify("Instructions set for plain chat." if rest else "Instructions removed.", markup=False)

    async def run_set(self, rest: str) -> None:
        name, _, value = rest.partition(" ")
        if name not in OPTIONS:
            raise InvalidRequest(f"/set takes {', '.join(OPTIONS)}", hint="/set temperature 0.2")
        try:
            given = OPTIONS[name](value.strip()) if value.strip() else None
        except (ValueError, KeyError):
            raise InvalidRequest(f"{clean_line(value)} is no value of {name}", hint=f"/set {name} …") from None
        await self._change_options(**{name: given})
        self.notify(f"{name}: {'as the model likes' if given is None else given}", markup=False)

    async def _change_options(self, **change: Any) -> None:
        if self.thread is None:
            raise InvalidRequest("settings belong to a thread, and this one has not begun", hint="ask something first")
        options = dict(self.thread.get("options") or {}) | change
        self.thread = (await self.desk.daemon.patch(f"/threads/{self._key}", {"options": options}))["thread"]

    async def run_template(self, rest: str) -> None:
        from localmind import templates

        name, _, given = rest.partition(" ")
        if not name:
            known = ", ".join(templates.names(self.desk.templates)) or f"none yet, in {self.desk.templates}"
            self.notify(f"Templates: {clean_line(known)}", markup=False)
            return
        template = templates.read(self.desk.templates, name)
        values = dict(part.split("=", 1) for part in given.split() if "=" in part)
        values.setdefault("input", " ".join(part for part in given.split() if "=" not in part))
        if not values["input"]:
            del values["input"]
        for missing in template.fill(values)[1]:
            answer = await self._ask(f"{name}: {missing}", "")
            if answer is None:
                return
            values[missing] = answer
        self.composer.put(clean(template.fill(values)[0]))
        self.composer.focus()

    async def run_theme(self, rest: str) -> None:
        if rest and rest not in self.app.available_themes:
            raise InvalidRequest(f"no theme {clean_line(rest)!r}", hint=", ".join(sorted(self.app.available_themes)))
        if rest:
            self.app.theme = rest
        else:
            self.app.search_themes()

    async def run_vim(self, rest: str) -> None:
        self.composer.use_vim(self.composer.vim is None)
        self.notify("Vim keys are on: Esc for normal mode." if self.composer.vim else "Vim keys are off.", markup=False)

    async def run_help(self, rest: str) -> None:
        self.app.action_help()  # type: ignore[attr-defined]

    run_keys = run_help

    async def run_quit(self, rest: str) -> None:
        self.app.action_leave()  # type: ignore[attr-defined]

    @on(Composer.EditorWanted)
    @work(group="editor")
    async def _edit_in_editor(self) -> None:
        """Lend the terminal to the editor, with the question in a private file."""
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
        self.query_one(Dictation).toggle()

    @on(Dictation.Changed)
    def _listening(self) -> None:
        active = self.query_one(Dictation).active
        self.query_one(MicChip).show(active)
        self.composer.lets_escape_pass = active

    @on(Dictation.Written)
    def _written(self, event: Dictation.Written) -> None:
        composer = self.composer
        row, column = composer.cursor_location
        before = composer.document.get_line(row)[:column]
        composer.insert(f" {event.text}" if before and not before[-1].isspace() else event.text)
        composer.focus()
        if self.desk.preferences.send_spoken:
            composer.action_send()
