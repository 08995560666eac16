"""One turn of a thread: store the question, answer it from the folders, store the answer.

Owns the order of these steps and the promise that nothing typed is lost: the question is on disk
before a model sees it, and a stopped answer keeps its text. How an answer comes about is grounded.py's.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from localmind.assistant.grounded import Grounded
from localmind.catalog import ModelSpec
from localmind.errors import LocalmindError
from localmind.events import Done, Event, Passage, Sources, TextDelta
from localmind.knowledge.knowledge import Knowledge
from localmind.messages import Message, SamplingParams
from localmind.store.threads import Threads
from localmind.workers.engines import Engines
from localmind.workers.request import Request

STORE_EVERY_S = 0.25


class Assistant:
    """Answers from the watched folders."""

    def __init__(self, knowledge: Knowledge, engines: Engines, threads: Threads) -> None:
        self.grounded = Grounded(knowledge, engines)
        self._threads = threads

    async def ask(
        self,
        question: str,
        *,
        folder: Path | None,
        spec: ModelSpec,
        thread: str | None,
        client: str,
        max_tokens: int | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Sources retrieved, text, Sources used, Done. Raises LocalmindError; a stored answer says why it ended."""
        message = await asyncio.to_thread(self._store_question, question, folder, thread, spec.name)
        state = "stopped"
        problem: LocalmindError | None = None
        parts: list[str] = []
        kept = 0
        kept_at = time.monotonic()
        sources: tuple[Passage, ...] = ()
        done: Done | None = None
        try:
            asked = Request(
                messages=(Message("user", question),),
                sampling=SamplingParams(temperature=0.0, max_tokens=max_tokens),
                client=client,
                explain=True,
            )
            async with contextlib.aclosing(self.grounded.answer(spec, asked, folder)) as events:
                async for event in events:
                    match event:
                        case TextDelta(text):
                            parts.append(text)
                            if time.monotonic() - kept_at > STORE_EVERY_S:
                                await asyncio.to_thread(self._threads.extend, message, "".join(parts[kept:]))
                                kept, kept_at = len(parts), time.monotonic()
                        case Sources(passages):
                            sources = passages
                        case Done():
                            done, state = event, "done"
                    yield event
        except LocalmindError as failure:
            state, problem = "failed", failure
            raise
        finally:
            # Shielded: a client that hangs up cancels us, and what it read must still reach the disk.
            await asyncio.shield(
                asyncio.to_thread(self._store_answer, message, "".join(parts[kept:]), state, done, sources, problem)
            )

    def _store_question(self, question: str, folder: Path | None, thread: str | None, model: str) -> int:
        thread_id = thread or self._threads.create(folder=str(folder) if folder else None).id
        turn = self._threads.ask(thread_id, question)
        return self._threads.begin(turn.id, model=model)

    def _store_answer(
        self,
        message: int,
        rest: str,
        state: str,
        done: Done | None,
        sources: tuple[Passage, ...],
        problem: LocalmindError | None,
    ) -> None:
        if rest:
            self._threads.extend(message, rest)
        self._threads.finish(
            message,
            "done" if state == "done" else "failed" if state == "failed" else "stopped",
            finish_reason=done.finish_reason if done else None,
            usage=done.usage if done else None,
            timings=done.timings if done else None,
            error=problem,
            sources=sources,
        )
