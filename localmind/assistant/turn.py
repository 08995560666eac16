"""One turn: store the question, retrieve, prompt, generate, cite, store the answer.

Owns the order of these steps and the promise that nothing typed is lost: the question is on disk
before a model sees it, and a stopped answer keeps its text. When nothing in the folders passes the
similarity floor no model is asked, so nothing can be guessed.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

from localmind.assistant.answer import NOT_IN_FILES, CitationFilter, declines, sources_of
from localmind.catalog import ModelSpec
from localmind.errors import FolderNotFound, LocalmindError
from localmind.events import Done, Event, Passage, Sources, TextDelta
from localmind.knowledge import citations
from localmind.knowledge.knowledge import Knowledge
from localmind.messages import Message, SamplingParams
from localmind.store.threads import Threads
from localmind.workers.engines import Engines
from localmind.workers.request import Request

STORE_EVERY_S = 0.25

SYSTEM = (
    "You answer questions from passages of the user's own files. Use only the passages. "
    "Answer in one or two short sentences and repeat names, numbers and dates exactly as they are written."
)
CITE = (
    " Cite the passage that each statement rests on by its number, like [1]. "
    f'When the passages do not hold the answer, say only: "{NOT_IN_FILES}"'
)


@dataclass(slots=True, frozen=True)
class Style:
    """How a model is asked, by what it can follow."""

    cites: bool
    """Passages carry numbers, and the model is told to cite them."""
    passages: int
    answer_tokens: int
    """Room kept for the answer, and its limit unless the asker sets one."""

    @classmethod
    def of(cls, spec: ModelSpec) -> "Style":
        """Below a billion parameters a model does not follow the wish to cite: numbers and file names of the
        prompt turn up in its answer as if they were facts."""
        if spec.parameters < 1_000_000_000:
            return cls(cites=False, passages=3, answer_tokens=120)
        return cls(cites=True, passages=6, answer_tokens=600)


def prompt(question: str, passages: Sequence[Passage], style: Style) -> list[Message]:
    """The messages for a model. The question comes last, where small models look."""
    texts = citations.for_prompt(passages) if style.cites else "\n\n".join(passage.text.strip() for passage in passages)
    user = f"Passages:\n\n{texts}\n\nQuestion: {question}"
    return [Message("system", SYSTEM + CITE if style.cites else SYSTEM), Message("user", user)]


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
        style = Style.of(spec)
        limit = max_tokens or style.answer_tokens
        found = await self._knowledge.search(question, limit=style.passages, folder=folder)
        if not found and not await self._knowledge.folders():
            raise FolderNotFound(
                "no folder is watched yet, so there is nothing to answer from", hint="localmind folders add DIR"
            )
        passages = citations.numbered(found)
        yield Sources(passages)
        if not passages:
            yield TextDelta(NOT_IN_FILES)
            yield Done(model=spec.name)
            return
        passages = await self._fitting(spec, question, passages, style, limit)
        sampling = SamplingParams(temperature=0.0, max_tokens=limit)
        checked = CitationFilter([passage.number for passage in passages])
        answer: list[str] = []
        asked = Request(
            messages=tuple(prompt(question, passages, style)), sampling=sampling, client=client, explain=True
        )
        events = self._engines.generate_with_progress(spec, asked)
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
                        used = () if declines(whole) else sources_of(whole, checked.cited, passages)
                        # Numbers matter where the text cites them; without that the list counts from one.
                        yield Sources(used if checked.cited else citations.numbered(used))
                        yield event
                    case _:
                        yield event

    async def _fitting(
        self, spec: ModelSpec, question: str, passages: tuple[Passage, ...], style: Style, answer_tokens: int
    ) -> tuple[Passage, ...]:
        """As many of the best passages as fit the context beside the answer; at least one."""
        await self._engines.load(spec)
        room = self._engines.context(spec) - answer_tokens
        while len(passages) > 1 and await self._engines.count(spec, prompt(question, passages, style)) > room:
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
