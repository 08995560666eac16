"""The engine worker: maps calls from the daemon to the loop of one loaded model.

Four threads share the work. The reader's thread only sorts calls; the desk, one thread, loads,
renders templates and tokenises; the loop decodes; the outbox parses and sends. So a long document
being tokenised delays other new requests but no running stream. Embeddings have threads that come
and go (errands.py). One worker holds one model, for good: another model or another plan is another
worker.
"""

import gc
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec

from localmind.engine import requests, sampling
from localmind.engine.answer import Answer
from localmind.engine.errands import Errands
from localmind.engine.loop import Limits, Loop
from localmind.engine.native_thread import NativeThread
from localmind.engine.plan import read_plan
from localmind.engine.prompt import Prompter
from localmind.engine.requests import (
    AdaptersParams,
    CountParams,
    DetokenizeParams,
    LoadParams,
    TemplateParams,
    TokenizeParams,
)
from localmind.engine.sequence import Sequence
from localmind.engine.shelf import Shelf
from localmind.engine.template import ChatTemplate
from localmind.errors import Cancelled, EngineMissing, InternalError, InvalidRequest, LocalmindError
from localmind.events import Progress, encode
from localmind.workers.request import Request
from localmind.workers.runtime import Reply, WorkerMain, as_typed

if TYPE_CHECKING:
    from localmind.engine.loaded import Loaded
    from localmind.engine.opening import Opened

PROGRESS_STEPS = 20
STOP_SECONDS = 2.5
"""How long the end of the process waits for the step under way and for prefixes to be written; the operating system
frees what is left."""

COOL_SECONDS = 30.0
"""How long freeing a context may take, with nobody being answered: what is kept of prompts is written first."""

SHELF_SECONDS = 1.0
"""How long a model that is ready waits to know which prefixes are on disk."""

SWITCH_SECONDS = 0.0005
"""CPython lets a thread keep the interpreter 5 ms by default; the loop would lose that much of a step to the desk."""

T = TypeVar("T")


class EngineWorker:
    """A WorkerMain; see `METHODS` at its end for what it can be asked."""

    def __init__(self) -> None:
        self._desk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="desk")
        self._errands = Errands()
        self._opened: Opened | None = None
        self._prompter: Prompter | None = None
        self._loop: Loop | None = None
        self._thread: NativeThread | None = None
        self._asked: LoadParams | None = None
        self._running: dict[int, Sequence] = {}
        self._lock = threading.Lock()
        self._load_moved = 0.0

    def call(self, method: str, params: dict[str, Any], reply: Reply) -> None:
        if method == "state":
            self._state(reply)
        elif method == "forget":
            self._forget_prompts(reply)
        elif method in self.METHODS:
            self._desk.submit(self._answer, method, params, reply)
        else:
            reply.fail(InternalError(f"the engine worker has no method {method!r}"))

    def cancel(self, call_id: int) -> None:
        with self._lock:
            sequence = self._running.get(call_id)
        if sequence is not None and self._loop is not None:
            self._loop.cancel(sequence)

    def busy_seconds(self) -> float:
        """Of the step under way; while loading, since the load last moved."""
        if self._load_moved:
            return time.monotonic() - self._load_moved
        beside = self._opened.extras.busy_seconds() if self._opened is not None else 0.0
        return max(beside, self._loop.busy_seconds() if self._loop is not None else 0.0)

    def close(self) -> None:
        self._desk.shutdown(wait=False, cancel_futures=True)
        self._errands.close()
        if self._opened is not None:
            self._opened.extras.close()
            if self._loop is None:
                self._opened.close()
        if self._loop is not None:
            self._loop.stop(STOP_SECONDS)
        if self._thread is not None:
            self._thread.end_with(lambda: None)  # and with it OpenMP's team of that thread

    # --- on the desk

    def _answer(self, method: str, params: dict[str, Any], reply: Reply) -> None:
        if reply.cancelled:
            reply.fail(Cancelled("the request was cancelled before it started"))
            return
        try:
            self.METHODS[method](self, params, reply)
        except msgspec.ValidationError as problem:
            reply.fail(InvalidRequest(f"{method}: {problem}"))
        except Exception as problem:
            reply.fail(as_typed(problem))

    def _load(self, params: dict[str, Any], reply: Reply) -> None:
        asked = msgspec.convert(params, LoadParams)
        plan = read_plan(asked.plan)
        if self._opened is not None:
            raise InvalidRequest("this worker already holds a model")
        began = self._load_moved = time.monotonic()
        thread = None
        try:
            from localmind.engine.opening import open_file

            thread = NativeThread()
            opened = thread.call(lambda: open_file(asked, plan, self._progress(reply)))
            self._load_moved = time.monotonic()
            self._start(opened, asked, thread, reply.together)
            self._asked, self._thread = asked, thread if self._loop is not None else None
        except (ImportError, OSError, RuntimeError) as problem:
            raise EngineMissing(
                f"llama-cpp-python cannot be loaded: {problem}", hint="localmind engine build"
            ) from problem
        finally:
            self._load_moved = 0.0
            if thread is not None and self._loop is None:
                thread.end_with(lambda: None)
        reply.result(opened.facts(began))

    def _start(
        self,
        opened: "Opened",
        asked: LoadParams,
        thread: NativeThread,
        together: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Put what was opened to work. Closes it when that fails."""
        model, loaded = opened.model, opened.loaded
        try:
            if loaded is None:
                self._errands.call(lambda: opened.extras.embedder)  # its canary
            else:
                template = ChatTemplate(model.chat_template, bos=model.bos_text, eos=model.eos_text)
                self._prompter = Prompter(model, template)
        except LocalmindError:
            opened.close()
            raise
        self._opened = opened
        if loaded is not None:
            self._loop = _loop(opened, loaded, asked, thread, together)
            gc.freeze()  # what is loaded stays: a collection between two steps need not look through it

    def _cool(self, params: dict[str, Any], reply: Reply) -> None:
        """Free the contexts and keep the weights, once nobody is answered. Prompts worth keeping go to disk."""
        opened, loop = _ready(self._opened), self._loop
        opened.extras.rest()
        if loop is not None and opened.loaded is not None:
            opened.loaded.keeps_model = True
            if not loop.stop(COOL_SECONDS):
                raise InternalError("the engine does not come to rest")
            self._loop = None
        reply.result()

    def _warm(self, params: dict[str, Any], reply: Reply) -> None:
        """A context again, on the thread that the weights were loaded by. An encoder makes its own when asked."""
        opened, asked, thread = _ready(self._opened), _ready(self._asked), self._thread
        if self._loop is None and thread is not None:
            from localmind.engine.opening import open_again

            self._load_moved = time.monotonic()
            try:
                opened = thread.call(lambda: open_again(opened, asked, read_plan(asked.plan)))
                self._opened, self._loop = opened, _loop(opened, opened.require_chat(), asked, thread, reply.together)
            finally:
                self._load_moved = 0.0
        reply.result()

    def _progress(self, reply: Reply) -> Callable[[float], bool]:
        last_step = 0

        def moved(done: float) -> bool:
            nonlocal last_step
            self._load_moved = time.monotonic()
            step = int(done * PROGRESS_STEPS)
            if step > last_step:
                last_step = step
                reply.item(encode(Progress("load", done, 1.0)))
            return not reply.cancelled

        return moved

    def _generate(self, params: dict[str, Any], reply: Reply) -> None:
        asked = msgspec.convert(params, Request)
        sampling.check(asked.sampling, least=0 if asked.scored else 1)
        opened = _ready(self._opened)
        loaded = opened.require_chat()
        loop, prompter = _ready(self._loop), _ready(self._prompter)
        prepared = requests.prepare(asked, loaded.model, prompter, opened.extras, n_ctx=loaded.n_ctx_seq)
        requests.check_room(asked, prepared, loaded.spell, n_ctx=loaded.n_ctx_seq)
        ask = requests.ask(asked, prepared, loaded.model, loaded.adapters.choose(asked.adapters))
        answer = Answer(
            reply,
            prepared.parser(),
            end=lambda: self._end(reply.id),
            forget=self._forget,
            report=requests.reporter(prepared.tokens, loaded.model, loaded.kind) if asked.explain else None,
        )
        with self._lock:  # held over submit, so that the sink cannot forget what is not remembered yet
            sequence = loop.submit(ask, answer)
            self._running[reply.id] = sequence
        if reply.cancelled:  # cancelled while we were busy with the prompt: `cancel` found nothing
            loop.cancel(sequence)

    def _chat(self) -> Prompter:
        _ready(self._opened).require_chat()
        return _ready(self._prompter)

    def _embed(self, params: dict[str, Any], reply: Reply) -> None:
        extras = _ready(self._opened).extras
        self._beside(reply, lambda: extras.embed(params, lambda: not reply.cancelled))

    def _rerank(self, params: dict[str, Any], reply: Reply) -> None:
        extras = _ready(self._opened).extras
        self._beside(reply, lambda: extras.rerank(params, lambda: not reply.cancelled))

    def _beside(self, reply: Reply, work: Callable[[], Any]) -> None:
        """Answer from another thread, so that neither the desk waits nor the loop."""
        self._errands.post(lambda: _answer_with(reply, work))

    def _adapters(self, params: dict[str, Any], reply: Reply) -> None:
        asked = msgspec.convert(params, AdaptersParams)
        adapters = _ready(self._opened).require_chat().adapters
        loop = _ready(self._loop)
        if asked.action == "unload":
            adapters.unload(asked.name)
        if asked.action != "load":
            reply.result([asdict(adapter) for adapter in adapters.loaded])
            return

        def read() -> None:  # a large file takes seconds
            try:
                adapter = adapters.read(asked.name, Path(asked.path))
            except Exception as problem:
                reply.fail(as_typed(problem))
            else:
                loop.call_soon(lambda: _answer_with(reply, lambda: asdict(adapters.add(adapter))))

        self._errands.post(read)

    def _end(self, call_id: int) -> None:
        """The answer is complete although the model would go on."""
        with self._lock:
            sequence = self._running.get(call_id)
        if sequence is not None:
            _ready(self._loop).end(sequence)

    def _forget(self, call_id: int) -> None:
        with self._lock:
            self._running.pop(call_id, None)

    def _tokenize(self, params: dict[str, Any], reply: Reply) -> None:
        asked = msgspec.convert(params, TokenizeParams)
        model = _ready(self._opened).model
        found = model.tokenize(asked.text, add_special=asked.add_special, parse_special=asked.parse_special)
        reply.result(list(found))

    def _count(self, params: dict[str, Any], reply: Reply) -> None:
        asked = msgspec.convert(params, CountParams)
        reply.result(len(self._chat().prepare(asked.messages, asked.tools, template=asked.template).tokens))

    def _apply_template(self, params: dict[str, Any], reply: Reply) -> None:
        asked = msgspec.convert(params, TemplateParams)
        prepared = self._chat().prepare(
            asked.messages,
            asked.tools,
            thinking=asked.thinking,
            kwargs=asked.template_kwargs,
            template=asked.template,
        )
        reply.result({"prompt": prepared.text})

    def _detokenize(self, params: dict[str, Any], reply: Reply) -> None:
        asked = msgspec.convert(params, DetokenizeParams)
        model = _ready(self._opened).model
        reply.result(model.pieces(asked.tokens) if asked.apart else model.detokenize(asked.tokens))

    # --- on the reader's thread

    def _state(self, reply: Reply) -> None:
        if self._loop is None:
            reply.result({"sequences": [], "queued": 0, "running": 0, "cells_used": 0, "n_ctx": 0, "n_ctx_seq": 0})
        else:
            self._loop.inspect(reply.result)

    def _forget_prompts(self, reply: Reply) -> None:
        """Drop what is kept of prompts. Not behind the desk: a model that is still loading keeps nothing yet."""
        if (loop := self._loop) is None:
            reply.result()
        else:
            loop.call_soon(lambda: loop.memory.forget(reply.result))

    METHODS: ClassVar[dict[str, Callable[["EngineWorker", dict[str, Any], Reply], None]]] = {
        "load": _load,
        "cool": _cool,
        "warm": _warm,
        "generate": _generate,
        "tokenize": _tokenize,
        "count": _count,
        "detokenize": _detokenize,
        "apply_template": _apply_template,
        "embed": _embed,
        "rerank": _rerank,
        "adapters": _adapters,
    }


def _loop(
    opened: "Opened",
    loaded: "Loaded",
    asked: LoadParams,
    thread: NativeThread,
    together: Callable[[], AbstractContextManager[None]],
) -> Loop:
    limits = Limits(asked.queue_limit, asked.prefix_ram_mb << 20, asked.speculation, asked.stall_ms / 1e3)
    return Loop(loaded, limits, shelf=_shelf(asked), thread=thread, speculator=opened.speculator, together=together)


def _shelf(asked: LoadParams) -> Shelf | None:
    if asked.cache_dir is None or not asked.prefix_disk_mb:
        return None
    directory = Path(asked.cache_dir) / requests.state_key(Path(asked.path), asked.plan)
    shelf = Shelf(directory, max_bytes=asked.prefix_disk_mb << 20)
    shelf.wait(SHELF_SECONDS)
    return shelf


def _answer_with(reply: Reply, work: Callable[[], Any]) -> None:
    try:
        reply.result(work())
    except msgspec.ValidationError as problem:
        reply.fail(InvalidRequest(str(problem)))
    except Exception as problem:
        reply.fail(as_typed(problem))


def _ready(part: T | None) -> T:
    """A part that exists once a model is loaded."""
    if part is None:
        raise InvalidRequest("no model is loaded in this worker")
    return part


def create() -> WorkerMain:
    sys.setswitchinterval(SWITCH_SECONDS)
    return EngineWorker()
