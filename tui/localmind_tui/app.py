"""The Textual application: one conversation screen, and the way out to an editor."""

import os
import subprocess
import threading
from collections.abc import Callable, Mapping

from textual.app import App, SuspendNotSupported
from textual.screen import Screen

from localmind.errors import LocalmindError
from localmind_tui.assistant import Assistant
from localmind_tui.editor import Launch
from localmind_tui.screens.chat import ChatScreen


class LocalmindApp(App[None]):
    """`environ` and `launch` are seams for tests; by default the real environment and real programs."""

    CSS_PATH = "app.tcss"
    TITLE = "localmind"

    def __init__(
        self,
        client: Assistant,
        *,
        folder: str | None = None,
        model: str | None = None,
        environ: Mapping[str, str] = os.environ,
        launch: Callable[[Launch], None] | None = None,
    ) -> None:
        super().__init__()
        self._client = client
        self._chat = ChatScreen(
            client, folder=folder, model=model, environ=environ, launch=launch or self.launch_program
        )

    def get_default_screen(self) -> Screen[None]:
        return self._chat

    async def on_unmount(self) -> None:
        await self._client.close()

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
