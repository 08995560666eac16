"""The themes: what is marked is shown at once, behind the list; Enter keeps it, Esc goes back to the one before."""

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.theme import BUILTIN_THEMES, Theme
from textual.widgets import Input, OptionList, Static

from localmind_tui.keymap import bindings
from localmind_tui.screens.listed import Listed
from localmind_tui.themes import DARK, LIGHT, shown_theme
from localmind_tui.widgets.keys import KeyLine

PAUSE_S = 0.05
"""A key that is held goes over many themes, and to show one everything is styled anew."""
OUR_NAMES = DARK.name, LIGHT.name


class ThemesScreen(Listed[Theme, str]):
    """At the edge, so that what it changes is in view. The search has the focus, as in the list of threads."""

    place = "themes"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("themes"), *bindings("window")]

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self._environ = environ
        self._before = ""
        self._opened = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="window") as box:
            box.border_title = "Themes"
            yield Input(placeholder="Search")
            yield OptionList(markup=False)
            yield Static("No theme of that name.", classes="empty", markup=False)
            yield KeyLine()

    def on_mount(self) -> None:
        self._before = self.app.theme
        self.query_one(OptionList).can_focus = False
        self.look()

    @on(Input.Changed)
    def _typed(self) -> None:
        self.look()

    def look(self) -> None:
        """Ours and the user's own first. Of those that this terminal would make greys of none is offered."""
        wanted = self.query_one(Input).value.casefold().strip()
        known = [each for each in self.app.available_themes.values() if shown_theme(each, self._environ) == each.name]
        known.sort(key=lambda each: (each.name not in OUR_NAMES, each.name in BUILTIN_THEMES, each.name))
        found = [each for each in known if wanted in each.name]
        self.query_one(OptionList).display = bool(found)
        self.query_one(".empty", Static).display = not found
        self.show(found, [self._line(each) for each in found], anew=self._opened)
        if not self._opened:
            names = [each.name for each in found]
            self.query_one(OptionList).highlighted = names.index(self._before) if self._before in names else 0
            self._opened = True

    def _line(self, theme: Theme) -> Content:
        return Content.assemble(("● " if theme.name == self._before else "  ", "$accent"), theme.name)

    def explain(self) -> None:
        """By the theme itself."""
        if self._opened:
            self._show_theme()

    @work(exclusive=True, group="theme")
    async def _show_theme(self) -> None:
        await asyncio.sleep(PAUSE_S)
        if self.marked is not None and self.is_current:
            self.app.theme = self.marked.name

    def chosen(self, item: Theme) -> None:
        self.workers.cancel_group(self, "theme")
        self.app.theme = item.name
        self.dismiss(item.name)

    def action_leave(self) -> None:
        self.workers.cancel_group(self, "theme")
        self.app.theme = self._before
        self.dismiss(None)
