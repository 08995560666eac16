"""The process that touches hostile documents: one file a request, under resource limits.

It is started by the extract worker, reads requests from stdin and answers on stdout, each a length
(4 bytes, big-endian) and a msgpack body. Memory, CPU seconds, core dumps, written files and open
descriptors are limited; what goes beyond kills this process and nothing else. It opens a file
without following a link, without waiting on a FIFO, and checks that it still lies where it was asked for.
"""

import contextlib
import dataclasses
import hashlib
import operator
import os
import re
import signal
import stat
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from localmind.errors import ExtractFailed, LocalmindError, to_wire
from localmind.knowledge import chunk as chunking
from localmind.knowledge.extract import RECORDING, Extracted, extract, size_limit
from localmind.knowledge.formats.code import GRAMMARS
from localmind.plaintext import looks_binary

LENGTH = struct.Struct(">I")
ADDRESS_SPACE = 2 * 1024**3
PR_SET_PDEATHSIG = 1
# How far apart two saves may be and still have one time: twice the coarsest clock.
TICK_NS = 20_000_000
COARSE_TICK_NS = 4_000_000_000

# A key under any name stays out of the index; a text that only speaks of this line has no base64 below it.
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----\s+(?:[A-Za-z-]+: .*\s+)*[A-Za-z0-9+/=]{40}")


def main() -> None:
    """Serve requests until stdin ends."""
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # A parser that prints must not write into our answers.
    os.dup2(2, 1)
    limit_process(int(sys.argv[1]))
    while (request := read_frame(source)) is not None:
        write_frame(target, answer(request))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """`{"ok": result}` or `{"error": wire}`; only a dying process gives no answer."""
    try:
        allow_cpu(float(request["cpu_seconds"]))
        return {"ok": extract_file(request)}
    except LocalmindError as error:
        return {"error": to_wire(error)}
    except MemoryError:
        return {"error": to_wire(ExtractFailed("its parser needed more memory than it may use"))}
    except RecursionError:
        return {"error": to_wire(ExtractFailed("it is nested too deeply"))}
    except Exception as error:  # parsers raise anything; one file's trouble is that file's reason
        return {"error": to_wire(ExtractFailed(f"its parser failed: {type(error).__name__}: {error}"[:300]))}


def extract_file(request: dict[str, Any]) -> dict[str, Any]:
    """Read, parse and cut one file; see the worker for the shape of request and result."""
    path, kind = Path(request["path"]), str(request["kind"])
    digest = hashlib.blake2b(digest_size=16)
    if kind == RECORDING:
        status, fresh = pass_file(path, size_limit(kind), digest.update)
        data = b""
    else:
        pieces: list[bytes] = []
        status, fresh = pass_file(path, size_limit(kind), pieces.append)
        data = b"".join(pieces)
        digest.update(data)
    result: dict[str, Any] = {
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "fresh": fresh,
        "content_hash": digest.digest(),
        "skip": None,
        "chunks": [],
    }
    if kind == "unknown" and looks_binary(data):
        return result | {"skip": "it is not text"}
    if _PRIVATE_KEY.search(data):
        return result | {"skip": "it holds a private key"}
    document = extract(data, kind) if kind != RECORDING else Extracted(str(request.get("text") or ""))
    tokenizer = Path(request["tokenizer"]) if request.get("tokenizer") else None
    split = splitter_for(tokenizer, kind)
    result["chunks"] = [_fields(piece) for piece in chunking.chunk(document, split)]
    return result


# dataclasses.astuple copies every string: a tenth of the whole time.
_fields = operator.attrgetter(*(field.name for field in dataclasses.fields(chunking.Chunk)))

_splitters: dict[tuple[Path | None, str], chunking.Split] = {}


def splitter_for(tokenizer: Path | None, kind: str) -> chunking.Split:
    """The splitter, loaded once in the life of this process (the tokenizer takes 30 ms to read)."""
    shape = kind if kind == "markdown" or kind in GRAMMARS else "plain"
    key = (tokenizer, shape)
    if key not in _splitters:
        _splitters[key] = chunking.splitter(tokenizer, shape)
    return _splitters[key]


def pass_file(path: Path, limit: int, take: Callable[[bytes], None]) -> tuple[os.stat_result, bool]:
    """Read a regular file of at most `limit` bytes that is really at `path`; each piece is given to `take`.

    Gives its stat from before the first byte, and whether a save after that could leave the same time (`is_fresh`).
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise ExtractFailed(f"it cannot be opened: {error.strerror}") from error
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        status = os.fstat(descriptor)
        fresh = is_fresh(status.st_mtime_ns, time.time_ns())
        if not stat.S_ISREG(status.st_mode):
            raise ExtractFailed("it is not a regular file")
        # A directory above it may have become a link since the scan looked.
        if os.path.realpath(path) != str(path):
            raise ExtractFailed("a link leads out of the folder")
        if status.st_size > limit:
            raise ExtractFailed(f"it is bigger than {limit // 2**20} MiB")
        size = 0
        while piece := stream.read(1 << 20):
            take(piece)
            size += len(piece)
            if size > limit:
                raise ExtractFailed(f"it is bigger than {limit // 2**20} MiB")
        return status, fresh


def is_fresh(mtime_ns: int, now_ns: int) -> bool:
    """Whether a save after `now` may leave the file with this same time (git calls it racily clean).

    Linux stamps files by its tick of 1 to 10 ms; FAT, and disks that store whole seconds, by up to two seconds.
    """
    tick = COARSE_TICK_NS if mtime_ns % 1_000_000_000 == 0 else TICK_NS
    return abs(now_ns - mtime_ns) < tick


def limit_process(parent: int) -> None:
    """Die with the worker; no core dump, no written file, bounded memory and descriptors."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
    if os.name != "posix":
        return
    import resource

    wishes = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, 64)]
    if sys.platform == "linux":  # macOS refuses RLIMIT_AS
        wishes.append((resource.RLIMIT_AS, ADDRESS_SPACE))
    for what, value in wishes:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (value, value))


def allow_cpu(seconds: float) -> None:
    """Let this process use `seconds` more of CPU time; beyond that the kernel ends it (SIGXCPU)."""
    if os.name != "posix":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def read_frame(source: BinaryIO) -> dict[str, Any] | None:
    """The next message, or None at the end of the stream."""
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    body = source.read(LENGTH.unpack(head)[0])
    return dict(msgspec.msgpack.decode(body))


def write_frame(target: BinaryIO, message: dict[str, Any]) -> None:
    """Write one message and flush it."""
    body = msgspec.msgpack.encode(message)
    target.write(LENGTH.pack(len(body)) + body)
    target.flush()


if __name__ == "__main__":
    main()
