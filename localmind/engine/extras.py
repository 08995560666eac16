"""What a loaded model does beside chat, as calls of the worker: embed, rerank, and prompts for infill.

Each part is made when it is first asked for, since most models are never asked: an embedder takes scratch memory, and
infill needs tokens that most vocabularies lack. Calls come from any thread, those that compute from short-lived ones
(errands.py); none of them touches the chat's context.
"""

import threading
from array import array
from collections.abc import Callable
from typing import Any

import msgspec
import numpy

from localmind.engine.embed import Embedder
from localmind.engine.fim import FimPrompt, Infill
from localmind.engine.llama import Model
from localmind.errors import InvalidRequest, ShuttingDown

FIM_ROOM = 512
"""Tokens kept free for what is filled in when a request does not say how many it wants."""


class EmbedParams(msgspec.Struct, frozen=True):
    """One of the two."""

    texts: tuple[str, ...] = ()
    tokens: tuple[tuple[int, ...], ...] = ()
    normalize: bool = True


class RerankParams(msgspec.Struct, frozen=True):
    query: str
    documents: tuple[str, ...]


class Extras:
    """Of one model; close it before the model."""

    def __init__(self, model: Model, *, n_threads: int) -> None:
        self._model = model
        self._n_threads = n_threads
        self._lock = threading.Lock()
        self._closed = False
        self._embedder: Embedder | None = None
        self._infill: Infill | None = None

    def embed(self, params: dict[str, Any], wanted: Callable[[], bool] = lambda: True) -> dict[str, Any]:
        """`{"vectors": [float32 little-endian, …], "tokens": number evaluated}`."""
        asked = msgspec.convert(params, EmbedParams)
        if bool(asked.texts) == bool(asked.tokens):
            raise InvalidRequest("give either texts or tokens")
        if any(not 0 <= token < self._model.n_vocab for tokens in asked.tokens for token in tokens):
            raise InvalidRequest(f"a token id is outside the vocabulary of {self._model.n_vocab}")
        # A text that spells a control token is text: it comes from a document, not from us.
        texts = [self._model.tokenize(text, add_special=True, parse_special=False) for text in asked.texts]
        texts = texts or [array("i", tokens) for tokens in asked.tokens]
        vectors = self.embedder.embed(texts, normalize=asked.normalize, wanted=wanted).astype("<f4", copy=False)
        return {"vectors": [numpy.ascontiguousarray(row).tobytes() for row in vectors], "tokens": sum(map(len, texts))}

    def rerank(self, params: dict[str, Any], wanted: Callable[[], bool] = lambda: True) -> dict[str, Any]:
        """`{"scores": [one a document, in their order]}`."""
        asked = msgspec.convert(params, RerankParams)
        return {"scores": self.embedder.rerank(asked.query, asked.documents, wanted=wanted)}

    def infill(
        self, prefix: str, suffix: str, extra: tuple[tuple[str, str], ...], *, n_ctx: int, max_tokens: int | None
    ) -> FimPrompt:
        """The prompt for a stream of `n_ctx` tokens, with room left for the answer, at most half of it."""
        with self._lock:
            self._infill = self._infill or Infill(self._model)
            made = self._infill
        answer = min(FIM_ROOM if max_tokens is None else max_tokens, n_ctx // 2)
        return made.prompt(prefix, suffix, extra, room=n_ctx - max(1, answer))

    @property
    def reranks(self) -> bool:
        return bool(self.embedder.reranks)

    def busy_seconds(self) -> float:
        """Of the batch of embeddings under way."""
        embedder = self._embedder
        return embedder.busy_seconds() if embedder is not None else 0.0

    @property
    def embedder(self) -> Embedder:
        with self._lock:
            if self._closed:
                raise ShuttingDown("the engine is stopping")
            if self._embedder is None:
                self._embedder = Embedder(self._model, n_threads=self._n_threads)
            return self._embedder

    def rest(self) -> None:
        """Give the embedder's memory back; it is made again when somebody asks."""
        with self._lock:
            if self._embedder is not None:
                self._embedder.close()
                self._embedder = None

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._embedder is not None:
                self._embedder.close()
                self._embedder = None
