"""What the windows with a list share: its lines are kept up to date, its mark moves by keys, a problem is told.

Only lines that changed are drawn again, so the mark and the scroll stay where they are while downloads and folders
move. What the lines say, and where they come from, belongs to each window.
"""

from collections.abc import Awaitable, Sequence
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from localmind.errors import LocalmindError
from localmind_tui import format

Item = TypeVar("Item")
Result = TypeVar("Result")


class Listed(ModalScreen[Result | None], Generic[Item, Result]):
    """A window around one OptionList. Leaving it changes nothing."""

    place: ClassVar[str]
    """Its place in the keymap."""

    def __init__(self) -> None:
        super().__init__()
        self.items: Sequence[Item] = ()
        self._lines: list[Content] = []

    @property
    def marked(self) -> Item | None:
        at = next((listed.highlighted for listed in self.query(OptionList)), None)  # none while it opens or closes
        return self.items[at] if at is not None and at < len(self.items) else None

    def show(self, items: Sequence[Item], lines: list[Content], *, anew: bool = False) -> bool:
        """List them; the mark stays on what it is on, `anew` puts it on the first one. True when lines came or went."""
        listed = self.query_one(OptionList)
        before, at = self.marked, listed.highlighted or 0
        self.items = items
        changed = anew or len(lines) != len(self._lines)
        if changed:
            listed.clear_options()
            listed.add_options(Option(line) for line in lines)
        place = next((at for at, item in enumerate(items) if before is not None and self.same(item, before)), at)
        if changed or place != at:
            listed.highlighted = (0 if anew else min(place, len(lines) - 1)) if lines else None
        if not changed:
            for at, (old, new) in enumerate(zip(self._lines, lines, strict=True)):
                if old != new:
                    listed.replace_option_prompt_at_index(at, new)
        self._lines = lines
        self.explain()
        self.refresh_bindings()
        return changed

    def same(self, one: Item, other: Item) -> bool:
        """Whether two lines, of two looks, are about the same thing."""
        return one == other

    def look(self) -> object:
        """Ask the daemon again."""

    def explain(self) -> None:
        """Say more of what is marked."""

    def chosen(self, item: Item) -> None:
        """Enter or a click on a line."""

    async def attempt(self, work: Awaitable[object]) -> None:
        """Do what a key asks for; what goes wrong is told, and the list shows what is so now."""
        try:
            await work
        except LocalmindError as problem:
            self.complain(problem)
        self.look()

    def complain(self, problem: LocalmindError) -> None:
        self.notify(format.failure(problem), severity="error", markup=False, timeout=8)

    @on(OptionList.OptionHighlighted)
    def _highlighted(self) -> None:
        self.explain()
        self.refresh_bindings()  # what can be done depends on what is marked

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_index < len(self.items):
            self.chosen(self.items[event.option_index])

    def action_choose(self) -> None:
        if (item := self.marked) is not None:
            self.chosen(item)

    def action_mark_end(self, which: int) -> None:
        """The first line (`which` below 0) or the last."""
        listed = self.query_one(OptionList)
        if which < 0:
            listed.action_first()
        else:
            listed.action_last()

    def action_mark(self, step: int) -> None:
        """The next line (`step` above 0) or the one before."""
        listed = self.query_one(OptionList)
        if step > 0:
            listed.action_cursor_down()
        else:
            listed.action_cursor_up()

    def action_leave(self) -> None:
        self.dismiss(None)
