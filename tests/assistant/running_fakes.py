"""An engine that says what a test tells it, and how a test asks and reads."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from localmind import catalog
from localmind.assistant.running import Question, Running
from localmind.catalog import ModelSpec
from localmind.events import Done, Event, Passage
from localmind.knowledge.scope import ANY_FILE, Filters
from localmind.workers.brake import Brake
from localmind.workers.outside import Outside
from localmind.workers.request import Request

SPEC = catalog.bundled()[0]
PASSAGE = Passage(1, "/home/ines/boiler.md", 6, 10, None, "Service", "text", 0.7)


class FakeEngines:
    """Answers with what the test says, when it says it; from the files and without them."""

    def __init__(self) -> None:
        self.asked: list[tuple[Request, Path | None]] = []
        self.filters: list[Filters] = []
        self.alone = 0
        """Answers that the folders were not searched for."""
        self.steps: asyncio.Queue[Event | Exception] = asyncio.Queue()
        self.closed = 0
        self.outside = Outside(None)
        self.cost: Event | Exception | None = None
        """What the engine says when it is asked to end, if it does."""

    def say(self, *events: Event | Exception) -> None:
        for event in events:
            self.steps.put_nowait(event)

    def resolve(self, name: str | None) -> ModelSpec:
        return SPEC

    def generate_with_progress(self, spec: ModelSpec, asked: Request, brake: Brake) -> AsyncGenerator[Event, None]:
        self.alone += 1
        return self.answer(spec, asked, None, ANY_FILE, brake)

    async def answer(
        self, spec: ModelSpec, asked: Request, folder: Path | None, filters: Filters, brake: Brake | None
    ) -> AsyncGenerator[Event, None]:
        self.asked.append((asked, folder))
        self.filters.append(filters)
        try:
            with contextlib.ExitStack() as stack:
                if brake is not None and (last := self.cost) is not None:
                    stack.enter_context(brake.fitted(lambda: self.say(last)))
                while True:
                    step = await self.steps.get()
                    if isinstance(step, Exception):
                        raise step
                    yield step
                    if isinstance(step, Done):
                        return
        finally:
            self.closed += 1


async def read(running: Running, message_id: int, after: int = 0) -> list[Event]:
    return [event async for _, event in running.follow(message_id, after)]


async def begun(running: Running, text: str = "?", **more: Any) -> tuple[str, int]:
    turn = await running.ask(Question(text, **more))
    assert turn.answer is not None
    # Not from the list of those that run: an answer that was said in advance may have ended by now.
    return running._threads.thread_of(turn.answer.id).id, turn.answer.id
