"""The daemon's view of speech: which model hears, and recordings and live sound on their way to it.

A model comes into memory with the first recording, by the ledger that all models share, and goes when nobody has
spoken for a while or another model needs the room. It holds no samples: files go by path, live sound passes through.
How a model comes to be in a worker is loading.py's.
"""

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from localmind.catalog import Catalog, ModelSpec
from localmind.errors import InvalidRequest, LocalmindError, NotFound, QueueFull, WorkerFailure
from localmind.events import Done, Event, decode
from localmind.machine.devices import Machine
from localmind.models.store import Store
from localmind.speech import Part, RecognizeOptions
from localmind.voice import choice
from localmind.voice.breathing import Breathing
from localmind.voice.files import check
from localmind.voice.loading import Hearer, Hearers
from localmind.workers.process import StreamResult
from localmind.workers.residence import Residence

log = logging.getLogger("localmind.voice")

MOST_RECORDINGS = 32
"""At once; each holds up to 15 minutes of sound in the worker's memory."""
LANGUAGE = re.compile(r"^[a-z]{2,3}\Z")


class Voice:
    """Speech to text for the whole daemon."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        machine: Machine,
        residence: Residence,
        *,
        model: str | None = None,
        threads: int | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        """`residence` is where all models of the daemon live; `model` is the one that the user prefers."""
        self._catalog = catalog
        self._store = store
        self._machine = machine
        self._residence = residence
        self._preferred = model
        self._hearers = Hearers(store, machine, threads=threads, command=command, died=residence.lost)
        self._stopped = False
        self._holds = 0
        self._hold_task: asyncio.Task[None] | None = None
        self._breathing = Breathing(self._to_be_still)

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

    def deaf(self) -> str:
        """Why no recording can be heard; empty when one can."""
        try:
            self.resolve()
        except LocalmindError as problem:
            return f"{problem.message}: {problem.hint}" if problem.hint else problem.message
        return ""

    def status(self) -> dict[str, Any]:
        """For `localmind status`: the model in memory and what it is doing."""
        live = [entry for entry in self._hearers.entries.values() if entry.supervisor.pid is not None]
        shown = next(iter(live or self._hearers.entries.values()), None)
        return {
            "name": "the speech recogniser",
            "pid": shown.supervisor.pid if shown is not None else None,
            "quarantine": shown.supervisor.quarantine if shown is not None else None,
            "model": shown.spec.name if shown is not None and live else None,
            "recordings": self._recordings,
            "memory": shown.laid.memory if shown is not None and live else 0,
            "plan": list(shown.laid.reasons) if shown is not None else [],
        }

    def pids(self) -> list[int]:
        """Of the workers, for the ledger's measure of memory."""
        return self._hearers.pids()

    @property
    def _recordings(self) -> int:
        return sum(entry.recordings for entry in self._hearers.entries.values())

    async def transcribe(
        self, path: Path, options: RecognizeOptions, spec: ModelSpec, *, name: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Progress and Segments as they come, the Transcript, Done. Raises AudioUnreadable and what workers raise."""
        await asyncio.to_thread(check, path, name or path.name)
        params = {"path": str(path), "name": name, "options": msgspec.to_builtins(options)}
        async with contextlib.aclosing(self._stream("transcribe", params, spec)) as events:
            async for event in events:
                yield event
        yield Done(model=spec.name)

    async def part(self, path: Path, start: int, language: str | None = None) -> Part:
        """Some minutes of a recording that nobody waits for, from sample `start` on. Raises what `transcribe` does."""
        spec = self.resolve(None, language or None)
        ask = {"path": str(path), "start": start, "language": language or None}
        async with contextlib.aclosing(self._using(spec)) as uses:
            async for entry in uses:
                if isinstance(entry, Hearer):
                    params = self._hearers.params(entry) | {"ask": ask}
                    return msgspec.convert(await entry.supervisor.call("part", params), Part)
        raise AssertionError("a use begins or raises")

    async def listen(self, options: dict[str, Any], spec: ModelSpec) -> AsyncGenerator[Event, None]:
        """Live: Listening first, with the id that `hear` and `finish` take; Heard and Transcripts; Done."""
        key = secrets.token_urlsafe(12)
        keys = self._hearer(spec).keys
        keys.add(key)
        try:
            async with contextlib.aclosing(self._stream("listen", {"id": key, "options": options}, spec)) as events:
                async for event in events:
                    yield event
        finally:
            keys.discard(key)
        yield Done(model=spec.name)

    async def hear(self, key: str, pcm: bytes) -> None:
        """More sound of a listening. Raises NotFound when it is over."""
        await self._tell("hear", {"id": key, "pcm": pcm})

    async def finish(self, key: str) -> None:
        """The speaker pressed stop: the text follows in the listening's own stream."""
        await self._tell("finish", {"id": key})

    async def _tell(self, method: str, params: dict[str, Any]) -> None:
        for entry in self._hearers.entries.values():
            if params["id"] in entry.keys and entry.supervisor.pid is not None:
                await entry.supervisor.call(method, params)
                return
        raise NotFound("nobody listens there any more", hint="start listening again")

    async def load(self, spec: ModelSpec) -> AsyncGenerator[Event, None]:
        """Have the model in memory, telling how far it is. Raises NoRoom, ModelFileBroken and what workers raise."""
        async with contextlib.aclosing(self._using(spec)) as uses:
            async for step in uses:
                if not isinstance(step, Hearer):
                    yield step

    def _hearer(self, spec: ModelSpec) -> Hearer:
        self._residence.host(spec.name, self._hearers)
        return self._hearers.entry(spec)

    async def _using(self, spec: ModelSpec) -> AsyncGenerator[Event | Hearer, None]:
        """What it waits for, then the worker, which stays in memory until this generator is closed."""
        if self._recordings >= MOST_RECORDINGS:
            raise QueueFull(f"{self._recordings} recordings are being heard already", hint="send it again in a moment")
        entry = self._hearer(spec)
        ticket = self._residence.ask(spec.name, self._hearers.lay(spec))
        entry.recordings += 1
        hearing = False
        try:
            async with contextlib.aclosing(self._residence.admitted(ticket)) as steps:
                async for step in steps:
                    yield step
            hearing = True
            entry.hearing += 1
            self._make_way()
            yield entry
        finally:
            entry.recordings -= 1
            entry.hearing -= hearing
            self._residence.end(ticket)

    async def _stream(self, method: str, params: dict[str, Any], spec: ModelSpec) -> AsyncGenerator[Event, None]:
        """The events of one call; its result is the last, where it has one."""
        async with contextlib.aclosing(self._using(spec)) as uses:
            async for step in uses:
                if not isinstance(step, Hearer):
                    yield step
                    continue
                whole = self._hearers.params(step) | params
                async with contextlib.aclosing(step.supervisor.stream(method, whole)) as answers:
                    async for answer in answers:
                        if not isinstance(answer, StreamResult):
                            yield decode(answer)
                        elif answer.value is not None:
                            yield decode(answer.value)

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
        """Tell the workers that hear somebody live whether a chat is answering; hold those of recordings still."""
        self._breathing.look()
        if self._recordings and self._hold_task is None and not self._stopped:
            self._hold_task = asyncio.create_task(self._tell_holds(), name="voice makes way")

    async def _tell_holds(self) -> None:
        try:
            while (entry := self._untold()) is not None:
                wanted = self._gives_way(entry)
                await entry.supervisor.call("make_way", {"yielding": wanted})
                entry.told_to_yield = wanted
        except WorkerFailure as problem:
            log.debug("not told of a chat: %s", problem.message)
        finally:
            self._hold_task = None

    def _untold(self) -> Hearer | None:
        for entry in self._hearers.entries.values():
            live = entry.recordings and entry.supervisor.pid is not None
            if live and entry.told_to_yield != self._gives_way(entry):
                return entry
        return None

    def _gives_way(self, entry: Hearer) -> bool:
        return bool(self._holds and entry.keys)

    def _to_be_still(self) -> list[int]:
        """Workers in which recordings are heard and nobody speaks, while a chat answers."""
        if not self._holds or self._stopped:
            return []
        entries = self._hearers.entries.values()
        pids = [entry.supervisor.pid for entry in entries if entry.hearing and not entry.keys]
        return [pid for pid in pids if pid is not None]

    async def unload(self, spec: ModelSpec) -> None:
        """Take a model out of memory. Raises InvalidRequest while it hears somebody."""
        entry = self._hearer(spec)
        if entry.recordings:
            raise InvalidRequest("somebody is being heard right now", hint="try again when it is done")
        await self._residence.unload(spec.name)

    async def stop(self) -> None:
        self._stopped = True
        self._breathing.stop()
        if self._hold_task is not None:
            self._hold_task.cancel()
        for entry in self._hearers.entries.values():
            try:
                await entry.supervisor.stop()
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
