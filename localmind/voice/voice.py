"""The daemon's view of speech: which model hears, its worker, and recordings and live sound on their way to it.

The worker starts with the first recording and goes when nobody has spoken for a while. A GPU whose libraries bring the
worker down is not tried again until the daemon restarts. It holds no samples: files go by path, live sound passes
through.
"""

import asyncio
import contextlib
import logging
import math
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from localmind.catalog import Catalog, ModelSpec
from localmind.errors import InvalidRequest, LocalmindError, NotFound, QueueFull, WorkerDied, WorkerFailure
from localmind.events import Done, Event, Progress, decode
from localmind.machine.devices import Machine
from localmind.models.store import Store
from localmind.speech import RecognizeOptions
from localmind.voice import choice
from localmind.voice.choice import Laid
from localmind.workers.process import StreamResult
from localmind.workers.supervisor import Supervisor, launcher

log = logging.getLogger("localmind.voice")

MOST_RECORDINGS = 32
"""At once; each holds up to 15 minutes of sound in the worker's memory."""
LOAD_TIMEOUT_S = 120.0
LANGUAGE = re.compile(r"^[a-z]{2,3}\Z")


class Voice:
    """Speech to text for the whole daemon."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        machine: Machine,
        *,
        model: str | None = None,
        threads: int | None = None,
        idle_s: float = 600.0,
        command: Sequence[str] | None = None,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._machine = machine
        self._preferred = model
        self._threads = threads
        self._idle_s = idle_s
        self._command = command
        self._supervisor = self._new()
        self._stopped = False
        self._working = 0
        self._holds = 0
        self._hold_sent = False
        self._hold_task: asyncio.Task[None] | None = None
        self._idle_task: asyncio.TimerHandle | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._loaded: str | None = None
        self._laid: Laid | None = None
        self._no_gpu = False

    def _new(self) -> Supervisor:
        return Supervisor("the speech recogniser", launcher("voice", "the speech recogniser", None, self._command))

    def resolve(self, name: str | None = None, language: str | None = None, *, translate: bool = False) -> ModelSpec:
        """The model that will hear. Raises ModelNotFound, ModelNotInstalled or InvalidRequest."""
        if language is not None and not LANGUAGE.match(language):
            raise InvalidRequest(f"language: {language!r} is not an ISO 639-1 code", hint="for example en, de or zh")
        return choice.choose(
            self._catalog,
            lambda spec: self._store.get(spec.name) is not None,
            self._machine,
            name,
            language,
            preferred=self._preferred,
            translate=translate,
        )

    def installed(self) -> list[ModelSpec]:
        return [spec for spec in self._catalog.of_role("speech") if self._store.get(spec.name) is not None]

    def status(self) -> dict[str, Any]:
        """For `localmind status`: the model in memory and what it is doing."""
        pid = self._supervisor.pid
        return {
            "name": self._supervisor.label,
            "pid": pid,
            "quarantine": self._supervisor.quarantine,
            "model": self._loaded if pid is not None else None,
            "recordings": self._working,
            "memory": self._laid.memory if self._laid is not None and pid is not None else 0,
            "plan": list(self._laid.reasons) if self._laid is not None else [],
        }

    async def transcribe(
        self, path: Path, options: RecognizeOptions, spec: ModelSpec, *, name: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Progress and Segments as they come, the Transcript, Done. Raises AudioUnreadable and what workers raise."""
        params = {"path": str(path), "name": name, "options": msgspec.to_builtins(options)}
        async with contextlib.aclosing(self._stream("transcribe", params, spec)) as answers:
            async for answer in answers:
                yield decode(answer.value if isinstance(answer, StreamResult) else answer)
        yield Done(model=spec.name)

    async def listen(self, options: dict[str, Any], spec: ModelSpec) -> AsyncGenerator[Event, None]:
        """Live: Listening first, with the id that `hear` and `finish` take; Heard and Transcripts; Done."""
        params = {"id": secrets.token_urlsafe(12), "options": options}
        async with contextlib.aclosing(self._stream("listen", params, spec)) as answers:
            async for answer in answers:
                if not isinstance(answer, StreamResult):
                    yield decode(answer)
        yield Done(model=spec.name)

    async def hear(self, key: str, pcm: bytes) -> None:
        """More sound of a listening. Raises NotFound when it is over."""
        await self._tell("hear", {"id": key, "pcm": pcm})

    async def finish(self, key: str) -> None:
        """The speaker pressed stop: the text follows in the listening's own stream."""
        await self._tell("finish", {"id": key})

    async def _tell(self, method: str, params: dict[str, Any]) -> None:
        if self._supervisor.pid is None:
            raise NotFound("nobody listens there any more", hint="start listening again")
        await self._supervisor.call(method, params)

    async def load(self, spec: ModelSpec) -> dict[str, Any]:
        """Have the model in memory. Raises ModelFileBroken and what workers raise."""
        with self._at_work():
            return await self._load(spec)

    async def _load(self, spec: ModelSpec) -> dict[str, Any]:
        try:
            told: dict[str, Any] = await self._supervisor.call("load", self._params(spec), timeout=LOAD_TIMEOUT_S)
        except WorkerDied:
            if self._laid is None or self._laid.device == "cpu":
                raise
            log.warning("a GPU brought the speech recogniser down: it stays on the CPU")
            self._no_gpu = True
            await self._renew()
            told = await self._supervisor.call("load", self._params(spec), timeout=LOAD_TIMEOUT_S)
        if told.get("stepped_down") and self._laid is not None:
            self._no_gpu = True
            self._params(spec)
        self._loaded = spec.name
        return told

    def _params(self, spec: ModelSpec) -> dict[str, Any]:
        machine = replace(self._machine, gpus=()) if self._no_gpu else self._machine
        laid = self._laid = choice.lay(spec, machine, threads=self._threads)
        return {
            "model": spec.name,
            "place": {
                "directory": str(self._store.locate(spec.name)),
                "device": laid.device,
                "compute_type": laid.compute_type,
                "threads": laid.threads,
            },
        }

    async def _stream(self, method: str, params: dict[str, Any], spec: ModelSpec) -> AsyncGenerator[Any, None]:
        if self._working >= MOST_RECORDINGS:
            raise QueueFull(f"{self._working} recordings are being heard already", hint="send it again in a moment")
        with self._at_work():
            if self._loaded != spec.name or self._supervisor.pid is None:
                yield msgspec.to_builtins(Progress("load", 0.0, 1.0, "", f"loading {spec.name}"))
                await self._load(spec)
                self._make_way()
            whole = self._params(spec) | params
            async with contextlib.aclosing(self._supervisor.stream(method, whole)) as answers:
                async for answer in answers:
                    yield answer

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Inside, somebody reads an answer that is being generated: hearing takes an eighth of the time."""
        self._holds += 1
        self._make_way()
        try:
            yield
        finally:
            self._holds -= 1
            self._make_way()

    def _make_way(self) -> None:
        """Tell the worker, when there is one at work, whether a chat is answering."""
        if self._working and self._hold_task is None and not self._stopped:
            self._hold_task = asyncio.create_task(self._tell_holds(), name="voice makes way")

    async def _tell_holds(self) -> None:
        try:
            while self._working and self._supervisor.pid is not None and self._hold_sent != bool(self._holds):
                wanted = bool(self._holds)
                await self._supervisor.call("make_way", {"yielding": wanted})
                self._hold_sent = wanted
        except WorkerFailure as problem:
            log.debug("not told of a chat: %s", problem.message)
        finally:
            self._hold_task = None

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        self._working += 1
        if self._idle_task is not None:
            self._idle_task.cancel()
            self._idle_task = None
        try:
            yield
        finally:
            self._working -= 1
            if not self._working and not self._stopped and math.isfinite(self._idle_s):
                self._idle_task = asyncio.get_running_loop().call_later(self._idle_s, self._leave)

    def _leave(self) -> None:
        """Nobody has spoken for long: the memory is for others."""
        if not self._working and self._supervisor.quarantine is None:
            task = asyncio.create_task(self._renew(), name="voice leaves")
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _renew(self) -> None:
        old, self._supervisor = self._supervisor, self._new()
        self._loaded, self._hold_sent = None, False
        await old.stop()

    async def unload(self) -> bool:
        """Take the model out of memory. Raises InvalidRequest while it hears somebody."""
        if self._working:
            raise InvalidRequest("somebody is being heard right now", hint="try again when it is done")
        was = self._supervisor.pid is not None
        await self._renew()
        return was

    async def stop(self) -> None:
        self._stopped = True
        if self._idle_task is not None:
            self._idle_task.cancel()
        for task in [*self._leaving, *([self._hold_task] if self._hold_task else [])]:
            task.cancel()
        try:
            await self._supervisor.stop()
        except LocalmindError as problem:
            log.warning("the speech recogniser: %s", problem.message)


HoldMaker = Callable[[], contextlib.AbstractContextManager[None]]


def both(first: HoldMaker, second: HoldMaker) -> HoldMaker:
    """A hold that is two holds."""

    @contextlib.contextmanager
    def held() -> Iterator[None]:
        with first(), second():
            yield

    return held
