"""The extract worker: hands one file after another to a child process that may crash, hang or bloat.

The worker itself parses nothing, so a hostile document can end the child but not the worker, and
never counts towards the quarantine of the kind. A child that does not answer in time is killed and
the file gets that as its reason; the next file gets a new child. It writes nothing and remembers nothing.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from localmind.errors import ExtractFailed, InvalidRequest, from_wire
from localmind.knowledge.extract_child import LENGTH
from localmind.workers.runtime import BlockingWorker, Reply, WorkerMain

SECONDS = 60.0
# A child is replaced after so many files: parsers leak.
FILES_A_CHILD = 2000
# A child that had nothing to read for so many seconds ends: it holds 100 MB, and a new one starts in half a second.
REST_S = 20.0
# -P keeps the current directory, which may be a folder of the user's, off the import path.
COMMAND = (sys.executable, "-P", "-m", "localmind.knowledge.extract_child")


class Child:
    """A running parser process. `ask` returns its answer or raises ExtractFailed; then it must be closed."""

    def __init__(self, command: Sequence[str]) -> None:
        environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
        self.files = 0
        self._process = subprocess.Popen(
            [*command, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send one request and wait at most `seconds` of wall time."""
        self.files += 1
        deadline = time.monotonic() + seconds
        body = msgspec.msgpack.encode(request)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(LENGTH.pack(len(body)) + body)
            self._process.stdin.flush()
        except OSError as error:
            raise ExtractFailed(self._epitaph()) from error
        (length,) = LENGTH.unpack(self._read(LENGTH.size, deadline, seconds))
        return dict(msgspec.msgpack.decode(self._read(length, deadline, seconds)))

    def close(self) -> None:
        """Kill it and collect it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    # What was buffered for a dead child is of no use.
                    continue

    @property
    def killed(self) -> bool:
        """Whether it died of a SIGKILL; ours come only when it is closed."""
        return self._process.poll() == -signal.SIGKILL

    def _read(self, count: int, deadline: float, seconds: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        pieces: list[bytes] = []
        while count:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise ExtractFailed(f"its parser did not finish in {seconds:.0f} s")
            piece = os.read(descriptor, min(count, 1 << 20))
            if not piece:
                raise ExtractFailed(self._epitaph())
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def _epitaph(self) -> str:
        code = self._process.wait()
        if code < 0:
            cause = "needed too much CPU time" if -code == signal.SIGXCPU else f"crashed ({signal.Signals(-code).name})"
            return f"its parser {cause}"
        return f"its parser ended with status {code}"


class ExtractCalls:
    """The worker's one method, `extract`. `command` starts a child; the worker's pid is appended."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = command
        self._child: Child | None = None

    def extract(self, params: dict[str, Any], reply: Reply) -> dict[str, Any]:
        """`{path, kind, tokenizer?, limits?: {seconds}, lane?}` → what was read of one file.

        The result is `{size, mtime_ns, fresh, content_hash, skip, chunks}`; a chunk is `[text, char_start, char_end,
        line_start, line_end, page, heading, extra]`. `skip` is the reason why a file that is fine is not indexed;
        `fresh` says that it was saved so shortly before that the next save may leave the same time. ExtractFailed
        carries the reason of a bad file. A recording is only hashed; `text` is then what was heard in it, to be cut.
        """
        path, kind = params.get("path"), params.get("kind")
        if not isinstance(path, str) or not isinstance(kind, str):
            raise InvalidRequest("extract needs a path and a kind")
        seconds = float((params.get("limits") or {}).get("seconds", SECONDS))
        request = {"path": path, "kind": kind, "tokenizer": params.get("tokenizer"), "cpu_seconds": seconds}
        if params.get("text") is not None:
            request["text"] = params["text"]
        answer = self._ask(request, seconds, again=True)
        assert self._child is not None
        if self._child.files >= FILES_A_CHILD:
            self.close()
        if "error" in answer:
            raise from_wire(answer["error"])
        return dict(answer["ok"])

    def _ask(self, request: dict[str, Any], seconds: float, *, again: bool) -> dict[str, Any]:
        if self._child is None:
            self._child = Child(self._command)
        try:
            return self._child.ask(request, seconds)
        except ExtractFailed:
            # SIGKILL comes from outside, mostly when the machine is out of memory: not yet the file's fault.
            killed = self._child.killed
            self.close()
            if not (killed and again):
                raise
        return self._ask(request, seconds, again=False)

    def close(self) -> None:
        """End the child, if there is one."""
        if self._child is not None:
            self._child.close()
            self._child = None


class Lanes:
    """A WorkerMain of two independent readers, so that a long document never stands before a short note.

    Parameter `lane` of a call, 0 or 1, says which one reads; each has its own thread and its own child,
    which ends when there was nothing to read for `rest_s` seconds.
    """

    def __init__(self, command: Sequence[str] = COMMAND, *, rest_s: float = REST_S) -> None:
        readers = [ExtractCalls(command) for _ in range(2)]
        self._lanes = [BlockingWorker({"extract": one.extract}, rest=one.close, rest_s=rest_s) for one in readers]

    def call(self, method: str, params: dict[str, Any], reply: Reply) -> None:
        self._lanes[int(params.get("lane") or 0) % len(self._lanes)].call(method, params, reply)

    def cancel(self, call_id: int) -> None:
        """A call still waiting is skipped by its lane."""

    def busy_seconds(self) -> float:
        return max(lane.busy_seconds() for lane in self._lanes)

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()


def create() -> WorkerMain:
    """Entry point of the worker kind `extract`."""
    return Lanes()
