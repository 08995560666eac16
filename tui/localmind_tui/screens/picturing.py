"""Images on their way into a question: pasted, dropped, completed or named by /image, and taken away again."""

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work

from localmind.errors import LocalmindError
from localmind_tui.desk import Desk
from localmind_tui.screens.returning import Returning
from localmind_tui.widgets.composer import Composer

if TYPE_CHECKING:
    from localmind_tui.pasting import Pasted
    from localmind_tui.viewing import Viewing
    from localmind_tui.widgets.pictures import PictureLine
    from localmind_tui.widgets.turn import TurnView


class Picturing(Returning):
    """The conversation, taking images."""

    def __init__(self, desk: Desk, *, folder: str | None, model: str | None, thread: str | None, goes_on: bool) -> None:
        super().__init__(desk, folder=folder, model=model, thread=thread, goes_on=goes_on)
        self._in_turn = asyncio.Lock()
        self._pasted: Pasted | None = None
        self._viewing: Viewing | None = None

    async def on_unmount(self) -> None:
        if self._viewing is not None:
            await asyncio.to_thread(self._viewing.close)

    async def run_image(self, rest: str) -> None:
        from localmind_tui.completion import pasted_path, resolve

        self.composer.focus()
        if not rest:
            await self._take_from_clipboard()
            return
        path = pasted_path(rest) or resolve(rest.removeprefix("@").strip("\"'"), self._roots, self.desk.here)
        await self._take(path or Path(rest))

    @on(Composer.Pictured)
    @work(group="picture")
    async def _pictured(self, event: Composer.Pictured) -> None:
        self.composer.focus()  # not later, when the user may be elsewhere
        for path in event.paths:
            try:
                await self._take(path)
            except LocalmindError as problem:
                self.complain(problem)

    @on(Composer.Completed)
    def _completed(self, event: Composer.Completed) -> None:
        """A completed `@image` becomes one; what is no image stays a reference in the text."""
        from localmind_tui.completion import references
        from localmind_tui.pictures import is_picture

        named = references(event.text.strip(), self._roots, self.desk.here)
        if len(named) == 1 and is_picture(named[0]):
            self.composer.replace("", event.start, event.end)
            self.composer.post_message(Composer.Pictured((named[0],)))

    @on(Composer.PasteWanted)
    @work(group="picture")
    async def _paste_wanted(self) -> None:
        try:
            await self._take_from_clipboard()
        except LocalmindError as problem:
            if text := self.app.clipboard:  # which is what was copied here
                self.composer.insert(text)
            else:
                self.complain(problem)

    async def _take_from_clipboard(self) -> None:
        """Raises LocalmindError when there is no image, or none that can be had."""
        from localmind_tui.pasting import Pasted, image_in_clipboard, tool_for

        data = await image_in_clipboard(tool_for(self.desk.environ))
        if self._pasted is None:
            self._pasted = Pasted(self.desk.pasted)
        await self._take(await asyncio.to_thread(self._pasted.keep, data), self._pasted)

    async def show_pictures(self) -> None:
        await super().show_pictures()
        if self._pasted is not None:  # those that went with their question, or were taken away, are forgotten
            drafts = (*self.desk.memory.now.pictures.values(), self.composer.pictures)
            self._pasted.forget_all_but({each.path for pictures in drafts for each in pictures})

    @work(group="picture")
    async def on_turn_view_picture_wanted(self, event: "TurnView.PictureWanted") -> None:
        """Open an image that the daemon keeps, or say where it was written."""
        from localmind_tui.viewing import Viewing, viewer_for

        picture = event.picture
        if self._viewing is None:
            self._viewing = Viewing()
        try:
            data = await self.desk.daemon.content(f"/images/{picture.sha256}")
            path = await asyncio.to_thread(self._viewing.write, picture.name, picture.sha256, data)
            viewer = viewer_for(path, self.desk.environ)
            if viewer is not None:
                await self.desk.launch(viewer)
            else:
                self.notify(f"Until this window closes it is here: {path}", markup=False, timeout=15)
        except LocalmindError as problem:
            self.complain(problem)

    @on(Composer.Wordless)
    def _wordless(self) -> None:
        self.notify("Say what you want to know about it.", markup=False)

    @work(group="picture")
    async def on_picture_line_removed(self, event: "PictureLine.Removed") -> None:
        async with self._in_turn:
            self.composer.pictures = tuple(each for each in self.composer.pictures if each != event.picture)
            if not self.composer.pictures:
                self.set_focus(self.composer)  # at once, so that no key goes to what Textual would choose
            await self.show_pictures()

    def on_picture_line_left(self, event: "PictureLine.Left") -> None:
        lines = [line for each in self.query("Pictures") for line in each.lines]  # type: ignore[attr-defined]
        if event.line not in lines:
            return  # it was taken away just now
        place = lines.index(event.line) + event.step
        if event.step and place < len(lines):
            lines[max(place, 0)].focus()
        else:
            self.composer.focus()

    async def _take(self, path: Path, pasted: "Pasted | None" = None) -> None:
        """Raises LocalmindError when it is no image. `pasted` is whose file it is, where nobody else has it."""
        from localmind_tui.pictures import blindness, picture_at, with_picture

        wish, drafts = self._wish, self.desk.memory.now.pictures
        key = None if self._opening else self._key  # between two threads it is meant for the one that comes
        async with self._in_turn:  # those dropped one after the other stand in that order
            try:
                picture = await asyncio.to_thread(picture_at, path)
                left = wish is not self._wish and (self._opening or self._key != key)
                if key is not None and left:  # it waits with the draft that it was meant for
                    self.desk.memory.pictured(key, with_picture(drafts.get(key, ()), picture))
                    return
                self.composer.pictures = with_picture(self.composer.pictures, picture)
            finally:
                if pasted is not None:
                    pasted.own(path)  # from here on it is some draft's or nobody's
            await self.show_pictures()
        with contextlib.suppress(LocalmindError):  # the daemon says it too, when the question comes
            listed = await self.desk.daemon.get("/models")
            if (words := blindness(listed, self.model_name)) is not None:
                self.notify(words, severity="warning", markup=False, timeout=8)
