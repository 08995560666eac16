"""One worker process, seen from the daemon: started, called, watched, ended.

It owns the process and the calls in flight. When the process ends for any reason, every call gets a
typed error at once, with the signal's name and the last lines the worker wrote. It never restarts
anything: that is the supervisor's business.
"""

import asyncio
import collections
import contextlib
import itertools
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from localmind.errors import LocalmindError, TimedOut, WorkerDied, WorkerFailure, WorkerHung, from_wire, to_wire
from localmind.workers import channel
from localmind.workers.brake import Brake
from localmind.workers.channel import Call, Cancel, Error, Frame, Heartbeat, Item, ProtocolViolation, Ready, Result
from localmind.workers.handing import Handing

READY_TIMEOUT_S = 60.0
"""A cold import of a native library from a slow disk may take long; a warm one takes 0.2 s."""
SILENCE_LIMIT_S = 15.0
"""Heartbeats come once a second. A worker silent for this long is stopped, swapped out or wedged."""
BUSY_LIMIT_S = 300.0
"""One native step (a batch, a document, a load) that runs longer than this is hung."""
STOP_GRACE_S = 3.0
STDERR_LINES = 50
WINDOWS_ENDS = {
    0xC0000005: "SIGSEGV", 0xC00000FD: "SIGSEGV", 0xC000001D: "SIGILL", 0xC0000094: "SIGFPE", 0xC0000409: "SIGABRT",
}  # fmt: skip
"""Exit codes (NTSTATUS) of crashes: access violation, stack overflow, illegal instruction, division, abort.
Elsewhere exit codes have eight bits."""

SECRETS = ("TOKEN", "SECRET", "PASSWORD", "API_KEY", "CREDENTIAL")
"""Environment variables with such a word in their name are not handed to workers."""


class WorkerCalls(Protocol):
    """What the rest of the daemon needs of a worker; the seam where tests put a fake."""

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> Any: ...

    def stream(self, method: str, params: Mapping[str, Any] | None = None) -> AsyncIterator[Any]:
        """The call's items, then a StreamResult. Closing the iterator cancels the call."""


@dataclass(slots=True, frozen=True)
class StreamResult:
    """The last element of a stream: the value that the worker ended the call with."""

    value: Any


@dataclass(slots=True, frozen=True)
class Death:
    """How a worker process ended."""

    label: str
    exit_code: int | None
    hung: str | None
    log_tail: tuple[str, ...]

    @property
    def signal_name(self) -> str | None:
        """E.g. "SIGSEGV"; None when the process was not ended by a signal, or what Windows has in its place."""
        if self.exit_code is None or self.exit_code >= 0:
            return WINDOWS_ENDS.get(self.exit_code or 0)
        try:
            return signal.Signals(-self.exit_code).name
        except ValueError:
            return f"signal {-self.exit_code}"

    @property
    def reason(self) -> str:
        """Half a sentence: what happened, without who it happened to."""
        if self.hung:
            return self.hung
        if self.signal_name:
            return f"was killed by {self.signal_name}"
        return f"ended with exit code {self.exit_code}"

    def error(self) -> WorkerFailure:
        kind = WorkerHung if self.hung else WorkerDied
        return kind(f"{self.label} {self.reason}", hint="send the request again; `localmind doctor` tells more")


def worker_command() -> list[str]:
    """The command that starts a worker process; the kind, a descriptor and our pid are appended.

    `-P` keeps the current directory, which may be any folder of the user's, off the import path.
    """
    return [sys.executable, "-P", "-m", "localmind.workers"]


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker: ours without secrets, and with every phone-home of libraries off."""
    kept = {key: value for key, value in environ.items() if not any(word in key.upper() for word in SECRETS)}
    return kept | {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "ANONYMIZED_TELEMETRY": "False",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }


class WorkerProcess:
    """A live worker. Made by `start`; useless after its death."""

    def __init__(
        self,
        label: str,
        process: asyncio.subprocess.Process,
        silence_limit_s: float,
    ) -> None:
        self.label = label
        self._silence_limit_s = silence_limit_s
        self.pid = process.pid
        self.death: Death | None = None
        self.started_at = time.monotonic()
        self._process = process
        self._ids = itertools.count(1)
        self._inboxes: dict[int, asyncio.Queue[Item | Result | Error]] = {}
        self._ready = asyncio.Event()
        self._heard = time.monotonic()
        self._busy = 0.0
        self._hung: str | None = None
        self._stderr: collections.deque[str] = collections.deque(maxlen=STDERR_LINES)
        self._dead = asyncio.Event()
        self._lost = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._bury(), name=f"{label} end"),
            asyncio.create_task(self._read_stderr(), name=f"{label} stderr"),
            asyncio.create_task(self._watch(), name=f"{label} heartbeat"),
        ]

    @classmethod
    async def start(
        cls,
        kind: str,
        label: str,
        command: Sequence[str] | None = None,
        *,
        silence_limit_s: float = SILENCE_LIMIT_S,
    ) -> "WorkerProcess":
        """Spawn and wait until it takes calls. Must run on the main thread (see runtime.prepare_process)."""
        ours, theirs = socket.socketpair()
        handing = Handing(theirs)
        try:
            process = await asyncio.create_subprocess_exec(
                *(command or worker_command()),
                kind,
                handing.argument,
                str(os.getpid()),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=worker_environment(os.environ),
                **handing.options,
            )
        except BaseException:
            ours.close()
            theirs.close()
            raise
        if handing.inherits:
            theirs.close()
        worker = cls(label, process, silence_limit_s)
        await worker._connect(ours)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await handing.finish(process)
                await worker._ready.wait()
        except TimeoutError:
            worker._hung = f"was not ready within {READY_TIMEOUT_S:.0f} s"
            await worker.stop()
        except BaseException:
            await worker.stop()
            raise
        finally:
            theirs.close()  # a duplicate is opened from it by the child
        if worker.death is not None:
            raise worker.death.error()
        return worker

    @property
    def log_tail(self) -> tuple[str, ...]:
        """The last lines that the worker wrote to stderr."""
        return tuple(self._stderr)

    async def call(self, method: str, params: Mapping[str, Any] | None = None, *, timeout: float | None = None) -> Any:
        try:
            async with asyncio.timeout(timeout), contextlib.aclosing(self.stream(method, params)) as answers:
                async for answer in answers:
                    if isinstance(answer, StreamResult):
                        return answer.value
        except TimeoutError as problem:
            raise TimedOut(f"{self.label} did not finish {method!r} in {timeout:.0f} s") from problem

    async def stream(
        self, method: str, params: Mapping[str, Any] | None = None, brake: Brake | None = None
    ) -> AsyncGenerator[Any, None]:
        """See WorkerCalls.stream. Pulling the brake cancels the call too, and the worker's answer to that is raised."""
        if self.death is not None:
            raise self.death.error()
        call_id = next(self._ids)
        inbox: asyncio.Queue[Item | Result | Error] = asyncio.Queue()
        self._inboxes[call_id] = inbox
        self._write(Call(call_id, method, dict(params or {})))
        try:
            with (brake or Brake()).fitted(lambda: self._write(Cancel(call_id))):
                while True:
                    match await inbox.get():
                        case Item(_, value):
                            yield value
                        case Result(_, value):
                            self._inboxes.pop(call_id)
                            yield StreamResult(value)
                            return
                        case Error(_, error):
                            self._inboxes.pop(call_id)
                            raise from_wire(error)
        finally:
            if self._inboxes.pop(call_id, None) is not None:
                self._write(Cancel(call_id))

    async def stop(self, reason: LocalmindError | None = None) -> None:
        """End the process: end-of-file first, SIGKILL when that does not help. Calls in flight get `reason`."""
        if reason is not None:
            self._end_calls(reason)
        self._transport.close()
        try:
            async with asyncio.timeout(STOP_GRACE_S):
                await self._process.wait()
        except TimeoutError:
            self._kill()
        await self._dead.wait()

    async def wait_dead(self) -> Death:
        await self._dead.wait()
        assert self.death is not None
        return self.death

    def _write(self, frame: Frame) -> None:
        if not self._transport.is_closing():
            self._transport.write(channel.pack(frame))

    def _end_calls(self, error: LocalmindError) -> None:
        for inbox in self._inboxes.values():
            inbox.put_nowait(Error(0, to_wire(error)))

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _connect(self, sock: socket.socket) -> None:
        """Frames are read and written from here on."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_unix_connection(lambda: channel.Frames(self._take, self._end), sock=sock)

    def _take(self, frame: Frame) -> None:
        match frame:
            case Item(call_id) | Result(call_id) | Error(call_id):
                if (inbox := self._inboxes.get(call_id)) is not None:
                    inbox.put_nowait(frame)
            case Heartbeat(busy):
                self._heard, self._busy = time.monotonic(), busy
            case Ready():
                self._heard = time.monotonic()
                self._ready.set()
            case Call() | Cancel():
                raise ProtocolViolation("a worker may not call the daemon")

    def _end(self, violation: ProtocolViolation | None) -> None:
        if violation is not None:
            self._hung = f"sent garbage ({violation})"
            self._kill()
        self._lost.set()

    async def _bury(self) -> None:
        """After end-of-file the process is gone, or as good as gone. Tell everyone who waits, then clean up."""
        await self._lost.wait()
        try:
            async with asyncio.timeout(STOP_GRACE_S):
                exit_code = await self._process.wait()
        except TimeoutError:
            self._kill()
            exit_code = await self._process.wait()
        stderr, watch = self._tasks[1:]
        watch.cancel()
        await asyncio.wait([stderr], timeout=0.2)
        stderr.cancel()
        self.death = Death(self.label, exit_code, self._hung, self.log_tail)
        self._end_calls(self.death.error())
        self._ready.set()
        self._dead.set()

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self._stderr.append(line.decode("utf-8", "replace").rstrip()[:500])

    async def _watch(self) -> None:
        """Kill a worker that is silent or stuck. A late tick of ours (sleep, a stalled loop) proves nothing."""
        period = 1.0
        while True:
            before = time.monotonic()
            await asyncio.sleep(period)
            if time.monotonic() - before > 2 * period:
                self._heard = time.monotonic()
                continue
            silence = time.monotonic() - self._heard
            if not self._ready.is_set():
                continue
            if silence > self._silence_limit_s:
                self._hung = f"did not answer for {silence:.0f} s and was stopped"
            elif self._busy > BUSY_LIMIT_S:
                self._hung = f"was stuck in one step for {self._busy:.0f} s and was stopped"
            else:
                continue
            self._kill()
            return
