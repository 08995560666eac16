"""The windows that open over the conversation, and what choosing in one of them means for it.

Each is loaded and styled when it is first opened: the first picture has none of them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import work
from textual.app import App
from textual.notifications import SeverityLevel

from localmind.errors import Cancelled, LocalmindError
from localmind_tui import format
from localmind_tui.timely import Timely

if TYPE_CHECKING:
    from localmind_tui.desk import Desk
    from localmind_tui.pulling import Pulling
    from localmind_tui.screens.chat import ChatScreen

WINDOWS = Path(__file__).with_name("windows.tcss")


class Windowed(App[None], Timely):
    """An app around one conversation."""

    desk: "Desk"
    _chat: "ChatScreen"
    _pulling: "Pulling | None" = None
    _trying_themes = False

    @property
    def pulling(self) -> "Pulling":
        """Downloads, of which most windows see none."""
        if self._pulling is None:
            from localmind_tui.pulling import Pulling

            self._pulling = Pulling(self.desk.daemon, self._pulled)
        return self._pulling

    def _style_windows(self) -> None:
        """After the first picture, which has none of them; nothing that is there is styled anew for it."""
        if not self.stylesheet.has_source(str(WINDOWS)):
            self.stylesheet.read(WINDOWS)

    def push_screen(self, *given: Any, **how: Any) -> Any:  # it is overloaded
        """A key can be quicker than the first picture, and its window must not come unstyled."""
        self._style_windows()
        return super().push_screen(*given, **how)

    @property
    def _busy(self) -> bool:
        return self.screen is not self._chat

    @work(group="window")
    async def action_threads(self) -> None:
        if self._busy:
            return
        from localmind_tui.screens.threads import ThreadsScreen

        wanted = await self.push_screen_wait(ThreadsScreen(self.desk, self._chat.sidebar.unread))
        if wanted is None:
            self.desk.link.ask()
        else:
            await self._chat.open(wanted.thread, around=wanted.message)

    @work(group="window")
    async def action_models(self) -> None:
        if self._busy:
            return
        from localmind_tui.screens.models import ModelsScreen

        chosen = await self.push_screen_wait(ModelsScreen(self.desk, self.pulling, self._chat.model_name))
        if chosen is not None:
            self._chat.use_model(chosen)

    @work(group="window")
    async def action_folders(self) -> None:
        if self._busy:
            return
        from localmind_tui.screens.folders import FoldersScreen

        chosen = await self.push_screen_wait(FoldersScreen(self.desk, self._chat.folder))
        if chosen is not None:
            self._chat.folder = chosen or None
        self.desk.link.ask()

    @work(group="window")
    async def action_themes(self) -> None:
        """One that is only looked at is not remembered."""
        if self._busy:
            return
        from localmind_tui.screens.themes import ThemesScreen

        self._trying_themes = True
        try:
            kept = await self.push_screen_wait(ThemesScreen(self.desk.environ))
        finally:
            self._trying_themes = False
        if kept is not None:
            self.watch_theme(kept)

    def watch_theme(self, theme: str) -> None:
        if self._chat.is_mounted and theme != self.desk.preferences.theme and not self._trying_themes:
            self.desk.memory.now.theme = theme

    @work(group="greet")
    async def _greet(self) -> None:
        try:
            models = (await self.desk.daemon.get("/models"))["models"]
        except LocalmindError:
            return
        from localmind_tui.screens.first_run import FirstRun

        here = any(model.get("installed") and model.get("role") == "chat" for model in models)
        if not here or not self.desk.link.status.get("folders"):
            chosen = await self.push_screen_wait(FirstRun(self.desk, self.pulling))
            if chosen is not None:
                self._chat.use_model(chosen)
        self.desk.memory.now.greeted = True
        self._chat.composer.focus()

    def _pulled(self, name: str, problem: LocalmindError | None) -> None:
        """A download ended; whoever looks at the list sees it there, and a notice would cover it."""
        if getattr(self.screen, "shows_pulls", False):
            return
        if problem is not None:
            how: SeverityLevel = "information" if isinstance(problem, Cancelled) else "error"
            self.notify(f"{name}: {format.failure(problem)}", severity=how, markup=False, timeout=8)
        else:
            self.notify(f"{name} is here.", markup=False)
