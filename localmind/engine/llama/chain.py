"""A chain of C samplers."""

from collections.abc import Sequence
from typing import Any

from llama_cpp import llama_cpp as native

from localmind.engine.llama.context import Context


class SamplerChain:
    """A chain of C samplers; which stages and in what order is decided in sampling.py."""

    def __init__(self, context: Context, n_vocab: int) -> None:
        self._context = context.handle
        self._n_vocab = n_vocab
        self._chain = native.llama_sampler_chain_init(native.llama_sampler_chain_default_params())

    def ban(self, tokens: Sequence[int]) -> None:
        biases = (native.llama_logit_bias * len(tokens))(*((token, float("-inf")) for token in tokens))
        self._add(native.llama_sampler_init_logit_bias(self._n_vocab, len(tokens), biases))

    def greedy(self) -> None:
        self._add(native.llama_sampler_init_greedy())

    def top_k(self, k: int) -> None:
        self._add(native.llama_sampler_init_top_k(k))

    def top_p(self, p: float) -> None:
        self._add(native.llama_sampler_init_top_p(p, 1))

    def min_p(self, p: float) -> None:
        self._add(native.llama_sampler_init_min_p(p, 1))

    def temperature(self, t: float) -> None:
        self._add(native.llama_sampler_init_temp(t))

    def draw(self, seed: int) -> None:
        self._add(native.llama_sampler_init_dist(seed))

    def sample(self, index: int) -> int:
        """Choose a token from the logits of one batch row, and remember it."""
        return int(native.llama_sampler_sample(self._chain, self._context, index))

    finished = False

    def logprobs(self, index: int, token: int) -> None:
        return None

    def close(self) -> None:
        if self._chain:
            native.llama_sampler_free(self._chain)
            self._chain = None

    def _add(self, sampler: Any) -> None:
        native.llama_sampler_chain_add(self._chain, sampler)
