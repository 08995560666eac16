"""The Textual application: the screens, what they share, and the ways in and out.

Leaving by any way (a key, a signal, a closed terminal) writes the drafts and gives the terminal back; answers go on
in the daemon.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from textual import work
from textual.app import App, SuspendNotSupported
from textual.screen import Screen

from localmind.errors import LocalmindError
from localmind_tui import format
from localmind_tui.commands import Command, Commands
from localmind_tui.daemon import Daemon
from localmind_tui.desk import Desk
from localmind_tui.editor import Launch
from localmind_tui.keymap import bindings
from localmind_tui.models import Room
from localmind_tui.preferences import Preferences
from localmind_tui.pulling import Pulling
from localmind_tui.screens.chat import ChatScreen
from localmind_tui.screens.first_run import FirstRun
from localmind_tui.screens.folders import FoldersScreen
from localmind_tui.screens.help import HelpScreen
from localmind_tui.screens.models import ModelsScreen
from localmind_tui.screens.threads import ThreadsScreen
from localmind_tui.state import Memory
from localmind_tui.themes import OURS, first_theme

TWICE_S = 1.5
"""A second Ctrl+C within this time leaves."""


class LocalmindApp(App[None]):
    """`environ`, `launch`, `clock` and `here` are seams for tests; by default the real ones."""

    CSS_PATH = "app.tcss"
    TITLE = "localmind"
    BINDINGS = bindings("app")
    COMMANDS = App.COMMANDS | {Commands}
    COMMAND_PALETTE_BINDING = "f12"  # ours is in the keymap
    NOTIFICATION_TIMEOUT = 4

    def __init__(
        self,
        client: Daemon,
        *,
        folder: str | None = None,
        model: str | None = None,
        thread: str | None = None,
        memory: Path | None = None,
        settings: Path | None = None,
        templates: Path | None = None,
        environ: Mapping[str, str] = os.environ,
        launch: Callable[[Launch], None] | None = None,
        clock: Callable[[], float] = time.time,
        room: Callable[[], Room] = Room.now,
        here: Path | None = None,
    ) -> None:
        super().__init__()
        preferences = Preferences.read(settings) if settings is not None else Preferences()
        self.desk = Desk(
            daemon=client,
            environ=environ,
            launch=launch or self.launch_program,
            clock=clock,
            room=room,
            memory=Memory(memory),
            preferences=preferences,
            templates=templates or Path("templates"),
            here=here or Path.cwd(),
        )
        self.pulling = Pulling(client, self._pulled)
        self._chat = ChatScreen(self.desk, folder=folder, model=model, thread=thread)
        self._interrupted_at = 0.0
        self._first_status = True
        for theme in OURS:
            self.register_theme(theme)

    def get_default_screen(self) -> Screen[None]:
        return self._chat

    def on_mount(self) -> None:
        preferences, remembered = self.desk.preferences, self.desk.memory.now.theme
        wanted = [preferences.theme, remembered, first_theme(self.desk.environ)]
        self.theme = next(name for name in wanted if name in self.available_themes)
        self.set_keymap(dict(preferences.keys))
        for problem in preferences.problems:
            self.notify(problem, severity="warning", markup=False, timeout=10)
        if preferences.theme and preferences.theme not in self.available_themes:
            self.notify(f"settings: there is no theme `{preferences.theme}`", severity="warning", markup=False)
        if threading.current_thread() is threading.main_thread() and not self.is_headless:
            for each in (signal.SIGTERM, signal.SIGHUP):
                self._loop_signal(each)

    def _loop_signal(self, number: int) -> None:
        """Leave as by the key: drafts are written and the terminal is given back."""
        import asyncio

        asyncio.get_running_loop().add_signal_handler(number, self.exit)

    async def on_unmount(self) -> None:
        self.desk.memory.save()
        await self.pulling.close()
        await self.desk.daemon.close()

    def watch_theme(self, theme: str) -> None:
        if self._chat.is_mounted and theme != self.desk.preferences.theme:
            self.desk.memory.now.theme = theme

    def on_conversation_linked(self) -> None:
        """On the very first time, a machine with nothing on it is greeted."""
        if self._first_status:
            self._first_status = False
            if not self.desk.memory.now.greeted:
                self._greet()

    @work(group="greet")
    async def _greet(self) -> None:
        try:
            models = (await self.desk.daemon.get("/models"))["models"]
        except LocalmindError:
            return
        here = any(model.get("installed") and model.get("role") == "chat" for model in models)
        if not here or not self.desk.link.status.get("folders"):
            chosen = await self.push_screen_wait(FirstRun(self.desk, self.pulling))
            if chosen is not None:
                self._chat.use_model(chosen)
        self.desk.memory.now.greeted = True
        self._chat.composer.focus()

    def _pulled(self, name: str, problem: LocalmindError | None) -> None:
        """A download ended; whoever looks at the list sees it there."""
        if problem is not None:
            self.notify(f"{name}: {format.failure(problem)}", severity="error", markup=False, timeout=8)
        else:
            self.notify(f"{name} is here.", markup=False)

    # -- keys

    def action_help(self) -> None:
        if isinstance(self.screen, HelpScreen):
            self.screen.dismiss()
            return
        self.push_screen(HelpScreen(self._place(), self.desk.preferences.keys))

    def _place(self) -> str:
        """Where in the keymap the focus is."""
        names = {ThreadsScreen: "threads", ModelsScreen: "models", FoldersScreen: "folders"}
        for kind, name in names.items():
            if isinstance(self.screen, kind):
                return name
        focused = type(self.focused).__name__
        return {"Composer": "composer", "TurnView": "turn", "SourcesView": "sources"}.get(focused, "chat")

    @property
    def _busy(self) -> bool:
        return self.screen is not self._chat

    @work(group="window")
    async def action_threads(self) -> None:
        if self._busy:
            return
        wanted = await self.push_screen_wait(ThreadsScreen(self.desk))
        if wanted is None:
            self.desk.link.ask()
        elif wanted.export:
            try:
                thread = (await self.desk.daemon.get(f"/threads/{wanted.thread}", limit=1))["thread"]
                path = await self._chat.export(thread, "")
                self.notify(f"Written to {path}", markup=False)
            except LocalmindError as problem:
                self._chat.complain(problem)
        else:
            await self._chat.open(wanted.thread, around=wanted.message)

    @work(group="window")
    async def action_models(self) -> None:
        if self._busy:
            return
        chosen = await self.push_screen_wait(ModelsScreen(self.desk, self.pulling, self._chat.model_name))
        if chosen is not None:
            self._chat.use_model(chosen)

    @work(group="window")
    async def action_folders(self) -> None:
        if self._busy:
            return
        chosen = await self.push_screen_wait(FoldersScreen(self.desk, self._chat.folder))
        if chosen is not None:
            self._chat.folder = chosen or None
        self.desk.link.ask()

    async def action_interrupt(self) -> None:
        """Ctrl+C: copy what is marked, else stop the answer, else leave when pressed twice."""
        marked = self.screen.get_selected_text()
        if marked:
            await self._chat.copy(marked)
            self.screen.clear_selection()
            return
        if self.screen is self._chat and self._chat.composer.selected_text:
            await self._chat.copy(self._chat.composer.selected_text)
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

    def run_command(self, command: Command) -> None:
        """From the palette."""
        self.run_worker(self._chat.run_named(command.name, ""), group="asking")

    def launch_program(self, launch: Launch) -> None:
        """Run a command, in the terminal or beside it. Raises LocalmindError when it cannot be run."""
        try:
            if launch.in_terminal:
                with self.suspend():
                    subprocess.run(launch.argv, check=False)
                return
            process = subprocess.Popen(
                launch.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as problem:
            raise LocalmindError(
                f"cannot run {launch.argv[0]}: {problem.strerror}", hint="export EDITOR=nano"
            ) from problem
        except SuspendNotSupported as problem:
            raise LocalmindError("this terminal cannot be lent to an editor", hint=" ".join(launch.argv)) from problem
        # Nobody waits for a window to close, but a finished child must not stay a zombie.
        threading.Thread(target=process.wait, daemon=True).start()
