"""A daemon in the test's own process: the real store and running turns over a model that says what it is told."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from textual.css.query import NoMatches
from textual.pilot import Pilot
from tui_catalog import MODELS, RECOMMENDED, added_folder

from localmind import __version__, catalog
from localmind.api.native.turns import messages_json
from localmind.assistant.running import Question, Running
from localmind.catalog import ModelSpec
from localmind.errors import Cancelled, DaemonUnreachable, LocalmindError, NotFound
from localmind.events import Done, Event, Progress
from localmind.images import from_base64
from localmind.knowledge.scope import ANY_FILE, Filters
from localmind.store.export import as_markdown
from localmind.store.images import Picture
from localmind.store.threads import Threads
from localmind.store.transcript import Attachment, Options, Turn
from localmind.workers.outside import Outside
from localmind.workers.request import Request

NOW = 1_800_000_000.0

STATUS: dict[str, Any] = {
    "version": __version__,
    "models": [{"model": "smollm2:135m", "state": "loaded", "load": {"n_ctx_seq": 8192}}],
    "folders": [{"path": "/home/ines/samples", "files": 29, "state": "ready"}],
    "uptime_s": 42.0,
}


class FakeModel:
    """Says what a test tells it to, when it tells it to; answers in order."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.folders: list[Path | None] = []
        self.steps: asyncio.Queue[Event | LocalmindError] = asyncio.Queue()
        self.open = 0
        self.outside: Any = Outside(None)

    def resolve(self, name: str | None) -> ModelSpec:
        return catalog.bundled()[0]

    def generate_with_progress(self, spec: ModelSpec, asked: Request, brake: Any) -> AsyncGenerator[Event, None]:
        return self.answer(spec, asked, None)

    async def answer(
        self, spec: ModelSpec, asked: Request, folder: Path | None, filters: Filters = ANY_FILE, brake: Any = None
    ) -> AsyncGenerator[Event, None]:
        self.asked.append(asked)
        self.folders.append(folder)
        self.open += 1
        try:
            while True:
                step = await self.steps.get()
                if isinstance(step, LocalmindError):
                    raise step
                yield step
                if isinstance(step, Done):
                    return
        finally:
            self.open -= 1


class FakeEyes(Outside):
    """Lets every model see."""

    def __init__(self) -> None:
        super().__init__(None)

    async def sees(self, spec: ModelSpec) -> bool:
        return True


class FakeDaemon:
    """Implements the app's `Daemon`. While `away` is set, every call fails as if nobody listened."""

    def __init__(self, path: Path, *, status: dict[str, Any] | None = None) -> None:
        self.now = NOW
        self.threads = Threads(path, clock=lambda: self.now, monotonic=lambda: 0.0)
        self.model = FakeModel()
        self.running = Running(self.model, cast(Any, self.model), self.threads)
        self.status_answer: dict[str, Any] = STATUS if status is None else status
        self.models = [dict(model) for model in MODELS]
        self.remote: list[dict[str, Any]] = []
        self.folders = [
            {**folder, "chunks": 90, "vectors_pending": 0, "errors": [], "problem": None, "watching": "events"}
            for folder in self.status_answer["folders"]
        ]
        self.recommended: dict[str, Any] | None = RECOMMENDED
        self.paused = False
        self.away = False
        self.ensured = 0
        self.closed = False
        self.posted: list[tuple[str, Any]] = []
        self.pulls: dict[str, asyncio.Queue[Event | LocalmindError]] = {}
        self._cut = asyncio.Event()

    def say(self, *events: Event | LocalmindError) -> None:
        """What the model says next. An error is raised."""
        for event in events:
            self.model.steps.put_nowait(event)

    def go_away(self) -> None:
        """Every connection breaks, and none comes up until `come_back`."""
        self.away = True
        self._cut.set()

    def come_back(self) -> None:
        self.away, self._cut = False, asyncio.Event()

    def lose_running(self) -> None:
        """As after a restart: nobody can be followed any more."""
        self.running._runs.clear()

    def _reach(self) -> None:
        if self.away:
            raise DaemonUnreachable("no daemon answers", hint="localmind serve")

    async def ensure(self) -> None:
        self.ensured += 1
        self._reach()

    async def status(self) -> dict[str, Any]:
        self._reach()
        return self.status_answer | {"folders": self.folders}

    async def get(self, path: str, /, **query: Any) -> Any:
        self._reach()
        match path.strip("/").split("/"):
            case ["models"]:
                return {"models": self.models, "remote": self.remote}
            case ["models", "recommend"] if self.recommended is not None:
                return self.recommended
            case ["models", "show"] if any(model["name"] == query["name"] for model in self.models):
                return {}
            case ["models", "pulls"]:
                return {"pulls": []}
            case ["folders"]:
                return {"folders": self.folders, "indexing": {"paused": self.paused, "pace": None}}
            case ["threads"]:
                busy = {run.thread_id for run in self.running.list()}
                found = self.threads.recent(limit=query.get("limit", 50))
                return {"threads": [msgspec.to_builtins(each) | {"answering": each.id in busy} for each in found]}
            case ["threads", "search"]:
                return {"hits": msgspec.to_builtins(self.threads.search(query["q"]))}
            case ["threads", name]:
                return self._transcript(name, query)
            case ["messages", number, "attachments"]:
                files = self.threads.turn(int(number)).question.attachments
                return {"attachments": msgspec.to_builtins(files)}
            case ["messages", number]:
                return self._begun(self.threads.turn(int(number)))
        raise NotFound(f"there is no GET {path} here")

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        self._reach()
        self.posted.append((path, body))
        match path.strip("/").split("/"):
            case ["messages", number, "again"]:
                return self._begun(await self.running.again(int(number)))
            case ["messages", number, "choose"]:
                return {"thread": self.threads.choose(int(number))}
            case ["messages", number, "stop"]:
                return {"stopped": await self.running.stop(int(number))}
            case ["models", "pull", what]:
                assert body is not None
                stages = {"pause": "paused", "resume": "fetch"}
                if what in stages:
                    self.pulls[body["model"]].put_nowait(Progress(stages[what], 50, 100))
                else:
                    self.pulls[body["model"]].put_nowait(Cancelled("the pull was stopped"))
                return {}
            case ["folders", what]:
                self.paused = what == "pause"
                return {}
        raise NotFound(f"there is no POST {path} here")

    async def content(self, path: str) -> bytes:
        self._reach()
        return self.threads.image(path.rpartition("/")[2]).data

    async def send(self, path: str, content: bytes) -> None:
        raise NotFound(f"there is no POST {path} here")

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        self._reach()
        thread = path.rpartition("/")[2]
        found = self.threads.find(thread)
        if "title" in body:
            found = self.threads.rename(thread, body["title"])
        if "options" in body:
            found = self.threads.set_options(thread, Options(**body["options"]))
        return {"thread": msgspec.to_builtins(found)}

    async def delete(self, path: str, /, **query: Any) -> Any:
        self._reach()
        match path.strip("/").split("/"):
            case ["threads", name]:
                await self.running.stop_thread(name)
                self.threads.delete(name)
            case ["messages", number]:
                self.threads.delete_branch(int(number))
            case ["models"]:
                for model in self.models:
                    model["installed"] = model["installed"] and model["name"] != query["name"]
            case ["folders"]:
                self.folders = [folder for folder in self.folders if folder["path"] != query["path"]]
        return {}

    async def text(self, path: str, /, **query: Any) -> str:
        self._reach()
        found = self.threads.get(path.strip("/").split("/")[1])
        return as_markdown(found) if query.get("form") != "json" else json.dumps(self._transcript(found.thread.id, {}))

    async def begin(
        self,
        question: str,
        *,
        thread: str | None = None,
        mode: str = "files",
        folder: str | None = None,
        model: str | None = None,
        attachments: Sequence[Mapping[str, str]] = (),
        images: Sequence[Mapping[str, str]] = (),
        beside: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        self._reach()
        asked = Question(
            question,
            thread,
            mode=cast(Any, mode),
            folder=Path(folder) if folder else None,
            attachments=tuple(Attachment(**each) for each in attachments),
            pictures=tuple(self._picture(**each) for each in images),
            beside=beside,
            options=Options(**options) if options else None,
        )
        return self._begun(await self.running.ask(asked))

    def _picture(self, name: str, data: str = "", sha256: str = "") -> Picture:
        return Picture(name, self.threads.image(sha256) if sha256 else from_base64(data, name))

    async def follow(self, message_id: int, after: int = 0) -> AsyncIterator[tuple[int, Event]]:
        self._reach()
        self.running.find(message_id)
        events = self.running.follow(message_id, after)
        cut = asyncio.ensure_future(self._cut.wait())
        step: asyncio.Future[Any] = cut
        try:
            while True:
                step = asyncio.ensure_future(anext(events))
                await asyncio.wait({step, cut}, return_when=asyncio.FIRST_COMPLETED)
                if cut.done():  # whatever else came at the same moment
                    raise DaemonUnreachable("the connection broke", hint="localmind serve")
                with contextlib.suppress(StopAsyncIteration):
                    yield await step
                    continue
                return
        finally:
            for each in (cut, step):
                each.cancel()
            await asyncio.wait({cut, step})
            await events.aclose()

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[Event]:
        self._reach()
        if path == "/folders":
            self.folders.append(
                {**self.folders[0], "path": body["path"]} if self.folders else added_folder(body["path"])
            )
            yield Done()
            return
        steps = self.pulls.setdefault(body["model"], asyncio.Queue())
        while True:
            step = await steps.get()
            if isinstance(step, LocalmindError):
                raise step
            if isinstance(step, Done):
                for model in self.models:
                    model["installed"] = model["installed"] or model["name"] == body["model"]
            yield step
            if isinstance(step, Done):
                return

    async def close(self) -> None:
        self.closed = True

    async def stop(self) -> None:
        """At the end of a test."""
        await self.running.close()
        self.threads.close()

    def _begun(self, turn: Turn) -> dict[str, Any]:
        thread = self.threads.thread_of(turn.question.id)
        return _json({"thread": msgspec.to_builtins(thread), "messages": messages_json(turn)})

    def _transcript(self, name: str, query: Mapping[str, Any]) -> dict[str, Any]:
        wanted = {key: query.get(key) for key in ("start", "limit", "around")}
        found = self.threads.get(self.threads.find(name).id, **wanted)
        return _json(
            {
                "thread": msgspec.to_builtins(found.thread),
                "start": found.start,
                "total": found.total,
                "messages": [message for turn in found.turns for message in messages_json(turn)],
            }
        )


def _json(value: Any) -> Any:
    """As it would come over the wire."""
    return msgspec.json.decode(msgspec.json.encode(value))


async def wait_until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    """Let the app work until `condition` holds, or it has broken. The timeout of the test is the limit."""

    def holds() -> object:
        with contextlib.suppress(IndexError, NoMatches):  # what is drawn anew is not there for a moment
            return condition()
        return False

    while not holds():
        assert pilot.app._exception is None, pilot.app._exception
        await pilot.pause(0.01)
