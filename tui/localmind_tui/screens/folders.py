"""F4: the watched folders, how far each is, what could not be read; adding, pausing and removing them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Footer, Input, OptionList, Static
from textual.widgets.option_list import Option

from localmind.clean import clean, clean_line
from localmind.errors import DaemonUnreachable, LocalmindError
from localmind.events import Failed
from localmind_tui import format
from localmind_tui.completion import folder_completion
from localmind_tui.desk import Desk
from localmind_tui.keymap import bindings
from localmind_tui.screens.asking import Confirm
from localmind_tui.widgets.listing import move_mark

EVERY_S = 0.7
PROBLEMS_SHOWN = 4


class FolderSuggester(Suggester):
    """Completes the last part of a path by the folders that are there."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        return folder_completion(value)


class FoldersScreen(ModalScreen[str | None]):
    """Left with the folder that shall be asked alone, or "" for all of them."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("folders"), *bindings("list"), *bindings("window")]

    def __init__(self, desk: Desk, only: str | None) -> None:
        super().__init__()
        self._desk = desk
        self._only = only
        self._folders: list[Mapping[str, Any]] = []
        self._lines: list[Content] = []
        self._paused = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="window") as box:
            box.border_title = "Folders"
            yield OptionList(markup=False)
            yield Static(classes="empty", markup=False)
            yield Static(id="why", markup=False)
            yield Input(placeholder="Folder to watch, for example ~/Documents", suggester=FolderSuggester())
            yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(Input).display = False
        self._look()
        self.set_interval(EVERY_S, self._look)

    @work(exclusive=True, group="folders")
    async def _look(self) -> None:
        try:
            found = await self._desk.daemon.get("/folders")
        except LocalmindError as problem:
            for line in self.query(".empty").results(Static):
                line.update(format.failure(problem))
            return
        if not self.query(".empty"):
            return  # closed meanwhile
        self._folders, indexing = found["folders"], found.get("indexing") or {}
        self._paused, pace = bool(indexing.get("paused")), clean_line(str(indexing.get("pace") or ""))
        box = self.query_one(".window")
        box.border_subtitle = "paused: nothing is read or embedded" if self._paused else pace
        listed = self.query_one(OptionList)
        lines = [self._line(folder) for folder in self._folders]
        if len(lines) != len(self._lines):
            marked = listed.highlighted or 0
            listed.clear_options()
            listed.add_options(Option(line) for line in lines)
            listed.highlighted = min(marked, len(lines) - 1) if lines else None
            if lines and not self.query_one(Input).display:
                listed.focus()
        else:
            for place, (old, new) in enumerate(zip(self._lines, lines, strict=True)):
                if old != new:
                    listed.replace_option_prompt_at_index(place, new)
        self._lines = lines
        listed.display = bool(lines)
        empty = self.query_one(".empty", Static)
        empty.display = not lines
        empty.update("No folder is watched yet. Press a and type one.\nOnly what you add is ever read.")
        self._explain()

    def _line(self, folder: Mapping[str, Any]) -> Content:
        state = str(folder["state"])
        mark = "●" if folder["path"] == self._only else " "
        style = {"ready": "$text-success", "offline": "$text-error"}.get(state, "$text-warning")
        amount = f"  {folder['files']:,} files"
        if folder.get("vectors_pending"):
            amount += f", {folder['vectors_pending']:,} passages to go"
        path = clean_line(str(folder["path"]))
        return Content.assemble(f"{mark} {path}", (amount, "$foreground-muted"), (f"  {state}", style))

    def _explain(self) -> None:
        folder = self.marked
        lines = []
        if folder is not None:
            if folder.get("problem"):
                lines.append(str(folder["problem"]))
            watching = str(folder.get("watching") or "")
            lines += [f"watched by {watching}"] if watching else []
            errors = folder.get("errors") or ()
            lines += [f"not read: {path}: {reason}" for path, reason in errors[:PROBLEMS_SHOWN]]
            if len(errors) > PROBLEMS_SHOWN:
                lines.append(f"and {len(errors) - PROBLEMS_SHOWN} more; `localmind folders status` lists them")
        self.query_one("#why", Static).update("\n".join(clean_line(line) for line in lines))

    @property
    def marked(self) -> Mapping[str, Any] | None:
        place = self.query_one(OptionList).highlighted
        return self._folders[place] if place is not None and place < len(self._folders) else None

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        self._explain()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        path = str(self._folders[event.option_index]["path"])
        self.dismiss("" if path == self._only else path)

    def action_mark(self, step: int) -> None:
        move_mark(self.query_one(OptionList), step)

    def action_add(self) -> None:
        box = self.query_one(Input)
        box.display = True
        box.focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip():
            self._add(str(Path(event.value.strip()).expanduser().absolute()))
        event.input.value = ""
        event.input.display = False
        self.query_one(OptionList).focus()

    @work(group="add")
    async def _add(self, path: str) -> None:
        """The daemon indexes it whether or not anybody reads on; the list shows how far it is."""
        try:
            async for event in self._desk.daemon.events("/folders", {"path": path}):
                if isinstance(event, Failed):
                    raise event.exception()
        except DaemonUnreachable:
            return  # the list says so
        except LocalmindError as problem:
            self.notify(format.failure(problem), severity="error", markup=False, timeout=8)

    @work(group="change")
    async def action_pause(self) -> None:
        """The daemon pauses as a whole."""
        try:
            await self._desk.daemon.post(f"/folders/{'resume' if self._paused else 'pause'}")
        except LocalmindError as problem:
            self.notify(format.failure(problem), severity="error", markup=False)
        self._look()

    @work(group="change")
    async def action_remove(self) -> None:
        if (folder := self.marked) is None:
            return
        question = f"Stop watching {clean(str(folder['path']))} and forget what was read? Your files stay."
        if await self.app.push_screen_wait(Confirm(question)):
            try:
                await self._desk.daemon.delete("/folders", path=str(folder["path"]))
            except LocalmindError as problem:
                self.notify(format.failure(problem), severity="error", markup=False)
            self._look()

    def action_leave(self) -> None:
        box = self.query_one(Input)
        if box.display:
            box.display = False
            self.query_one(OptionList).focus()
        else:
            self.dismiss(None)
