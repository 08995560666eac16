"""One turn: store the question, retrieve, prompt, generate, cite, store the answer.

Owns the order of these steps and the promise that nothing typed is lost: the question is on disk
before a model sees it, and a stopped answer keeps its text. When nothing in the folders passes the
similarity floor no model is asked, so nothing can be guessed.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from localmind.assistant.answer import NOT_IN_FILES, CitationFilter, declines, sources_of
from localmind.catalog import ModelSpec
from localmind.errors import LocalmindError
from localmind.events import Done, Event, Passage, Sources, TextDelta
from localmind.knowledge import citations
from localmind.knowledge.knowledge import Knowledge
from localmind.messages import Message, SamplingParams
from localmind.store.threads import Threads
from localmind.workers.engines import Engines

PASSAGES = 4
ANSWER_TOKENS = 400
"""Room kept for the answer, and its limit unless the asker sets one."""
STORE_EVERY_S = 0.25

SYSTEM = (
    "You answer questions from passages of the user's own files. Use only the passages. "
    "Answer in one or two short sentences and repeat names, numbers and dates exactly as they are written."
)


def prompt(question: str, passages: Sequence[Passage]) -> list[Message]:
    """The messages for a model. Passages are data between markers; the question comes last, where small models look."""
    text = f"Passages:\n\n{citations.for_prompt(passages)}\n\nQuestion: {question}"
    return [Message("system", SYSTEM), Message("user", text)]


class Assistant:
    """Answers from the watched folders."""

    def __init__(self, knowledge: Knowledge, engines: Engines, threads: Threads) -> None:
        self._knowledge = knowledge
        self._engines = engines
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
            async with contextlib.aclosing(self._answer(question, folder, spec, client, max_tokens)) as events:
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

    async def _answer(
        self, question: str, folder: Path | None, spec: ModelSpec, client: str, max_tokens: int | None
    ) -> AsyncGenerator[Event, None]:
        found = await self._knowledge.search(question, limit=PASSAGES, folder=folder)
        passages = citations.numbered(found)
        yield Sources(passages)
        if not passages:
            yield TextDelta(NOT_IN_FILES)
            yield Done(model=spec.name)
            return
        passages = await self._fitting(spec, question, passages, max_tokens or ANSWER_TOKENS)
        sampling = SamplingParams(temperature=0.0, max_tokens=max_tokens or ANSWER_TOKENS)
        checked = CitationFilter([passage.number for passage in passages])
        answer: list[str] = []
        events = self._engines.generate_with_progress(
            spec, messages=prompt(question, passages), sampling=sampling, client=client
        )
        async with contextlib.aclosing(events):
            async for event in events:
                match event:
                    case TextDelta(text):
                        if shown := checked.feed(text):
                            answer.append(shown)
                            yield TextDelta(shown)
                    case Done():
                        if shown := checked.flush():
                            answer.append(shown)
                            yield TextDelta(shown)
                        whole = "".join(answer)
                        yield Sources(() if declines(whole) else sources_of(whole, checked.cited, passages))
                        yield event
                    case _:
                        yield event

    async def _fitting(
        self, spec: ModelSpec, question: str, passages: tuple[Passage, ...], answer_tokens: int
    ) -> tuple[Passage, ...]:
        """As many of the best passages as fit the context beside the answer; at least one."""
        await self._engines.load(spec)
        room = self._engines.context(spec) - answer_tokens
        while len(passages) > 1 and await self._engines.count(spec, prompt(question, passages)) > room:
            passages = passages[:-1]
        return passages

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
