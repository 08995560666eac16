"""The images that go with the next question, one a line above it. Made when there is one: most questions have none."""

from dataclasses import dataclass

from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widgets import Static

from localmind_tui.keymap import bindings
from localmind_tui.state import Picture

MARK = "▣"


class PictureLine(Static):
    """One image: what it is, and a cross that takes it away."""

    DEFAULT_CSS = """
    PictureLine {
        height: 1;
        width: auto;
        max-width: 100%;
        padding: 0 1;
        color: $text-muted;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    PictureLine:hover { color: $foreground; }
    PictureLine:focus { background: $block-cursor-background; color: $block-cursor-foreground; }
    """
    place = "picture"
    BINDINGS = bindings("picture")
    can_focus = True

    @dataclass
    class Removed(Message):
        """The user does not want to send it."""

        picture: Picture

    @dataclass
    class Left(Message):
        """The user wants to be elsewhere."""

        step: int
        """Lines further; 0 is the question."""
        line: "PictureLine"

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self._shown = Content.assemble(f"{MARK} {picture.words}  ", ("✕", "bold"))
        super().__init__(self._shown, markup=False)

    def action_remove(self) -> None:
        self.post_message(self.Removed(self.picture))

    def action_go(self, step: int) -> None:
        self.post_message(self.Left(step, self))

    def action_leave(self) -> None:
        self.post_message(self.Left(0, self))

    def on_click(self, event: Click) -> None:
        event.stop()
        if abs(event.x - (self._shown.cell_length - 1)) <= 1:
            self.action_remove()


class Pictures(VerticalScroll):
    """All of them."""

    DEFAULT_CSS = """
    Pictures { height: auto; max-height: 6; margin: 0 1; padding: 0 1; scrollbar-size-vertical: 1; }
    """
    can_focus = False

    async def show(self, pictures: tuple[Picture, ...]) -> None:
        """In place of those before. The focus stays at its place in the list."""
        lines = list(self.query(PictureLine))
        if [line.picture for line in lines] == list(pictures):
            return
        place = next((at for at, line in enumerate(lines) if line.has_focus), None)
        with self.app.batch_update():
            self.display = bool(pictures)  # first: a line that is there can be reached by key
            await self.remove_children()
            await self.mount_all(PictureLine(each) for each in pictures)
        if place is not None and pictures:
            self.query(PictureLine)[min(place, len(pictures) - 1)].focus()
