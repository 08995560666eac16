"""Stands-in for workers: real worker functions on a thread of this process, and a toy embedder."""

import asyncio
import contextlib
import hashlib
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy

from localmind.errors import LocalmindError
from localmind.knowledge.embedder import EmbedModel
from localmind.knowledge.exact import Exact
from localmind.knowledge.extract_child import extract_file
from localmind.knowledge.knowledge import Knowledge
from localmind.knowledge.pace import Situation
from localmind.knowledge.ranking import rank_call
from localmind.knowledge.search import Floor
from localmind.knowledge.state import FolderStatus

Method = Callable[[dict[str, Any], Any], Any]
VECTOR_METHODS = ("open", "count", "add", "delete", "query", "ids", "drop", "close")
EMBED_METHODS = ("embed", "index", "rank", "load")
PATIENCE_S = 240.0
"""A fence against hangs, not a promise of speed."""


class FakeReply:
    """The part of a Reply that worker functions look at."""

    id = 0
    cancelled = False

    def together(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def item(self, value: Any) -> None:
        raise AssertionError("knowledge workers do not stream")

    def result(self, value: Any = None) -> None:
        raise AssertionError("the function returns its result")

    def fail(self, error: LocalmindError) -> None:
        raise AssertionError("the function raises its errors")


class FakeCalls:
    """A VectorsWorker that runs functions one after another on a thread, through msgpack like the real one."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self.methods = dict(methods)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.broken: LocalmindError | None = None
        self.processes = 1
        """How many there were so far, if each rest had ended one."""
        self._thread = ThreadPoolExecutor(1)

    async def call(self, method: str, params: Mapping[str, Any] | None = None, *, timeout: float | None = None) -> Any:
        arguments: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(dict(params or {})))
        self.calls.append((method, arguments))
        if self.broken is not None:
            raise self.broken
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._thread, self.methods[method], arguments, FakeReply())
        return msgspec.msgpack.decode(msgspec.msgpack.encode(result))

    def stream(self, method: str, params: Mapping[str, Any] | None = None) -> AsyncIterator[Any]:
        raise AssertionError("knowledge workers do not stream")

    async def rest(self) -> None:
        self.processes += 1

    def named(self, method: str) -> list[dict[str, Any]]:
        """Parameters of the calls of one method."""
        return [params for name, params in self.calls if name == method]


DIM = 64


def toy_vector(text: str) -> numpy.ndarray:
    """A bag of hashed word stems: texts that share words are near."""
    vector = numpy.zeros(DIM, dtype=numpy.float32)
    for word in re.findall(r"\w+", text.lower()):
        vector[int.from_bytes(hashlib.blake2b(word[:5].encode(), digest_size=4).digest(), "big") % DIM] += 1
    return vector / max(float(numpy.linalg.norm(vector)), 1e-9)


def near(weights: Mapping[str, float], sketches: Sequence[bytes]) -> list[float]:
    """The share of the question's words that a text holds, by weight."""
    held = [sum(weights[word] for word in {*each.decode().split()} & {*weights}) for each in sketches]
    return [one / (sum(weights.values()) or 1.0) for one in held]


class ToyEmbedder:
    """Counts what it embeds, to show that nothing is embedded twice."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, params: dict[str, Any], reply: Any) -> bytes:
        if params["kind"] == "passage":
            self.texts += params["texts"]
        return b"".join(toy_vector(text).astype("<f4").tobytes() for text in params["texts"])

    def index(self, params: dict[str, Any], reply: Any) -> list[bytes]:
        vectors = self.embed(params | {"kind": "passage"}, reply)
        return [vectors, *(" ".join(re.findall(r"\w+", text.lower())).encode() for text in params["texts"])]

    def rank(self, params: dict[str, Any], reply: Any) -> Any:
        return rank_call(params, near)

    def load(self, params: dict[str, Any], reply: Any) -> dict[str, int]:
        return {"dim": DIM, "max_tokens": 256}


class ToyVectors:
    """Chroma's calls on dictionaries, with a file where Chroma would have its database."""

    def __init__(self) -> None:
        self.places: dict[tuple[str, str], dict[int, numpy.ndarray]] = {}

    def methods(self) -> dict[str, Method]:
        return {name: getattr(self, name) for name in VECTOR_METHODS}

    def _place(self, params: dict[str, Any]) -> dict[int, numpy.ndarray]:
        return self.places.setdefault((params["dir"], params["collection"]), {})

    def open(self, params: dict[str, Any], reply: Any) -> dict[str, int]:
        Path(params["dir"]).mkdir(parents=True, exist_ok=True)
        Path(params["dir"], "chroma.sqlite3").touch()
        return {"count": len(self._place(params))}

    def count(self, params: dict[str, Any], reply: Any) -> int:
        return len(self._place(params))

    def add(self, params: dict[str, Any], reply: Any) -> int:
        matrix = numpy.frombuffer(params["vectors"], dtype="<f4").reshape(len(params["ids"]), params["dim"])
        self._place(params).update(zip(params["ids"], matrix, strict=True))
        return len(matrix)

    def delete(self, params: dict[str, Any], reply: Any) -> None:
        for number in params["ids"]:
            self._place(params).pop(number, None)

    def query(self, params: dict[str, Any], reply: Any) -> list[tuple[int, float]]:
        wanted = numpy.frombuffer(params["vector"], dtype="<f4")
        scored = [(number, float(vector @ wanted)) for number, vector in self._place(params).items()]
        return sorted(scored, key=lambda pair: -pair[1])[: params["k"]]

    def ids(self, params: dict[str, Any], reply: Any) -> list[int]:
        return list(self._place(params))

    def drop(self, params: dict[str, Any], reply: Any) -> None:
        for directory, collection in list(self.places):
            if directory == params["dir"] and collection not in params["keep"]:
                del self.places[directory, collection]

    def close(self, params: dict[str, Any], reply: Any) -> None:
        return None


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_S
    while not await condition():
        assert loop.time() < deadline, "it never came to be"
        await asyncio.sleep(0.01)


class Household:
    """A Knowledge on toy workers with its folder, and what a test wants to look into."""

    def __init__(self, base: Path, *, embedder: bool = True, **options: Any) -> None:
        self.base = base
        self.toy = ToyEmbedder()
        self.store = ToyVectors()
        self.embed = FakeCalls(
            {name: getattr(self.toy, name) for name in EMBED_METHODS}
            | {"exact": Exact().exact, "inside": Exact().inside}
        )
        self.vectors = FakeCalls(self.store.methods())
        self.extract = FakeCalls({"extract": lambda params, reply: extract_file(params | {"tokenizer": None})})
        self.model = EmbedModel("toy:1", base, base)
        self.options = {
            "embed_model": self.model if embedder else None,
            "floor": Floor(answer=0.3, shown=0.2),
            "sense": Situation,
        } | options
        self.folder = base / "folder"
        self.folder.mkdir(exist_ok=True)
        self.knowledge = self.fresh()

    def fresh(self) -> Knowledge:
        """A Knowledge on the same files, as after a restart of the daemon."""
        self.knowledge = Knowledge(
            self.base / "state/knowledge.db",
            chroma_dir=self.base / "state/chroma",
            embed=self.embed,
            vectors=self.vectors,
            extract=self.extract,
            **self.options,
        )
        return self.knowledge

    def put(self, relpath: str, text: str) -> Path:
        """Write a file of the folder as an editor does: beside it, then renamed."""
        path = self.folder / relpath
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.part")
        beside.write_text(text)
        beside.rename(path)
        return path

    def an_hour_ago(self) -> None:
        """All files were saved long before they are read: what was saved just now is read twice (`is_fresh`)."""
        for path in self.folder.rglob("*"):
            saved = path.lstat().st_mtime_ns - 3600 * 10**9
            os.utime(path, ns=(saved, saved), follow_symlinks=False)

    async def status(self) -> FolderStatus:
        """Of the one folder."""
        [status] = await self.knowledge.folders()
        return status

    async def found(self, question: str, **options: Any) -> list[str]:
        """Paths below the folder of the passages found."""
        passages = await self.knowledge.search(question, **options)
        return [str(Path(one.path).relative_to(self.folder)) for one in passages]

    async def until(self, question: str, expected: list[str]) -> None:
        """Search until exactly these files are found."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        while sorted(found := set(await self.found(question))) != sorted(expected):
            assert loop.time() - started < PATIENCE_S, f"{question}: found {found}, not {expected}"
            await asyncio.sleep(0.02)

    async def contents(self) -> dict[str, list[tuple[int, int, str]]]:
        """What the index holds: path → (first line, last line, text) of every chunk. Ids do not matter."""
        rows = await self.knowledge._database.run(
            lambda index: index.db.execute(
                "SELECT path, line_start, line_end, text FROM chunk ORDER BY path, ordinal"
            ).fetchall()
        )
        held: dict[str, list[tuple[int, int, str]]] = {}
        for row in rows:
            held.setdefault(row["path"], []).append((row["line_start"], row["line_end"], row["text"]))
        return held
