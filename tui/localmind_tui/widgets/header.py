"""The first line of the screen: thread, model, and how the daemon is."""

from typing import Literal

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.reactive import reactive
from textual.widgets import Static

DaemonState = Literal["connecting", "ready", "answering", "unreachable"]
WORDS = {"connecting": "connecting", "ready": "ready", "answering": "answering", "unreachable": "daemon away"}


class Header(Horizontal):
    """Shows what it is told."""

    thread: reactive[str] = reactive("")
    model: reactive[str] = reactive("")
    folders: reactive[str] = reactive("")
    state: reactive[DaemonState] = reactive("connecting")

    def compose(self) -> ComposeResult:
        yield Static("localmind", id="name")
        yield Static(id="thread", markup=False)
        yield Static(id="folders", markup=False)
        yield Static(id="model", markup=False)
        yield Static(id="state", markup=False)

    def watch_thread(self, thread: str) -> None:
        self._write("#thread", thread)

    def watch_model(self, model: str) -> None:
        self._write("#model", model)

    def watch_folders(self, folders: str) -> None:
        self._write("#folders", folders)

    def watch_state(self, state: DaemonState) -> None:
        self._write("#state", f"{'◐' if state == 'answering' else '●'} {WORDS[state]}")
        for each in WORDS:
            self.set_class(each == state, f"-{each}")

    def _write(self, selector: str, text: str) -> None:
        if self.is_mounted:
            self.query_one(selector, Static).update(text)

    def on_mount(self) -> None:
        self.watch_thread(self.thread)
        self.watch_model(self.model)
        self.watch_folders(self.folders)
        self.watch_state(self.state)
