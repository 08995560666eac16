"""A context that turns texts into vectors instead of tokens: one sequence a text, pooled by llama.cpp.

It shares the weights of a Model with whatever else runs on them and has its own small compute graph. It decides
nothing: how texts are cut into batches and what a vector means is embed.py's business.
"""

from array import array
from collections.abc import Sequence
from typing import Any

import numpy
from llama_cpp import llama_cpp as native

from localmind.engine.llama.context import Batch
from localmind.engine.llama.library import errors, reason
from localmind.engine.llama.model import Model
from localmind.errors import InternalError, NoRoom

Vectors = numpy.ndarray[Any, numpy.dtype[numpy.float32]]


class EmbeddingContext:
    """For one thread. Raises NoRoom when it does not fit in memory."""

    def __init__(self, model: Model, *, n_tokens: int, n_texts: int, n_threads: int) -> None:
        """`n_tokens` in a batch, all texts together; at most `n_texts` of them."""
        params = native.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = n_tokens
        params.n_seq_max = n_texts
        params.n_threads = params.n_threads_batch = n_threads
        params.embeddings = True
        params.pooling_type = native.LLAMA_POOLING_TYPE_UNSPECIFIED
        params.kv_unified = True
        params.no_perf = True
        self.handle = self._open(model, params)
        if native.llama_pooling_type(self.handle) == native.LLAMA_POOLING_TYPE_NONE:
            # The file names no pooling: a chat model. The mean over all tokens is what is usual.
            native.llama_free(self.handle)
            params.pooling_type = native.LLAMA_POOLING_TYPE_MEAN
            self.handle = self._open(model, params)
        self.ranks = native.llama_pooling_type(self.handle) == native.LLAMA_POOLING_TYPE_RANK
        self.width = int(
            native.llama_model_n_cls_out(model.handle) if self.ranks else native.llama_model_n_embd_out(model.handle)
        )
        self.n_tokens = int(native.llama_n_ubatch(self.handle))
        self.n_texts = n_texts
        self._memory = native.llama_get_memory(self.handle)
        self._batch = Batch(n_tokens)

    def evaluate(self, texts: Sequence["array[int]"]) -> Vectors:
        """One row a text, not normalised. At most n_texts, together at most n_tokens, none empty."""
        batch = self._batch
        batch.reset()
        for slot, tokens in enumerate(texts):
            last = batch.add(tokens, position=0, slot=slot, output=True)
            batch.output[last + 1 - len(tokens) : last + 1] = 1  # pooling needs every token
        if self._memory:
            native.llama_memory_clear(self._memory, False)
        errors.clear()
        code = native.llama_decode(self.handle, batch.native)
        if code:
            raise InternalError(f"embedding failed (llama.cpp code {code}): {reason()}", hint="localmind doctor")
        rows = numpy.empty((len(texts), self.width), dtype=numpy.float32)
        for slot in range(len(texts)):
            pointer = native.llama_get_embeddings_seq(self.handle, slot)
            rows[slot] = numpy.ctypeslib.as_array(pointer, (self.width,))
        return rows

    def close(self) -> None:
        if self.handle:
            native.llama_free(self.handle)
            self.handle = None

    @staticmethod
    def _open(model: Model, params: Any) -> Any:
        errors.clear()
        handle = native.llama_init_from_model(model.handle, params)
        if not handle:
            raise NoRoom(f"no room for embedding {params.n_ctx} tokens at once: {reason()}")
        return handle


def is_causal(model: Model) -> bool:
    """Whether a token sees only those before it: a model that was made to write, and has a head for it."""
    return model.metadata(f"{model.metadata('general.architecture')}.attention.causal") != "false"


def rerank_template(model: Model) -> str | None:
    """The model's own prompt with `{query}` and `{document}`, if it has one."""
    text: bytes | None = native.llama_model_chat_template(model.handle, b"rerank")
    return text.decode("utf-8", "replace") if text else None


def pair_marks(model: Model) -> tuple[list[int], list[int], list[int]]:
    """Tokens before a query, between it and a document, and after that, as llama.cpp's server puts them."""
    vocab = model.vocab
    eos = native.llama_vocab_eos(vocab)
    if eos == native.LLAMA_TOKEN_NULL:
        eos = native.llama_vocab_sep(vocab)
    before = [native.llama_vocab_bos(vocab)] if native.llama_vocab_get_add_bos(vocab) else []
    end = [eos] if native.llama_vocab_get_add_eos(vocab) else []
    between = [*end, native.llama_vocab_sep(vocab)] if native.llama_vocab_get_add_sep(vocab) else end
    return before, list(between), end
