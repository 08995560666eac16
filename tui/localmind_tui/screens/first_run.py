"""The first minute: a model for this machine is recommended and fetched, and a folder is offered.

Each step can be skipped, and nothing is downloaded or read without a key. While a model comes, the folder can be
chosen, since both take their time.
"""

from collections.abc import Mapping
from typing import Any

from textual import on, work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from localmind.clean import clean_line
from localmind.client.starter import instead_of
from localmind.counted import counted
from localmind.errors import LocalmindError
from localmind_tui import format
from localmind_tui.desk import Desk
from localmind_tui.keymap import bindings
from localmind_tui.models import Model, best, embedder_to_fetch, models_of, sentence
from localmind_tui.pulling import Pulling
from localmind_tui.screens.looking import keep_looking
from localmind_tui.widgets.folder_field import FolderField

EVERY_S = 0.4
GREETING = (
    "Welcome. localmind answers questions with a model that runs on this machine, from folders that you choose. "
    "Nothing leaves it."
)


class FirstRun(ModalScreen[str | None]):
    """Left with the model that was chosen, or None."""

    BINDINGS = bindings("window")
    AUTO_FOCUS = "#pull"
    shows_pulls = True

    def __init__(self, desk: Desk, pulling: Pulling) -> None:
        super().__init__()
        self.VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]
        self._desk = desk
        self._pulling = pulling
        self._models: list[Model] = []
        self._model: Model | None = None
        self._embedder: str | None = None
        self._asked = False
        self._instead = ""

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="window", id="first", can_focus=False):
            yield Static(GREETING, markup=False)
            yield Static("1  A model", classes="step", markup=False)
            yield Static("looking at this machine …", id="model", markup=False)
            yield Button("Download it", id="pull", compact=True)
            yield Static("2  A folder", classes="step", markup=False)
            yield Static("Its documents can be asked about; answers name their places.", id="told", markup=False)
            what = "For example ~/Documents; Enter adds it"
            yield FolderField(self._desk.daemon, self._desk.here, what, compact=True)
            yield Static(id="added", markup=False)
            yield Button("Begin", id="begin", compact=True, variant="primary")
            yield Static("Esc skips. F3 and F4 do the same later.", classes="choices", markup=False)

    def on_mount(self) -> None:
        self.query_one(".window").border_title = "localmind"
        keep_looking(self, EVERY_S, self._look)

    @work(exclusive=True, group="first")
    async def _look(self) -> None:
        daemon = self._desk.daemon
        try:
            listed = (await daemon.get("/models"))["models"]
            folders = (await daemon.get("/folders"))["folders"]
        except LocalmindError as problem:
            if self.is_attached:
                self.query_one("#model", Static).update(format.failure(problem))
            return
        recommended = await self._machine()
        self._models = models_of(listed, recommended, self._desk.link.status, self._desk.room())
        if self._model is None or not self._asked:
            self._model = best(self._models)
        self._embedder = embedder_to_fetch(self._models, recommended)
        self._fall_back(recommended)
        if self.is_attached and self.query("#added"):
            self._show_model()
            self._show_folders(folders)

    async def _machine(self) -> Any:
        try:
            return await self._desk.daemon.get("/models/recommend")
        except LocalmindError:
            return {}

    def _fall_back(self, recommended: Mapping[str, Any]) -> None:
        """Fetch the starter where the model that was chosen cannot be had."""
        if self._model is None or not self._asked:
            return
        found = instead_of(self._model.name, self._pulling.problems.get(self._model.name), recommended)
        starter = next((each for each in self._models if found and each.name == found[0]), None)
        if found is not None and starter is not None:
            self._model, self._instead = starter, f"{found[1]}\n"
            self._pulling.start(starter.name)

    def _show_model(self) -> None:
        now = next((each for each in self._models if self._model and each.name == self._model.name), None)
        button, words = self.query_one("#pull", Button), self.query_one("#model", Static)
        if now is None:
            words.update("The catalog has no chat model.")
            button.display = False
            return
        step = self._pulling.steps.get(now.name)
        if now.installed:
            words.update(f"{self._instead}✓ {now.name} is here.\n{sentence(now.why)}")
        elif step is not None:
            words.update(f"{self._instead}{now.name}  {format.download(step)}")
        elif (problem := self._pulling.problems.get(now.name)) is not None:
            words.update(format.failure(problem))
        else:
            words.update(f"{now.name}, {format.size(now.size)}: {now.description}\n{sentence(now.why)}")
        if self._embedder is not None and (unread := self._pulling.problems.get(self._embedder)) is not None:
            words.update(f"{words.content}\n{self._embedder}, which finds by meaning: {clean_line(unread.message)}")
        button.display = not now.installed and step is None

    def _show_folders(self, folders: list[dict[str, Any]]) -> None:
        lines = [
            f"✓ {clean_line(str(each['path']))}: {counted(each['files'], 'file')}, {clean_line(str(each['state']))}"
            for each in folders[:5]
        ]
        self.query_one("#added", Static).update("\n".join(lines))

    @on(Button.Pressed, "#pull")
    def _pull(self) -> None:
        if self._model is not None:
            self._asked = True
            self._pulling.start(self._model.name)
            if self._embedder is not None:  # without it folders are found by words alone
                self._pulling.start(self._embedder)
            self.query_one(FolderField).focus()
            self._look()

    @on(Button.Pressed, "#begin")
    def _begin(self) -> None:
        self.dismiss(self._model.name if self._model is not None and (self._model.installed or self._asked) else None)

    @on(FolderField.Finished)
    def _finished(self) -> None:
        self.query_one("#begin", Button).focus()
        self._look()

    def action_leave(self) -> None:
        self.dismiss(None)
