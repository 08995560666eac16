"""F3: which models there are, which of them fit this machine and why, what is here, what is being fetched.

Downloads belong to the app while it is open, not to this screen: closing it pauses nothing. What the machine
recommends is the daemon's word; an older daemon that gives none gets a plain rule by memory.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList, Static

from localmind.clean import clean_line
from localmind.errors import Cancelled, LocalmindError
from localmind_tui import format
from localmind_tui.desk import Desk
from localmind_tui.keymap import bindings
from localmind_tui.models import Model, elsewhere, models_of, sentence
from localmind_tui.pulling import Pulling
from localmind_tui.screens.asking import Confirm
from localmind_tui.screens.listed import Listed
from localmind_tui.screens.looking import keep_looking
from localmind_tui.widgets.keys import KeyLine

EVERY_S = 0.5
DOES = {
    "embed": "finds passages by meaning",
    "rerank": "sorts what was found",
    "speech": "writes down what is said",
    "voice": "reads aloud",
}
"""What models do that answer no questions, by their role."""


class ModelsScreen(Listed[Model, str]):
    """Left with the name of the model that shall answer."""

    place = "models"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("models"), *bindings("list"), *bindings("window")]

    def __init__(self, desk: Desk, pulling: Pulling, current: str | None) -> None:
        super().__init__()
        self._desk = desk
        self._pulling = pulling
        self._current = current
        self._answered: Mapping[str, Any] = {}

    def compose(self) -> ComposeResult:
        with Vertical(classes="window") as box:
            box.border_title = "Models"
            yield Static(id="memory", markup=False)
            yield OptionList(markup=False)
            yield Static(id="why", markup=False)
            yield KeyLine()

    def on_mount(self) -> None:
        keep_looking(self, EVERY_S, self.look)

    @work(exclusive=True, group="models")
    async def look(self) -> None:
        try:
            listed = await self._desk.daemon.get("/models")
            machine = await self._machine()
            await self._pulling.look()
        except LocalmindError as problem:
            for line in self.query("#memory").results(Static):
                line.update(format.failure(problem))
            return
        if not self.query("#memory"):
            return  # closed meanwhile
        room = self._desk.room()
        models = models_of(listed["models"], machine, self._desk.link.status, room)
        here = sum(model.role == "chat" and model.installed for model in models)  # the first of them
        models[here:here] = elsewhere(listed.get("remote") or ())
        told = format.memory(room.total, room.available, self._desk.link.status)
        self.query_one("#memory", Static).update(told)
        self.show(models, [self._line(model) for model in models])

    async def _machine(self) -> Mapping[str, Any]:
        """What the daemon says of this machine and its models, asked once."""
        if not self._answered:
            try:
                self._answered = await self._desk.daemon.get("/models/recommend")
            except LocalmindError:
                self._answered = {"picks": []}
        return self._answered

    def _line(self, model: Model) -> Content:
        name = f"{'●' if model.name == self._current else '✓' if model.installed else ' '} {model.name}"
        state = (
            f"at {model.host}"
            if model.host
            else "loaded"
            if model.loaded
            else "here"
            if model.installed
            else format.size(model.size)
            if model.size
            else "size unknown"
        )
        step = self._pulling.steps.get(model.name)
        if step is not None:
            state = format.download(step)
        elif (problem := self._pulling.problems.get(model.name)) is not None:
            state = "stopped" if isinstance(problem, Cancelled) else "download failed"
        fits = {"yes": ("fits", "$text-success"), "no": ("too large", "$text-error"), "slow": ("slow", "$text-warning")}
        word, style = fits[model.fits]
        room = 28 if step is None else 22  # how far a download is takes more than a size
        parts = [
            (Content(name).truncate(room, ellipsis=True, pad=True).plain, "bold" if model.installed else ""),
            ("  ",),
            (f"{state:<15}", "$foreground-muted"),
        ]
        if model.sees:
            parts += [("  ",), ("sees images", "$text-success")]
        if step is None and model.role in DOES:
            parts += [("  ",), (DOES[model.role], "$foreground-muted")]
        elif step is None and not model.host:
            parts += [("  ",), (word, style)]
        if model.recommended and step is None:
            parts.append(("  ★ best here", "$accent"))
        return Content.assemble(*(part if len(part) == 2 else part[0] for part in parts))

    def same(self, one: Model, other: Model) -> bool:
        return (one.name, one.host) == (other.name, other.host)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with the marked model is offered."""
        model = self.marked
        if model is None:
            return True
        coming = model.name in self._pulling.steps
        return {
            "choose": not coming and (model.role == "chat" or not model.installed),
            "pull": not (coming or model.installed or model.host),
            "pause": coming,
            "cancel": coming,
            "remove": model.installed and not coming,
        }.get(action, True)

    def explain(self) -> None:
        model = self.marked
        words = ""
        if model is not None:
            lines = [f"{model.family} · {model.licence} · {model.description}".strip(" ·"), sentence(model.why)]
            if (problem := self._pulling.problems.get(model.name)) is not None:
                lines.append(format.failure(problem))
            words = "\n".join(line for line in lines if line)
        self.query_one("#why", Static).update(words)

    def chosen(self, item: Model) -> None:
        if item.host:
            self.dismiss(item.name)
        elif not item.installed:
            self.action_pull()
        elif item.role == "chat":
            self.dismiss(item.name)

    def action_pull(self) -> None:
        if (model := self.marked) is not None:
            self._pulling.start(model.name)
            self.look()

    @work(group="pull")
    async def action_pause(self) -> None:
        if (model := self.marked) is not None:
            await self.attempt(self._pulling.toggle(model.name))

    @work(group="pull")
    async def action_cancel(self) -> None:
        if (model := self.marked) is not None:
            await self.attempt(self._pulling.cancel(model.name))

    @work(group="pull")
    async def action_remove(self) -> None:
        model = self.marked
        if model is None or not model.installed:
            return
        question = f"Remove {clean_line(model.name)} ({format.size(model.size)}) from this machine?"
        if await self.app.push_screen_wait(Confirm(question)):
            await self.attempt(self._desk.daemon.delete("/models", name=model.name))
