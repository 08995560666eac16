"""Beginnings of prompts on disk: KV states that outlive the process and are found again after a restart.

One file a state in a private directory, named after model, build and settings, because a state means
nothing to any other. A file is written beside its name and renamed, carries a checksum, and one that
is damaged is deleted and forgotten. A state that adapters had a part in is found only by who asks for
the same set: hashes of their files, and scales. Reading and writing happen on a thread of its own; the
loop only asks what is there. The states can be read like the prompts they come from, so nobody else may.

File format: magic, length of the header (4 bytes, little-endian), header (msgpack), tokens (int32),
state as llama_state_seq_get_data gives it.
"""

import contextlib
import hashlib
import logging
import os
import queue
import shutil
import threading
import time
import zlib
from array import array
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy

from localmind.engine.prefix_tree import PrefixTree
from localmind.errors import LocalmindError
from localmind.paths import private_dir, write_atomic

MAGIC = b"LMKV2\n"
SUFFIX = ".kv"
MOST_FILES = 256
DISK_MARGIN = 1 << 30
"""Bytes that writing a cache never takes from the last of the disk."""

log = logging.getLogger("localmind.engine")


class Header(msgspec.Struct, frozen=True):
    tokens: int
    size: int
    """Bytes of the state."""
    crc: int
    """crc32 of group, tokens and state."""
    group: str = ""
    """The adapters, as `group_key` writes them; "" for the model alone."""


@dataclass(slots=True, frozen=True)
class Entry:
    name: str
    length: int
    """Tokens."""
    size: int
    """Bytes of the file."""
    used_at: float
    group: str


def group_key(group: Hashable) -> str:
    """An adapter set as text, every digit of its scales included."""
    return msgspec.json.encode(group).decode() if group else ""


class Shelf:
    def __init__(self, directory: Path, *, max_bytes: int) -> None:
        """`directory` belongs to one model, build and plan; other directories beside it count for the budget too."""
        self._directory = private_dir(directory)
        self._max_bytes = max_bytes
        self._entries: dict[str, Entry] = {}
        self._tree: PrefixTree[str] = PrefixTree()
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._indexed = threading.Event()
        self._work.put(self._read_index)
        self._work.put(self._indexed.set)
        self._thread = threading.Thread(target=self._run, name="shelf", daemon=True)
        self._thread.start()

    def wait(self, timeout: float) -> None:
        """Until it is known what is there: the first request shall find it."""
        self._indexed.wait(timeout)

    # --- for the loop; none of these waits for the disk

    def find(self, tokens: "array[int]", group: Hashable = ()) -> tuple[str, int]:
        """The state with the longest common beginning, and its length; ("", 0) when there is none."""
        with self._lock:
            found = self._tree.match(tokens, group_key(group))
        return max(found.items(), key=lambda item: item[1], default=("", 0))

    def load(self, name: str, then: "Callable[[array[int], Any], None]") -> None:
        """Read a state and pass it on; with no tokens when it is gone or damaged."""
        self._work.put(lambda: then(*self._read(name)))

    def store(self, tokens: "array[int]", state: Any, then: Callable[[str], None], group: Hashable = ()) -> None:
        """Write a state and say under which name; "" when there was no room."""
        tokens, key = tokens[:], group_key(group)
        self._work.put(lambda: then(self._write(tokens, state, key)))

    def clear(self, then: Callable[[], None]) -> None:
        """Delete every state, also those still being written, and say when they are gone."""
        self._work.put(self._clear)
        self._work.put(then)

    def close(self, timeout: float) -> None:
        """Finish what was asked for, within `timeout` seconds; a file that is not whole by then is not there."""
        self._work.put(None)
        self._thread.join(timeout)

    # --- on the shelf's thread

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except Exception:  # a cache that fails costs time, never an answer
                log.exception("the prefix cache on disk failed")

    def _read_index(self) -> None:
        for stale in self._directory.glob(".*"):
            self._delete(stale)
        paths = sorted(self._directory.glob(f"*{SUFFIX}"), key=_used_at, reverse=True)
        for path in paths[:MOST_FILES]:
            with contextlib.suppress(OSError, ValueError, msgspec.DecodeError):
                with path.open("rb") as file:
                    header, tokens = _read_head(file, path.stat().st_size)
                size = path.stat().st_size
                self._enter(Entry(path.stem, header.tokens, size, _used_at(path), header.group), tokens)
                continue
            self._delete(path)
        for path in paths[MOST_FILES:]:
            self._delete(path)

    def _enter(self, entry: Entry, tokens: "array[int]") -> None:
        with self._lock:
            self._entries[entry.name] = entry
            self._tree.remove(entry.name)
            self._tree.insert(entry.name, tokens, entry.group)

    def _forget(self, name: str) -> None:
        with self._lock:
            self._entries.pop(name, None)
            self._tree.remove(name)
        self._delete(self._path(name))

    def _clear(self) -> None:
        with self._lock:
            self._entries, self._tree = {}, PrefixTree()
        # Whoever wants everything forgotten may have removed the whole directory.
        for path in private_dir(self._directory).iterdir():
            self._delete(path)

    def _read(self, name: str) -> "tuple[array[int], Any]":
        path = self._path(name)
        try:
            with path.open("rb") as file:
                header, tokens = _read_head(file, path.stat().st_size)
                state: Any = numpy.empty(header.size, dtype=numpy.uint8)
                if file.readinto(memoryview(state)) != header.size or _crc(header.group, tokens, state) != header.crc:
                    raise ValueError("its checksum is wrong")
            os.utime(path)
        except (OSError, ValueError, MemoryError, msgspec.DecodeError) as problem:  # somebody waits for the answer
            log.warning("a kept prefix cannot be read and is dropped: %s", problem)
            self._forget(name)
            return array("i"), None
        return tokens, state

    def _write(self, tokens: "array[int]", state: Any, group: str) -> str:
        name = hashlib.blake2b(tokens.tobytes() + group.encode(), digest_size=16).hexdigest()
        if name in self._entries:
            return name
        header = msgspec.msgpack.encode(Header(len(tokens), state.nbytes, _crc(group, tokens, state), group))
        size = len(MAGIC) + 4 + len(header) + 4 * len(tokens) + state.nbytes
        if not self._make_room(size):
            return ""
        head = MAGIC + len(header).to_bytes(4, "little") + header + tokens.tobytes()
        try:
            write_atomic(self._path(name), head, memoryview(state))
        except LocalmindError as problem:
            log.warning("a prefix could not be kept on disk: %s", problem)
            return ""
        with self._lock:
            # What is a beginning of this one is not needed any longer.
            known = self._tree.match(tokens, group)
            shorter = [other for other, common in known.items() if common >= self._entries[other].length]
        for other in shorter:
            self._forget(other)
        self._enter(Entry(name, len(tokens), size, time.time(), group), tokens)
        return name

    def _make_room(self, size: int) -> bool:
        """Delete the least recently used files, of other models too, until `size` bytes fit the budget."""
        try:
            free = shutil.disk_usage(self._directory).free
        except OSError:
            return False
        if size > self._max_bytes or free < size + DISK_MARGIN:
            return False
        paths = sorted(self._directory.parent.glob(f"*/*{SUFFIX}"), key=_used_at)
        total = sum(_size(path) for path in paths)
        for path in paths:
            if total + size <= self._max_bytes:
                break
            total -= _size(path)
            if path.parent == self._directory:
                self._forget(path.stem)
            else:
                self._delete(path)
        return True

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{SUFFIX}"

    def _delete(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _read_head(file: Any, size: int) -> "tuple[Header, array[int]]":
    """Header and tokens, with every length checked against the file. Raises ValueError or msgspec.DecodeError."""
    if file.read(len(MAGIC)) != MAGIC:
        raise ValueError("it is no prefix file")
    length = int.from_bytes(file.read(4), "little")
    if length > 4096:
        raise ValueError("its header is too long")
    header = msgspec.msgpack.decode(file.read(length), type=Header)
    if file.tell() + 4 * header.tokens + header.size != size or header.tokens < 0 or header.size < 0:
        raise ValueError("it is not whole")
    tokens = array("i")
    tokens.frombytes(file.read(4 * header.tokens))
    return header, tokens


def _crc(group: str, tokens: "array[int]", state: Any) -> int:
    return zlib.crc32(state, zlib.crc32(tokens.tobytes(), zlib.crc32(group.encode())))


def _used_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
