"""The images that go with the next question, one a line above it. Made when there is one: most questions have none."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.await_remove import AwaitRemove
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widget import AwaitMount
from textual.widgets import Static

from localmind_tui.keymap import bindings
from localmind_tui.remembered import Picture

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

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[PictureLine] = []
        """As they are shown, or will be as soon as they are drawn."""

    async def show(self, pictures: Sequence[Picture]) -> None:
        """These and no others. Lines that stay are left alone; the focus stays at its place in the list."""
        stay = _staying(self.lines, pictures)
        lines = [stay.get(at) or PictureLine(picture) for at, picture in enumerate(pictures)]
        gone = [line for line in self.lines if line not in lines]
        if not gone and len(lines) == len(self.lines):
            return
        focused = next((at for at, line in enumerate(self.lines) if line is self.screen.focused and line in gone), None)
        target = lines[min(focused, len(lines) - 1)] if focused is not None and lines else None
        if target is not None and target.is_attached:
            self.screen.set_focus(target)  # before the other goes, so that no key falls between them
        # Nothing is awaited before all is told to Textual: whoever shows others meanwhile finds this done.
        self.lines = lines
        self.display = bool(lines)  # first: a line that is there can be reached by key
        with self.app.batch_update():
            changes: list[AwaitMount | AwaitRemove] = [self.remove_children(gone)]
            below: PictureLine | None = None
            for line in reversed(lines):
                if not line.is_attached:
                    changes.append(self.mount(line, before=below))
                below = line
            for change in changes:
                await change
        if target is not None and target in self.lines:
            self.screen.set_focus(target)


def _staying(lines: Sequence[PictureLine], pictures: Sequence[Picture]) -> dict[int, PictureLine]:
    """The lines that stand in the same order among `pictures`, by their places there."""
    found, after = dict[int, PictureLine](), 0
    for line in lines:
        if line.picture in pictures[after:]:
            at = pictures.index(line.picture, after)
            found[at], after = line, at + 1
    return found
