"""What is typed, and what goes with it: kept for each thread, through a closed terminal too, and completed."""

from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from textual import on, work
from textual.widgets import TextArea

from localmind_tui.desk import Desk
from localmind_tui.screens.frame import Frame
from localmind_tui.widgets.column import Column

if TYPE_CHECKING:
    from localmind_tui.completion import Completion
    from localmind_tui.remembered import Picture
    from localmind_tui.widgets.completing import Look
    from localmind_tui.widgets.completions import Completions

DRAFT_PAUSE_S = 0.5
Typed: TypeAlias = "tuple[str, tuple[str, ...], tuple[Picture, ...]]"
"""Words, the long pastes that they name, images."""
NOTHING: Typed = ("", (), ())


class Drafting(Frame):
    """The composer of the thread that is open."""

    def __init__(self, desk: Desk, *, folder: str | None, model: str | None) -> None:
        super().__init__(desk, folder=folder, model=model)
        self._draft_timer: Any = None
        self._aside = NOTHING
        """What was being typed when an older question was taken up."""
        self._opening = True  # until the first thread is here, and between two, the composer is nobody's
        self._left = NOTHING
        """What was in it when the last thread was left."""

    @on(TextArea.Changed)
    def _typed(self) -> None:
        if self.queued is not None and self.composer.text.strip() != self.queued:
            self.queued = None  # it is being worded anew, and goes when Enter is pressed again
            self._show_composer()
        self._keep_draft()
        if self._draft_timer is None:
            self._draft_timer = self.set_timer(DRAFT_PAUSE_S, self._remember_beside)

    def _keep_draft(self) -> None:
        if not self._opening:
            self._keep(self._key, self.composer.text, self.composer.pastes, self.composer.pictures)

    def _keep(self, key: str, words: str, pastes: tuple[str, ...], pictures: "tuple[Picture, ...]") -> None:
        self.desk.memory.draft(key, words)
        self.desk.memory.pasted(key, pastes)
        self.desk.memory.pictured(key, pictures)

    def _leave(self) -> None:
        """The thread is left for another one, to which belongs what is typed from here on."""
        if not self._opening:
            self._keep_draft()
            self._opening = True
            self._left = self.composer.text, self.composer.pastes, self.composer.pictures

    def _with_what_came_since(self, key: str) -> Typed:
        """A thread's draft, and behind it what was typed after the last thread was left and before this one came."""
        now, text, (left, _, pictures_left) = self.desk.memory.now, self.composer.text, self._left
        words, pastes, pictures = now.drafts.get(key, ""), now.pastes.get(key, ()), now.pictures.get(key, ())
        # What was left and then changed is told whole: nobody can say which of it is meant for this thread.
        since = "" if left.startswith(text) else text.removeprefix(left)
        since, pastes_since = self.composer.numbered_from(len(pastes) + 1, since)
        pictures_since = tuple(each for each in self.composer.pictures if each not in pictures_left)
        return words + since, (*pastes, *pastes_since), (*pictures, *pictures_since)

    def _put_draft(self) -> None:
        """The thread is here: what is typed is its own now."""
        typed, self.composer.pastes, self.composer.pictures = self._with_what_came_since(self._key)
        self.composer.put(typed)
        self._opening = False

    async def show_pictures(self) -> None:
        """Those that go with the question, above it."""
        if self.composer.pictures or self.query("Pictures"):
            from localmind_tui.widgets.pictures import Pictures

            if not self.query(Pictures):
                await self.query_one(Column).hold(Pictures())
            await self.query_one(Pictures).show(self.composer.pictures)
        self._keep_draft()
        self._show_composer()

    def remember(self) -> None:
        """Write the drafts and the rest of the memory to the disk."""
        if self.answering:
            self.desk.memory.now.unread = sorted({*self.desk.memory.now.unread, self._key})
        self._keep_draft()  # what is on the screen to the end counts, whatever another window wrote meanwhile
        if self._draft_timer is not None:
            self._draft_timer.stop()
            self._draft_timer = None
        self.desk.memory.save()

    @work(group="drafts")
    async def _remember_beside(self) -> None:
        self._draft_timer = None
        await self.desk.memory.save_beside()

    def _complete(self, before: str, first_line: bool) -> "Completion | Look | None":
        if "@" not in before and not (first_line and before.startswith("/")):
            return None
        from localmind_tui.commands import COMMANDS
        from localmind_tui.completion import commands_like, files_like, names_a_file, names_a_template, templates_like

        if first_line and names_a_template(before):
            return partial(templates_like, before, self.desk.templates)
        if first_line and before.startswith("/") and " " not in before:
            return commands_like(before, ((each.name, f"{each.takes}  {each.help}".strip()) for each in COMMANDS))
        return partial(files_like, before, tuple(self._roots), self.desk.here) if names_a_file(before) else None

    def _take_up(self) -> None:
        """What was typed before an older question was worded anew."""
        (words, pastes, pictures), self._aside = self._aside, NOTHING
        if (words or pictures) and not self.composer.text:
            self.composer.pastes = pastes
            self.composer.put(words)
            self.composer.pictures = pictures

    def _completions(self) -> "Completions":
        from localmind_tui.widgets.completions import Completions

        made = Completions()
        self.query_one(Column).hold(made)
        return made
