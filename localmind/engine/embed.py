"""Embeddings and rerank scores: many texts as the sequences of one batch, pooled by llama.cpp.

An Embedder has a small context of its own on weights that may serve chats at the same time, so it takes no cells from
them. A text must fit one batch, for pooling looks at all of its tokens at once: one that is too long is refused with
both numbers, never cut. Any thread may call; calls take turns.
"""

import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence

import numpy

from localmind.engine.llama import Model
from localmind.engine.llama.embedding import EmbeddingContext, Vectors, is_causal, pair_marks, rerank_template
from localmind.errors import Cancelled, ContextTooLong, InvalidRequest, ModelFileBroken, ShuttingDown

TEXTS = 16
"""Sequences in a batch. More texts than fit are several batches."""
TEXTS_WITH_STATE = 4
"""For recurrent and hybrid models, where every sequence reserves a state."""

MOST_TOKENS, LEAST_TOKENS = 2048, 512
CANARY = 8
"""Tokens that it computes before anybody's text."""

HEAD_BYTES = 1 << 30
"""A model made to write computes logits for each token that it embeds, 4 bytes twice for each word it knows."""


class Embedder:
    """Raises NoRoom when its context does not fit in memory, ModelFileBroken for damaged weights."""

    def __init__(self, model: Model, *, n_threads: int, n_tokens: int | None = None) -> None:
        """`n_tokens` is the longest text; None takes what the model was trained for, within what memory allows."""
        self._model = model
        self._lock = threading.Lock()
        self._began = 0.0
        self._closed = False
        self._context = EmbeddingContext(
            model,
            n_tokens=n_tokens or _longest(model),
            n_texts=TEXTS_WITH_STATE if model.has_state_per_sequence else TEXTS,
            n_threads=n_threads,
        )
        self.n_tokens = min(self._context.n_tokens, n_tokens or _longest(model))
        self.reranks = self._context.ranks
        self._template = rerank_template(model) if self.reranks else None
        if not numpy.isfinite(
            self._evaluate([array("i", [0] * CANARY)], "text")
        ).all():  # the canary, as for a chat model
            self.close()
            raise ModelFileBroken(
                f"{model.path.name} loads but computes no numbers: its weights are damaged",
                hint="localmind models verify",
            )

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return self._context.width

    def busy_seconds(self) -> float:
        """How long the batch under way has run; 0.0 between batches."""
        began = self._began
        return time.monotonic() - began if began else 0.0

    def embed(
        self, texts: Sequence["array[int]"], *, normalize: bool = True, wanted: Callable[[], bool] = lambda: True
    ) -> Vectors:
        """A row a text, in their order; of length 1 if `normalize`. The texts are tokens, special ones included.

        `wanted` is asked before each batch; False raises Cancelled.
        """
        if self.reranks:
            raise InvalidRequest(f"{self._model.path.name} is a reranker and makes no embeddings")
        vectors = self._evaluate(texts, "text", wanted)
        if normalize:
            lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
            vectors /= numpy.where(lengths > 0, lengths, 1)
        return vectors

    def rerank(self, query: str, documents: Sequence[str], *, wanted: Callable[[], bool] = lambda: True) -> list[float]:
        """How well each document answers the query, as the model's own number: higher is better, no fixed range."""
        if not self.reranks:
            raise InvalidRequest(
                f"{self._model.path.name} cannot rerank: its file names no rank pooling",
                hint="load a reranker, such as bge-reranker-v2-m3",
            )
        scores = self._evaluate(self.pairs(query, documents), "document", wanted)
        return [float(score) for score in scores[:, 0]]

    def pairs(self, query: str, documents: Sequence[str]) -> list["array[int]"]:
        """The prompts of a rerank: the model's template, or else BOS query EOS SEP document EOS."""
        tokenize = self._model.tokenize
        if self._template is not None:
            before, _, after = self._template.partition("{document}")
            texts = (before.replace("{query}", query) + text + after.replace("{query}", query) for text in documents)
            return [tokenize(text, add_special=False) for text in texts]
        begin, between, end = (array("i", marks) for marks in pair_marks(self._model))
        asked = tokenize(query, add_special=False, parse_special=False)
        told = (tokenize(text, add_special=False, parse_special=False) for text in documents)
        return [begin + asked + between + tokens + end for tokens in told]

    def close(self) -> None:
        """After the batch under way; who has batches left gets ShuttingDown."""
        with self._lock:
            self._closed = True
            self._context.close()

    def _evaluate(self, texts: Sequence["array[int]"], noun: str, wanted: Callable[[], bool] = lambda: True) -> Vectors:
        for number, tokens in enumerate(texts, 1):
            if not tokens:
                raise InvalidRequest(f"{noun} {number} is empty")
            if len(tokens) > self.n_tokens:
                raise ContextTooLong(
                    f"{noun} {number} has {len(tokens)} tokens and {self._model.path.name} reads "
                    f"at most {self.n_tokens} at once",
                    hint="split it into shorter ones",
                    numbers={"n_prompt_tokens": len(tokens), "n_ctx": self.n_tokens},
                )
        vectors = numpy.empty((len(texts), self.width), dtype=numpy.float32)
        for batch in _batches([len(tokens) for tokens in texts], self._context.n_tokens, self._context.n_texts):
            if not wanted():
                raise Cancelled("the request was cancelled")
            with self._lock:  # between batches others get their turn
                if self._closed:
                    raise ShuttingDown("the engine is stopping")
                self._began = time.monotonic()
                try:
                    vectors[batch] = self._context.evaluate([texts[index] for index in batch])
                finally:
                    self._began = 0.0
        return vectors


def only_embeds(model: Model) -> bool:
    """An encoder such as BERT. Never decode it in a chat's Context: llama.cpp aborts the process."""
    return not is_causal(model)


def _longest(model: Model) -> int:
    trained = model.n_ctx_train or MOST_TOKENS
    if not is_causal(model):
        return min(trained, MOST_TOKENS)
    return min(trained, MOST_TOKENS, max(LEAST_TOKENS, HEAD_BYTES // (8 * model.n_vocab)))


def _batches(lengths: Sequence[int], n_tokens: int, n_texts: int) -> Iterator[list[int]]:
    """Indices of the texts of each batch, texts of like length together."""
    batch: list[int] = []
    used = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if batch and (len(batch) == n_texts or used + lengths[index] > n_tokens):
            yield batch
            batch, used = [], 0
        batch.append(index)
        used += lengths[index]
    if batch:
        yield batch
