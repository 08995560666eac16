"""The Textual application: the screens, what they share, and the ways in and out.

Leaving by any way (a key, a signal, a closed terminal) writes the drafts and gives the terminal back; answers go on
in the daemon.
"""

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import App
from textual.binding import Binding
from textual.constants import DRIVER
from textual.driver import Driver
from textual.filter import LineFilter
from textual.screen import Screen

from localmind.clean import clean
from localmind_tui.aloud import Aloud, no_sound
from localmind_tui.desk import Desk
from localmind_tui.keymap import bindings, brief
from localmind_tui.lending import Lender
from localmind_tui.screens.chat import ChatScreen
from localmind_tui.state import Memory
from localmind_tui.themes import OURS, first_theme, shown_theme
from localmind_tui.windowed import Windowed
from localmind_tui.wishes import EVERY_S, Wishes

if TYPE_CHECKING:
    from localmind.client import AsyncClient
    from localmind.events import Event
    from localmind.microphone.capture import Capture
    from localmind_tui.commands import Commands, Entry
    from localmind_tui.daemon import Daemon
    from localmind_tui.editor import Launch
    from localmind_tui.room import Room
    from localmind_tui.widgets.dictation import Listen, Open

TWICE_S = 1.5
"""A second Ctrl+C within this time leaves."""


def _commands() -> "type[Commands]":
    """What the palette finds, once it is opened."""
    from localmind_tui.commands import Commands

    return Commands


class LocalmindApp(Windowed):
    """`environ`, `launch`, `clock` and `here` are seams for tests; by default the real ones."""

    CSS_PATH = "app.tcss"
    TITLE = "localmind"
    BINDINGS = bindings("app")
    COMMANDS: ClassVar = {_commands}
    COMMAND_PALETTE_BINDING = "f12"  # ours is in the keymap
    NOTIFICATION_TIMEOUT = 4
    _chosen = False  # the theme

    def __init__(
        self,
        client: "Daemon",
        *,
        folder: str | None = None,
        model: str | None = None,
        thread: str | None = None,
        goes_on: bool = False,
        memory: Path | None = None,
        settings: Path | None = None,
        templates: Path | None = None,
        environ: Mapping[str, str] = os.environ,
        launch: "Callable[[Launch], Awaitable[None]] | None" = None,
        clock: Callable[[], float] = time.time,
        room: "Callable[[], Room]" = lambda: _room(),
        here: Path | None = None,
        microphone: "Open" = lambda name: _microphone(name),
        aloud: Aloud | None = None,
    ) -> None:
        super().__init__()
        for theme in OURS:
            self.register_theme(theme)
        self._lender = Lender(self)
        self._wishes = Wishes(settings)
        preferences = self._wishes.preferences
        self.desk = Desk(
            daemon=client,
            environ=environ,
            launch=launch or self._lender,
            open_microphone=microphone,
            listen=_listen(client),
            aloud=aloud or Aloud(no_sound),
            clock=clock,
            room=room,
            memory=Memory(memory),
            preferences=preferences,
            templates=templates or Path("templates"),
            here=here or Path.cwd(),
            pasted=(memory or (here or Path.cwd()) / "tui.json").with_name("pasted"),
        )
        self._register_own_themes()
        remembered = self.desk.memory.now.theme
        wanted = (preferences.theme, remembered, first_theme(environ))
        # Before anything is styled: another theme later means parsing every style sheet and styling all again.
        known = self.available_themes
        theme = next(known[name] for name in wanted if name in known)
        self.set_reactive(App.theme, shown_theme(theme, environ))
        self._refresh_truecolor_filter(self.ansi_theme)  # else the terminal's own colours are made ones of Textual's
        self._chosen = True
        self._variables = self.get_css_variables()
        self.stylesheet.set_variables(self._variables)
        self._chat = ChatScreen(self.desk, folder=folder, model=model, thread=thread, goes_on=goes_on)
        self._interrupted_at = 0.0
        self._first_status = True
        self._colourless: LineFilter | None = None

    def get_driver_class(self) -> type[Driver]:
        """A terminal that is gone holds nobody up."""
        if sys.platform == "win32" or DRIVER is not None:
            return super().get_driver_class()
        from localmind_tui.terminal import Terminal

        return Terminal

    def get_line_filters(self) -> Sequence[LineFilter]:
        if not self.no_color:
            return super().get_line_filters()
        if self._colourless is None:
            from localmind_tui.colourless import Colourless

            self._colourless = Colourless()
        return [self._colourless]

    def get_default_screen(self) -> Screen[None]:
        return self._chat

    def on_mount(self) -> None:
        self.set_keymap(dict(self.desk.preferences.keys))
        self._tell_wrong_wishes()
        self._warn(self.desk.memory.told())
        self.set_interval(EVERY_S, self._look_around)
        if sys.platform != "win32" and threading.current_thread() is threading.main_thread() and not self.is_headless:
            for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(each, self._signalled, each)

    def _register_own_themes(self) -> None:
        for theme in self._wishes.themes(self.available_themes):
            self.register_theme(theme)

    def _tell_wrong_wishes(self) -> None:
        wanted = self.desk.preferences.theme
        unknown = [f"settings: there is no theme `{wanted}`"] if wanted and wanted not in self.available_themes else []
        self._warn([*self._wishes.told(), *unknown])

    def _warn(self, problems: Sequence[str]) -> None:
        for problem in problems:
            self.notify(clean(problem), severity="warning", markup=False, timeout=10)

    def _look_around(self) -> None:
        self._look_for_wishes()
        self._warn(self.desk.memory.told())

    def _look_for_wishes(self) -> None:
        """What was saved in the settings or in a theme counts at once."""
        settings, themes = self._wishes.changed()
        if themes:
            self._register_own_themes()
        before = self.desk.preferences
        after = self.desk.preferences = self._wishes.preferences
        if settings:
            self.set_keymap(dict(after.keys))
            self._chat.prefer(before, after)
        if after.theme != before.theme and after.theme in self.available_themes:
            self.theme = shown_theme(self.available_themes[after.theme], self.desk.environ)
        if themes:
            self.mutate_reactive(App.theme)  # by the same name it may have other colours
        if settings or themes:
            self._tell_wrong_wishes()

    def on_ready(self) -> None:
        self._style_windows()
        if not gc.isenabled():
            gc.freeze()  # what was loaded stays; searching all of it each time would hold up the loop
            gc.enable()

    def _signalled(self, number: int) -> None:
        """Leave as by the key: drafts are written and the terminal is given back."""
        if not self._lender.away:
            self.exit()
        elif number != signal.SIGINT:  # that one is Ctrl+C in the editor
            self._lender.end()

    def get_css_variables(self) -> dict[str, str]:
        """Textual works out those of a theme of its own first, which nobody sees."""
        return super().get_css_variables() if self._chosen else {}

    def refresh_css(self, animate: bool = True) -> None:
        """Textual asks for it at the start, when nothing has changed."""
        variables = self.get_css_variables()
        if variables != self._variables:
            self._variables = variables
            super().refresh_css(animate)

    async def on_unmount(self) -> None:
        self.desk.aloud.stop()
        self.desk.memory.save()
        self.desk.memory.leave()
        if self._pulling is not None:
            await self._pulling.close()
        await self.desk.daemon.close()

    def on_frame_linked(self) -> None:
        """On the very first time, a machine with nothing on it is greeted."""
        if self._first_status:
            self._first_status = False
            if not self.desk.memory.now.greeted:
                self._greet()

    # -- keys

    def get_key_display(self, binding: Binding) -> str:
        return brief(binding.key)

    def action_help(self) -> None:
        from localmind_tui.screens.help import HelpScreen  # windows are loaded when they are first opened

        if isinstance(self.screen, HelpScreen):
            self.screen.dismiss()
            return
        self.push_screen(HelpScreen(self._place(), self.desk.preferences.keys))

    def _place(self) -> str:
        """Where in the keymap the focus is."""
        place: str = getattr(self.screen, "place", "") or getattr(self.focused, "place", "")
        return place or "chat"

    async def action_interrupt(self) -> None:
        """Ctrl+C: copy what is marked, else stop the answer, else leave when pressed twice."""
        marked = self.screen.get_selected_text()
        if marked:
            await self._chat.copy(marked)
            self.screen.clear_selection()
            return
        if self.screen is self._chat and self._chat.composer.marked:
            await self._chat.copy(self._chat.composer.marked)
            return
        if self._chat.answering:
            await self._chat.action_stop()
            return
        now = time.monotonic()
        if now - self._interrupted_at < TWICE_S:
            self.action_leave()
            return
        self._interrupted_at = now
        self.notify("Ctrl+C again leaves. Answers go on without you.", markup=False, timeout=2)

    def action_leave(self) -> None:
        self._chat.remember()
        self.exit()

    def run_entry(self, entry: "Entry") -> None:
        """From the palette."""
        if entry.command is not None:
            self.run_worker(self._chat.run_from_palette(entry.command), group="asking")
        elif entry.action is not None:
            where = self if entry.action.where == "app" else self._chat
            self.run_worker(self.run_action(entry.action.action, where), group="asking")


def _room() -> "Room":
    from localmind_tui.room import Room

    return Room.now()


def _microphone(name: str | None) -> "Capture":
    from localmind.microphone import open_capture  # miniaudio is loaded when somebody speaks

    return open_capture(name)


def _listen(client: "Daemon") -> "Listen":
    def listen(sound: AsyncIterator[bytes], how: Mapping[str, Any]) -> "AsyncGenerator[Event, None]":
        from localmind.client.listening import listen_async

        return listen_async(cast("AsyncClient", client), sound, how)  # of which it needs `events` and `send`

    return listen
