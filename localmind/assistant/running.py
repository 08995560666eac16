"""Turns that the daemon is working on, which go on whoever watches.

Owns the life of an answer: the question is stored, a task of the daemon writes the answer, and any number
of clients follow it from any position, leave and come back. Closing a terminal ends nothing; only `stop`,
a failure or the end does. It decides nothing about what is said: `Answers` does, and the store keeps it.
"""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from localmind.assistant.ended import ended_in_circles
from localmind.assistant.request import over, request_for
from localmind.catalog import ModelSpec
from localmind.errors import InternalError, InvalidRequest, LocalmindError, NotFound, ShuttingDown
from localmind.events import Done, Event, Failed, Passage, ReasoningDelta, Sources, TextDelta
from localmind.knowledge.scope import ANY_FILE, Filters, read_filters
from localmind.messages import ANY_TEXT, Message, ResponseFormat
from localmind.store.images import Picture
from localmind.store.threads import Threads
from localmind.store.transcript import Attachment, Mode, Options, Turn, named, with_attachments
from localmind.workers.brake import Brake
from localmind.workers.engines import Engines
from localmind.workers.request import Request

STORE_EVERY_S = 0.25
ENDED_KEPT = 64
"""Answers that have ended and can still be followed to their end by whoever was cut off."""

LAST_WORD_S = 2.0
"""What a stopped answer cost is waited for so long: an engine ends an answer between two steps, or the step with it."""

log = logging.getLogger("localmind.assistant")


class Answers(Protocol):
    """Who answers from the watched folders (`Grounded`). Nothing is stored by it."""

    def answer(
        self, spec: ModelSpec, asked: Request, folder: Path | None, filters: Filters, brake: Brake | None
    ) -> AsyncGenerator[Event, None]:
        """Sources retrieved, text, Sources used, Done. Raises LocalmindError."""


@dataclass(slots=True, frozen=True)
class Question:
    """What a client asks to be answered."""

    text: str
    thread: str | None = None
    """None begins a thread."""
    mode: Mode | None = None
    """None goes on about what was attached to the thread's last question, where something was; else the folders."""
    folder: Path | None = None
    filters: Filters = ANY_FILE
    attachments: tuple[Attachment, ...] = ()
    pictures: tuple[Picture, ...] = ()
    beside: int | None = None
    """The turn that this is another wording of."""
    options: Options | None = None
    """For this question alone, over those of its thread."""
    format: ResponseFormat = ANY_TEXT


@dataclass(slots=True)
class Run:
    """One answer: its events so far, and whoever waits for more of them."""

    thread_id: str
    turn_id: int
    message_id: int
    model: str
    events: list[Event] = field(default_factory=list)
    ended: bool = False
    stopped: bool = False
    storing_end: bool = False
    brake: Brake = field(default_factory=Brake)
    task: asyncio.Task[None] | None = None
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, event: Event) -> None:
        self.events.append(event)
        self.wake()

    def wake(self) -> None:
        waiting, self.more = self.more, asyncio.Event()
        waiting.set()


class Running:
    """All answers that are being written, and the last ones that were."""

    def __init__(
        self, answers: Answers, engines: Engines, threads: Threads, *, last_word_s: float = LAST_WORD_S
    ) -> None:
        self._last_word_s = last_word_s
        self._answers = answers
        self._engines = engines
        self._threads = threads
        self._runs: OrderedDict[int, Run] = OrderedDict()
        self._beginning: set[str] = set()  # threads in which a question is being stored
        self._stopping = False

    def list(self) -> list[Run]:
        """The answers that are being written now, oldest first."""
        return [run for run in self._runs.values() if not run.ended]

    def find(self, message_id: int) -> Run:
        """An answer that can be followed. NotFound when it ended too long ago: it is in the store then, whole."""
        run = self._runs.get(message_id)
        if run is None:
            raise NotFound(f"answer {message_id} is not being written", hint="localmind threads list")
        return run

    async def ask(self, question: Question, spec: ModelSpec | None = None) -> Turn:
        """Store a question and begin its answer, with `spec` or else the thread's own model."""
        with self._alone(question.thread):
            if question.pictures:  # refused before anything is kept
                own = await asyncio.to_thread(self._threads.find, question.thread) if question.thread else None
                options = over(own.options if own is not None else Options(), question.options)
                spec = spec or self._engines.resolve(options.model)
                await self._engines.outside.permit_images(spec, [_asked(question)])
            turn, options = await asyncio.to_thread(self._store_question, question)
            options = over(options, question.options)
            return await self._begin(turn, spec or self._engines.resolve(options.model), options, question.format)

    def unstored(self, question: Question, spec: ModelSpec | None = None) -> AsyncGenerator[Event, None]:
        """The answer to a question that is kept nowhere; closing the iterator ends it."""
        options = question.options or Options()
        mode = "chat" if question.attachments or question.pictures else question.mode or "files"
        asked = request_for(_asked(question), (), options, mode, question.format)
        return self._answered(
            spec or self._engines.resolve(options.model), asked, mode, question.folder, question.filters, Brake()
        )

    async def again(self, message_id: int, spec: ModelSpec | None = None) -> Turn:
        """Write another answer to the question of this message; the ones before it stay."""
        turn = await asyncio.to_thread(self._threads.turn, message_id)
        thread = await asyncio.to_thread(self._threads.thread_of, message_id)
        with self._alone(thread.id):
            spec = spec or self._engines.resolve(thread.options.model)
            if turn.question.images:
                said = await asyncio.to_thread(self._threads.said_until, turn, seeing=True)
                await self._engines.outside.permit_images(spec, said[-1:])
            return await self._begin(turn, spec, thread.options)

    async def follow(self, message_id: int, after: int = 0) -> AsyncGenerator[tuple[int, Event], None]:
        """Events from position `after` on, each with its position; text that piled up comes in one piece."""
        run = self.find(message_id)
        position = max(0, min(after, len(run.events)))
        while True:
            more = run.more
            while position < len(run.events):
                position, event = _merged(run.events, position)
                yield position, event
            if run.ended:
                return
            await more.wait()

    async def stop(self, message_id: int) -> bool:
        """End an answer; its text is kept, and what it cost where that can be told. False when it had ended already."""
        run = self._runs.get(message_id)
        if run is None or run.ended or run.task is None:
            return False
        if not run.stopped:  # a second cancel would interrupt the storing of what is there
            run.stopped = True
            if run.brake.pull():
                await asyncio.wait([run.task], timeout=self._last_word_s)
            if not run.storing_end:
                run.task.cancel()
        await asyncio.wait([run.task])
        return True

    async def stop_thread(self, thread_id: str) -> None:
        """End whatever is written in a thread, before it is deleted."""
        for run in self.list():
            if run.thread_id == thread_id:
                await self.stop(run.message_id)

    async def close(self) -> None:
        """Take nothing new and end what is being written; what is there is stored."""
        self._stopping = True
        await asyncio.gather(*(self.stop(run.message_id) for run in self.list()))

    @contextlib.contextmanager
    def _alone(self, thread_id: str | None) -> Iterator[None]:
        """While an answer begins, no other begins in its thread. Raises InvalidRequest, ShuttingDown."""
        if self._stopping:
            raise ShuttingDown("localmind is stopping")
        if thread_id is None:
            yield
            return
        if thread_id in self._beginning or any(run.thread_id == thread_id for run in self.list()):
            raise InvalidRequest(
                "an answer is still being written in this thread",
                hint=f"wait for it, or stop it: localmind chat --thread {thread_id}",
            )
        self._beginning.add(thread_id)
        try:
            yield
        finally:
            self._beginning.discard(thread_id)

    def _store_question(self, question: Question) -> tuple[Turn, Options]:
        folder = str(question.folder) if question.folder else None
        known = question.thread
        thread = self._threads.find(known) if known is not None else self._threads.create(folder=folder)
        turn = self._threads.ask(
            thread.id,
            question.text,
            mode=question.mode,
            folder=folder,
            filters=question.filters.text(),
            attachments=question.attachments,
            pictures=question.pictures,
            beside=question.beside,
        )
        return turn, thread.options

    async def _begin(self, turn: Turn, spec: ModelSpec, options: Options, format: ResponseFormat = ANY_TEXT) -> Turn:
        message_id = await asyncio.to_thread(self._threads.begin, turn.id, model=spec.name)
        thread = await asyncio.to_thread(self._threads.thread_of, message_id)
        run = Run(thread.id, turn.id, message_id, spec.name)
        self._runs[message_id] = run
        for old in [key for key, each in self._runs.items() if each.ended][:-ENDED_KEPT]:
            del self._runs[old]
        run.task = asyncio.create_task(self._write(run, turn, spec, options, format))
        return await asyncio.to_thread(self._threads.turn, message_id)

    async def _write(self, run: Run, turn: Turn, spec: ModelSpec, options: Options, format: ResponseFormat) -> None:
        """The task of one answer: every event to those who follow, every quarter of a second to the disk."""
        draft = _Draft()
        state: Literal["done", "stopped", "failed"] = "stopped"
        last: Done | Failed = Done("cancelled", model=spec.name)
        problem: LocalmindError | None = None
        storing: asyncio.Future[None] | None = None
        try:
            async with contextlib.aclosing(self._events(run, turn, spec, options, format)) as events:
                async for event in events:
                    if isinstance(event, Done):
                        last, state = event, "stopped" if event.finish_reason == "cancelled" else "done"
                        continue  # it is told when the answer is on the disk
                    draft.take(event)
                    run.add(event)
                    if draft.due:
                        storing = asyncio.ensure_future(
                            asyncio.to_thread(self._threads.extend, run.message_id, *draft.unstored())
                        )
                        await asyncio.shield(storing)
        except asyncio.CancelledError:
            state = "stopped"  # asked for by `stop`: the answer ends here, and so does the task
        except LocalmindError as failure:
            problem = None if run.stopped else failure  # an engine that dies of being stopped has no more to say
        except Exception as bug:
            log.exception("an answer failed in a way nobody foresaw", exc_info=bug)
            problem = InternalError("something went wrong in the daemon", hint="localmind doctor")
        run.storing_end = True
        if problem is not None:
            state, last = "failed", Failed.of(problem)
        done = last if isinstance(last, Done) else Done()
        if storing is not None:
            await asyncio.wait([storing])  # a stop in the middle of a write must not overtake it
        try:
            await asyncio.to_thread(self._store_end, run.message_id, draft, state, done, problem)
        except LocalmindError as failure:  # deleted meanwhile, or no room on the disk: those who follow are told
            last = Failed.of(failure)
        finally:
            run.ended = True
            run.add(last)

    def _store_end(
        self,
        message_id: int,
        draft: "_Draft",
        state: Literal["done", "stopped", "failed"],
        done: Done,
        problem: LocalmindError | None,
    ) -> None:
        text, reasoning = draft.unstored()
        if text or reasoning:
            self._threads.extend(message_id, text, reasoning)
        self._threads.finish(
            message_id,
            state,
            finish_reason=done.finish_reason if problem is None else None,
            usage=done.usage,
            timings=done.timings,
            error=problem,
            sources=draft.sources,
        )

    async def _events(
        self, run: Run, turn: Turn, spec: ModelSpec, options: Options, format: ResponseFormat
    ) -> AsyncGenerator[Event, None]:
        mode: Mode = "attached" if turn.about_attached else turn.mode
        said = await asyncio.to_thread(self._threads.said_until, turn, seeing=True)
        if any(message.images for message in said) and not await self._engines.outside.sees(spec):
            said = await asyncio.to_thread(self._threads.said_until, turn, seeing=False)
        asked = request_for(said[-1], said[:-1], options, mode, format)
        asked = msgspec.structs.replace(asked, client=f"thread {run.thread_id}")  # fair between threads as programs
        events = self._answered(
            spec, asked, mode, Path(turn.folder) if turn.folder else None, read_filters(turn.filters), run.brake
        )
        async with contextlib.aclosing(events):
            async for event in events:
                yield event

    def _answered(
        self, spec: ModelSpec, asked: Request, mode: Mode, folder: Path | None, filters: Filters, brake: Brake
    ) -> AsyncGenerator[Event, None]:
        if mode == "files":  # short by its own limit
            return self._answers.answer(spec, asked, folder, filters, brake)
        events = self._engines.generate_with_progress(spec, asked, brake)
        if asked.sampling.max_tokens is not None:  # how long it may get has been decided by whoever asks
            return events
        return ended_in_circles(events, spec.name, brake)


@dataclass(slots=True)
class _Draft:
    """What has been said and is not on the disk yet."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    sources: tuple[Passage, ...] | None = None
    stored_at: float = field(default_factory=time.monotonic)

    def take(self, event: Event) -> None:
        match event:
            case TextDelta(text):
                self.text.append(text)
            case ReasoningDelta(text):
                self.reasoning.append(text)
            case Sources(passages):
                self.sources = passages

    @property
    def due(self) -> bool:
        return bool(self.text or self.reasoning) and time.monotonic() - self.stored_at > STORE_EVERY_S

    def unstored(self) -> tuple[str, str]:
        """Text and reasoning since the last call."""
        pieces = "".join(self.text), "".join(self.reasoning)
        self.text, self.reasoning = [], []
        self.stored_at = time.monotonic()
        return pieces


def _asked(question: Question) -> Message:
    """A question that is not stored, as a model gets it."""
    text = named(with_attachments(question.text, question.attachments), [each.name for each in question.pictures])
    return Message("user", text, images=tuple(each.image for each in question.pictures))


def _merged(events: Sequence[Event], position: int) -> tuple[int, Event]:
    """The event at `position` with those after it that only add to its text, and the position behind them."""
    first = events[position]
    end = position + 1
    if isinstance(first, TextDelta | ReasoningDelta):
        while end < len(events) and type(events[end]) is type(first):
            end += 1
        if end > position + 1:
            pieces = [event.text for event in events[position:end] if isinstance(event, TextDelta | ReasoningDelta)]
            return end, type(first)("".join(pieces))
    return end, first
