"""The daemon's half of speaking back: which voice, its worker, and text on its way to sound.

Nothing is here until a voice is installed; the worker starts with the first text and is in the ledger like every
model. It knows no HTTP and plays nothing: whoever asked does.
"""

import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from localmind.catalog import Catalog
from localmind.errors import InvalidRequest, LocalmindError
from localmind.machine.amounts import RAM, Bytes
from localmind.machine.booking import Laid, Lay
from localmind.models.store import Store
from localmind.voice import voices
from localmind.voice.voices import Speaker
from localmind.workers.process import StreamResult
from localmind.workers.residence import Residence
from localmind.workers.supervisor import Supervisor, launcher

log = logging.getLogger("localmind.voice")

LOAD_TIMEOUT_S = 120.0
LONGEST = 100_000
"""Characters of one text: two hours of speech."""
SLOWEST, QUICKEST = 0.25, 4.0


class ReadAloud:
    """All voices of the daemon. A Mover for the ledger, by the name of the voice."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        residence: Residence,
        folder: Path,
        *,
        preferred: str | None = None,
        command: Sequence[str] | None = None,
        program: Callable[[Speaker], str] = voices.program,
    ) -> None:
        """`folder` is where a user puts voices; `program` finds what makes one speak."""
        self._catalog = catalog
        self._store = store
        self._residence = residence
        self._folder = folder
        self._preferred = preferred
        self._command = command
        self._program = program
        self._supervisors: dict[str, Supervisor] = {}
        self._places: dict[str, dict[str, Any]] = {}

    def voices(self) -> list[Speaker]:
        """All that are here, by name."""
        pulled = [
            self._store.locate(spec.name)
            for spec in self._catalog.of_role("voice")
            if self._store.get(spec.name) is not None
        ]
        return voices.found([self._folder, *pulled])

    def choose(self, name: str | None = None, model: str | None = None) -> tuple[Speaker, str]:
        """The voice that is meant, and what makes it speak. Raises VoiceMissing or InvalidRequest."""
        speaker = voices.choose(self.voices(), name, model, self._preferred)
        return speaker, self._program(speaker)

    async def speak(
        self, text: str, form: str, *, voice: str | None = None, model: str | None = None, speed: float = 1.0
    ) -> AsyncGenerator[bytes, None]:
        """A text as sound in that format, piece by piece. Raises what `choose` and workers raise, before any piece."""
        if not text.strip():
            raise InvalidRequest("there is nothing to read")
        if len(text) > LONGEST:
            raise InvalidRequest(f"{len(text):,} characters are more than {LONGEST:,}", hint="send it in parts")
        speaker, program = self.choose(voice, model)
        place = {
            "engine": speaker.engine,
            "model": str(speaker.model),
            "beside": str(speaker.beside),
            "rate": speaker.rate,
            "name": speaker.name,
            "program": program,
        }
        params = {"place": place, "text": text, "speed": min(QUICKEST, max(SLOWEST, speed)), "format": form}
        name = f"voice {speaker.name}"
        supervisor = self._supervisor(name, place)
        async with (
            self._residence.using(name, lay(speaker)),
            contextlib.aclosing(supervisor.stream("speak", params)) as pieces,
        ):
            async for piece in pieces:
                if not isinstance(piece, StreamResult):
                    yield piece

    def pids(self) -> list[int]:
        return [each.pid for each in self._supervisors.values() if each.pid is not None]

    def _supervisor(self, name: str, place: Mapping[str, Any]) -> Supervisor:
        self._places[name] = dict(place)
        if name not in self._supervisors:
            self._residence.host(name, self)
            launch = launcher("speaker", f"the {name}", None, self._command)
            self._supervisors[name] = Supervisor(f"the {name}", launch, died=lambda death: self._residence.lost(name))
        return self._supervisors[name]

    # --- the Mover

    async def load(self, name: str, laid: Laid, told: Callable[[float], None]) -> Laid:
        await self._supervisors[name].call("load", {"place": self._places[name]}, timeout=LOAD_TIMEOUT_S)
        return laid

    async def open(self, name: str) -> None:
        """Nothing was given back by `cool`."""

    async def cool(self, name: str) -> bool:
        """A voice has no context that it could give back alone."""
        return self._supervisors[name].pid is not None

    async def unload(self, name: str) -> None:
        await self._supervisors[name].rest()

    def summary(self, name: str) -> str:
        return f"loaded the {name}"

    async def stop(self) -> None:
        for supervisor in self._supervisors.values():
            try:
                await supervisor.stop()
            except LocalmindError as problem:
                log.warning("a voice: %s", problem.message)


def lay(speaker: Speaker) -> Lay:
    """In main memory, whatever there is: no voice needs more than a CPU."""

    def laid(offered: Bytes) -> Laid:
        return Laid({RAM: speaker.memory}, {})

    return laid
