"""The daemon's view of the embedder: which model, and texts to vectors by way of the embed worker.

It names the model in every call, so a worker that was restarted in between needs nothing. It holds
no queue: small calls keep a question from waiting behind a folder.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from localmind.knowledge.ranking import Hits, Ranked
from localmind.knowledge.scope import Scope
from localmind.workers.process import WorkerCalls

TIMEOUT_S = 60.0


@dataclass(slots=True, frozen=True)
class EmbedModel:
    """An installed embedder. `name` is part of the identity of every stored vector."""

    name: str
    model_dir: Path
    """Holds config.json, tokenizer.json and model.safetensors."""
    cache_dir: Path
    """Where the converted model is kept; may be deleted at any time."""
    threads: int = 2

    @property
    def tokenizer(self) -> Path:
        return self.model_dir / "tokenizer.json"

    def tokens(self) -> str:
        """Names the tokenizer by its content: two embedders that count alike need no document cut anew."""
        try:
            return f"tokens-{hashlib.blake2b(self.tokenizer.read_bytes(), digest_size=6).hexdigest()}"
        except OSError:
            return self.name


class Embedder:
    """Calls the embed worker for one model."""

    def __init__(self, calls: WorkerCalls, model: EmbedModel) -> None:
        self.model = model
        self._calls = calls

    async def embed(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> list[bytes]:
        """One unit vector a text, float32 little-endian."""
        data: bytes = await self._calls.call("embed", self._params(texts=list(texts), kind=kind), timeout=TIMEOUT_S)
        width = len(data) // len(texts)
        return [data[start : start + width] for start in range(0, len(data), width)]

    async def index(self, texts: Sequence[str]) -> list[tuple[bytes, bytes]]:
        """(unit vector, sketch of its words) a text; see late.py."""
        data, *sketches = await self._calls.call("index", self._params(texts=list(texts)), timeout=TIMEOUT_S)
        width = len(data) // len(texts)
        return [(data[at * width : (at + 1) * width], one) for at, one in enumerate(sketches)]

    async def ask(self, question: str) -> bytes:
        """The vector of a question, at the beginning of a search: the ranking follows soon."""
        params = self._params(texts=[question], kind="query", searching=True)
        data: bytes = await self._calls.call("embed", params, timeout=TIMEOUT_S)
        return data

    async def inside(self, database: Path, scope: Scope, vector: bytes, most: int) -> list[tuple[int, float]] | None:
        """(chunk, similarity) of all chunks of a scope, best first; None if there are more than `most`."""
        params = {"database": str(database), "scope": msgspec.to_builtins(scope), "model": self.model.name}
        found: list[tuple[int, float]] | None = await self._calls.call(
            "inside", params | {"vector": vector, "most": most, "searching": True}, timeout=TIMEOUT_S
        )
        return found

    async def rank(self, database: Path, hits: Hits, vector: bytes) -> Ranked:
        """One order of what both halves of a search found, best first."""
        params = self._params(
            database=str(database), hits=msgspec.to_builtins(hits), vector=vector, model=self.model.name
        )
        return msgspec.convert(await self._calls.call("rank", params, timeout=TIMEOUT_S), Ranked)

    async def count(self, texts: Sequence[str]) -> int:
        """Tokens that the model reads of these texts together."""
        return sum(await self._calls.call("count_tokens", self._params(texts=list(texts)), timeout=TIMEOUT_S))

    async def load(self) -> dict[str, int]:
        """Load the model now: `{dim, max_tokens}`. The first time converts it (about a second)."""
        loaded: dict[str, int] = await self._calls.call("load", self._params(), timeout=TIMEOUT_S * 5)
        return loaded

    def _params(self, **more: Any) -> dict[str, Any]:
        model = self.model
        return {"model_dir": str(model.model_dir), "cache_dir": str(model.cache_dir), "threads": model.threads} | more
