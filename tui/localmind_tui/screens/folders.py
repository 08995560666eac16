"""F4: the watched folders, how far each is, what could not be read; adding, pausing and removing them."""

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static

from localmind.clean import clean, clean_line
from localmind.counted import counted
from localmind.errors import LocalmindError
from localmind_tui import format
from localmind_tui.desk import Desk
from localmind_tui.keymap import bindings
from localmind_tui.screens.asking import Confirm
from localmind_tui.screens.listed import Listed
from localmind_tui.screens.looking import keep_looking
from localmind_tui.widgets.folder_field import FolderField
from localmind_tui.widgets.keys import KeyLine

EVERY_S = 0.7
PROBLEMS_SHOWN = 4


class FoldersScreen(Listed[Mapping[str, Any], str]):
    """Left with the folder that shall be asked alone, or "" for all of them."""

    place = "folders"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("folders"), *bindings("list"), *bindings("window")]

    def __init__(self, desk: Desk, only: str | None) -> None:
        super().__init__()
        self._desk = desk
        self._only = only
        self._paused = False
        self._pausing = asyncio.Lock()

    def compose(self) -> ComposeResult:
        with Vertical(classes="window") as box:
            box.border_title = "Folders"
            yield OptionList(markup=False)
            yield Static(classes="empty", markup=False)
            yield Static(id="why", markup=False)
            yield FolderField(self._desk.daemon, self._desk.here, "Folder to watch, for example ~/Documents")
            yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(FolderField).display = False
        keep_looking(self, EVERY_S, self.look)

    @work(exclusive=True, group="folders")
    async def look(self) -> None:
        try:
            found = await self._desk.daemon.get("/folders")
        except LocalmindError as problem:
            for line in self.query(".empty").results(Static):
                line.update(format.failure(problem))
            return
        if not self.query(".empty"):
            return  # closed meanwhile
        folders, indexing = found["folders"], found.get("indexing") or {}
        self._paused, pace = bool(indexing.get("paused")), clean_line(str(indexing.get("pace") or ""))
        box = self.query_one(".window")
        box.border_subtitle = "paused: nothing is read or embedded" if self._paused else pace
        listed = self.query_one(OptionList)
        listed.display = bool(folders)
        changed = self.show(folders, [self._line(folder) for folder in folders])
        if changed and folders and not self.query_one(FolderField).display:
            listed.focus()
        empty = self.query_one(".empty", Static)
        empty.display = not folders
        empty.update("No folder is watched yet. Press a and type one.\nOnly what you add is ever read.")

    def _line(self, folder: Mapping[str, Any]) -> Content:
        state = str(folder["state"])
        mark = "●" if folder["path"] == self._only else " "
        style = {"ready": "$text-success", "offline": "$text-error"}.get(state, "$text-warning")
        amount = f"  {counted(folder['files'], 'file')}"
        if folder.get("vectors_pending"):
            amount += f", {counted(folder['vectors_pending'], 'passage')} to go"
        path = clean_line(str(folder["path"]))
        return Content.assemble(f"{mark} {path}", (amount, "$foreground-muted"), (f"  {state}", style))

    def same(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        return bool(one["path"] == other["path"])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a folder is typed, Enter is the field's; what concerns the marked one needs one."""
        typing = any(field.display for field in self.query(FolderField))
        if action in ("choose", "remove", "add", "pause"):
            return not typing and (action in ("add", "pause") or self.marked is not None)
        return True

    def explain(self) -> None:
        folder = self.marked
        lines = []
        if folder is not None:
            if folder.get("problem"):
                lines.append(str(folder["problem"]))
            how, _, why = str(folder.get("watching") or "").partition(": ")
            if how and self._paused:
                lines.append("What changes in it is read when you go on.")
            elif how == "events":
                lines.append("What changes in it is read at once.")
            elif how:
                lines.append(f"What changes in it is read every few minutes: {why}")
            errors = folder.get("errors") or ()
            lines += [f"not read: {path}: {reason}" for path, reason in errors[:PROBLEMS_SHOWN]]
            if len(errors) > PROBLEMS_SHOWN:
                lines.append(f"and {len(errors) - PROBLEMS_SHOWN} more; `localmind folders status` lists them")
        self.query_one("#why", Static).update("\n".join(clean_line(line) for line in lines))

    def chosen(self, item: Mapping[str, Any]) -> None:
        path = str(item["path"])
        self.dismiss("" if path == self._only else path)

    def action_add(self) -> None:
        box = self.query_one(FolderField)
        box.display = True
        box.focus()

    @on(FolderField.Finished)
    def _finished(self) -> None:
        self.query_one(FolderField).display = False
        self.query_one(OptionList).focus()
        self.look()

    @work(group="change")
    async def action_pause(self) -> None:
        """The daemon pauses as a whole. A second press undoes the first, however soon it comes."""
        async with self._pausing:
            await self.attempt(self._pause(not self._paused))

    async def _pause(self, paused: bool) -> None:
        await self._desk.daemon.post(f"/folders/{'pause' if paused else 'resume'}")
        self._paused = paused

    @work(group="change")
    async def action_remove(self) -> None:
        if (folder := self.marked) is None:
            return
        question = f"Stop watching {clean(str(folder['path']))} and forget what was read? Your files stay."
        if await self.app.push_screen_wait(Confirm(question)):
            await self.attempt(self._desk.daemon.delete("/folders", path=str(folder["path"])))

    def action_leave(self) -> None:
        box = self.query_one(FolderField)
        if box.display:
            box.display = False
            self.query_one(OptionList).focus()
        else:
            self.dismiss(None)
