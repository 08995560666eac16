"""Stands-in for workers: real worker functions on a thread of this process, and a toy embedder."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy

from localmind.errors import LocalmindError

Method = Callable[[dict[str, Any], Any], Any]


class FakeReply:
    """The part of a Reply that worker functions look at."""

    id = 0
    cancelled = False

    def item(self, value: Any) -> None:
        raise AssertionError("knowledge workers do not stream")

    def result(self, value: Any = None) -> None:
        raise AssertionError("the function returns its result")

    def fail(self, error: LocalmindError) -> None:
        raise AssertionError("the function raises its errors")


class FakeCalls:
    """A WorkerCalls that runs functions one after another on a thread, through msgpack like the real one."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self.methods = dict(methods)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.broken: LocalmindError | None = None
        self._thread = ThreadPoolExecutor(1)

    async def call(self, method: str, params: Mapping[str, Any] | None = None, *, timeout: float | None = None) -> Any:
        arguments = msgspec.msgpack.decode(msgspec.msgpack.encode(dict(params or {})))
        self.calls.append((method, arguments))
        if self.broken is not None:
            raise self.broken
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._thread, self.methods[method], arguments, FakeReply())
        return msgspec.msgpack.decode(msgspec.msgpack.encode(result))

    def stream(self, method: str, params: Mapping[str, Any] | None = None) -> AsyncIterator[Any]:
        raise AssertionError("knowledge workers do not stream")

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


class ToyEmbedder:
    """Counts what it embeds, to show that nothing is embedded twice."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, params: dict[str, Any], reply: Any) -> bytes:
        if params["kind"] == "passage":
            self.texts += params["texts"]
        return b"".join(toy_vector(text).astype("<f4").tobytes() for text in params["texts"])

    def load(self, params: dict[str, Any], reply: Any) -> dict[str, int]:
        return {"dim": DIM, "max_tokens": 256}


class ToyVectors:
    """Chroma's calls on dictionaries; `exact` is the real one's."""

    def __init__(self) -> None:
        self.places: dict[tuple[str, str], dict[int, numpy.ndarray]] = {}

    def methods(self) -> dict[str, Method]:
        from localmind.knowledge.chroma_worker import VectorCalls

        names = ("open", "count", "add", "delete", "query", "ids", "drop", "close")
        return {name: getattr(self, name) for name in names} | {"exact": VectorCalls().exact}

    def _place(self, params: dict[str, Any]) -> dict[int, numpy.ndarray]:
        return self.places.setdefault((params["dir"], params["collection"]), {})

    def open(self, params: dict[str, Any], reply: Any) -> dict[str, int]:
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
