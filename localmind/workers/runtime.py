"""What runs inside every worker process: read calls, hand them to the kind, send answers and heartbeats.

The kind (engine, embed, vectors, extract) does the work; this module owns the process around it:
it ends at end-of-file, dies with its parent, leaves no core dump with a user's text in it, and turns
exceptions into typed errors. It never imports a native library.
"""

import contextlib
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from localmind.errors import Cancelled, InternalError, LocalmindError, NoRoom, to_wire
from localmind.workers.channel import Call, Cancel, Channel, Error, Heartbeat, Item, Ready, Result

HEARTBEAT_S = 1.0
PR_SET_PDEATHSIG = 1

log = logging.getLogger("localmind.worker")


class Reply(Protocol):
    """The answer to one call; every method may be used from any thread."""

    id: int

    @property
    def cancelled(self) -> bool: ...
    def item(self, value: Any) -> None:
        """One element of a stream."""

    def result(self, value: Any = None) -> None:
        """End the call well."""

    def fail(self, error: LocalmindError) -> None:
        """End the call with an error."""

    def together(self) -> contextlib.AbstractContextManager[None]:
        """What this thread sends inside, to whatever calls, leaves in one piece."""


class WorkerMain(Protocol):
    """What a kind of worker provides."""

    def call(self, method: str, params: dict[str, Any], reply: Reply) -> None:
        """Take a call and return at once; the answer may come later and from another thread."""

    def cancel(self, call_id: int) -> None:
        """Nobody waits for this call any more; end it as soon as possible."""

    def busy_seconds(self) -> float:
        """How long the native step under way has run; 0.0 when idle."""

    def close(self) -> None:
        """Release what must be released; the process ends right after."""


class ChannelReply:
    """A Reply that writes to the channel; what comes after the end of the call is dropped."""

    def __init__(self, channel: Channel, call_id: int, forget: Callable[[int], None]) -> None:
        self.id = call_id
        self._channel = channel
        self._forget = forget
        self._cancelled = threading.Event()
        self._ended = threading.Lock()  # taken for good by whoever ends the call

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        self._cancelled.set()

    def item(self, value: Any) -> None:
        if not self._ended.locked():
            self._channel.send(Item(self.id, value))

    def result(self, value: Any = None) -> None:
        if self._ended.acquire(blocking=False):
            self._forget(self.id)
            self._channel.send(Result(self.id, value))

    def fail(self, error: LocalmindError) -> None:
        if self._ended.acquire(blocking=False):
            self._forget(self.id)
            self._channel.send(Error(self.id, to_wire(error)))

    def together(self) -> contextlib.AbstractContextManager[None]:
        return self._channel.together()


Asked = tuple[str, dict[str, Any], Reply]
"""A method, its parameters, and where its answer goes."""


class BlockingWorker:
    """A WorkerMain of plain functions that run one after another on one thread.

    `rest`, if given, runs on that thread when nothing was asked for `rest_s` seconds, and at the end.
    """

    def __init__(
        self,
        methods: Mapping[str, Callable[[dict[str, Any], Reply], Any]],
        *,
        rest: Callable[[], None] | None = None,
        rest_s: float = 20.0,
    ) -> None:
        self._methods = methods
        self._idle, self._idle_s = rest, rest_s
        self._waiting: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        # One ticket a call, so that a worker with several lines still sleeps on one queue; None ends it.
        self._tickets: queue.SimpleQueue[bool | None] = queue.SimpleQueue()
        self._started = 0.0
        threading.Thread(target=self._run, name="calls", daemon=True).start()

    def call(self, method: str, params: dict[str, Any], reply: Reply) -> None:
        if method not in self._methods:
            reply.fail(InternalError(f"this worker has no method {method!r}"))
            return
        self._queue_up((method, params, reply))
        self._tickets.put(True)

    def cancel(self, call_id: int) -> None:
        """A function looks at `reply.cancelled` itself; a call still waiting is skipped."""

    def busy_seconds(self) -> float:
        started = self._started
        return time.monotonic() - started if started else 0.0

    def close(self) -> None:
        self._tickets.put(None)

    def _queue_up(self, asked: Asked) -> None:
        self._waiting.put(asked)

    def _next(self) -> Asked | None:
        """The call whose turn it is; None if somebody has run it already."""
        return next_of(self._waiting)

    def _ticket(self) -> bool | None:
        if self._idle is not None:
            try:
                return self._tickets.get(timeout=self._idle_s)
            except queue.Empty:
                self._idle()
        return self._tickets.get()

    def _run(self) -> None:
        while self._ticket() is not None:
            if (asked := self._next()) is None:
                continue
            self._started = time.monotonic()
            self._answer(asked)
            self._started = 0.0
        if self._idle is not None:
            self._idle()

    def _answer(self, asked: Asked) -> None:
        method, params, reply = asked
        if reply.cancelled:
            reply.fail(Cancelled("cancelled before it started"))
            return
        try:
            reply.result(self._methods[method](params, reply))
        except Exception as problem:  # every failure must reach the one who asked
            reply.fail(as_typed(problem))


def next_of(waiting: "queue.SimpleQueue[Asked]") -> Asked | None:
    try:
        return waiting.get_nowait()
    except queue.Empty:
        return None


def as_typed(problem: Exception) -> LocalmindError:
    """A LocalmindError as it is, a lack of memory as NoRoom; anything else, logged with its trace, as InternalError."""
    if isinstance(problem, LocalmindError):
        return problem
    if isinstance(problem, MemoryError):
        return NoRoom(f"memory ran out: {problem}" if str(problem) else "memory ran out")
    log.exception("unforeseen error in a worker", exc_info=problem)
    return InternalError(f"{type(problem).__name__}: {problem}", hint="localmind doctor")


def serve(sock: socket.socket, main: WorkerMain) -> None:
    """Serve calls until the daemon closes its end. Runs on the main thread of the worker process."""
    channel = Channel(sock)
    replies: dict[int, ChannelReply] = {}
    stopping = threading.Event()

    def beat() -> None:
        while not stopping.wait(HEARTBEAT_S):
            channel.send(Heartbeat(main.busy_seconds()))

    def forget(call_id: int) -> None:
        replies.pop(call_id, None)

    channel.send(Ready(os.getpid()))
    threading.Thread(target=beat, name="heartbeat", daemon=True).start()
    try:
        while (frame := channel.read()) is not None:
            match frame:
                case Call(call_id, method, params):
                    reply = replies[call_id] = ChannelReply(channel, call_id, forget)
                    try:
                        main.call(method, params, reply)
                    except Exception as problem:
                        reply.fail(as_typed(problem))
                case Cancel(call_id):
                    if (waiting := replies.get(call_id)) is not None:
                        waiting.cancel()
                        main.cancel(call_id)
                case _:
                    log.error("unexpected frame %r", type(frame).__name__)
    finally:
        stopping.set()
        main.close()


def prepare_process(parent_pid: int) -> None:
    """Die with the parent, ignore the terminal's Ctrl-C, write no core dumps.

    PR_SET_PDEATHSIG fires when the parent's spawning *thread* ends, hence the daemon spawns from its
    main thread; the check of getppid closes the race with a parent that died before the call (prctl(2)).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:
            os._exit(1)
    if os.name == "posix":
        import resource

        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
