"""The daemon's view of the embedder: which model, and texts to vectors by way of the embed worker.

It names the model in every call, so a worker that was restarted in between needs nothing. It holds
no queue: small calls keep a question from waiting behind a folder.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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

    async def near(self, text: str, weights: Mapping[str, float], sketches: Sequence[bytes]) -> list[float]:
        """How near the words of a question come to those of each sketch. `weights`: by lower-case word."""
        params = self._params(text=text, weights=dict(weights), sketches=list(sketches))
        found: list[float] = await self._calls.call("near", params, timeout=TIMEOUT_S)
        return found

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
