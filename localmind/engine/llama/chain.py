"""C samplers over candidates that we choose: a chain of stages, a grammar, DRY's penalty.

Native code is handed a few candidates through arrays that are reused, instead of a vocabulary that it
copies for every token; which candidates those are is decided in sampling.py. All samplers of a context
share one `Candidates`, since they run on its one thread. C++ exceptions end the process here, so a
grammar only ever accepts what it has allowed before.
"""

import ctypes
import time
import weakref
from array import array
from collections.abc import Sequence
from typing import Any

import numpy
from llama_cpp import llama_cpp as native
from numpy.typing import NDArray

from localmind.engine.llama.context import Context
from localmind.engine.llama.model import Model
from localmind.errors import InvalidRequest

Ids = NDArray[numpy.int32]
Logits = NDArray[numpy.float32]

TOKEN_DATA = numpy.dtype([("id", numpy.int32), ("logit", numpy.float32), ("p", numpy.float32)])
"""llama_token_data."""

PATIENCE, PATIENCE_EACH = 0.2, 1e-5
"""CPU seconds of this thread for one call of a grammar, and for each candidate in it, 30 times what they take. More is
ambiguity that grows with every character, which no look at the rules finds in general; the next call would take some
times as long."""


class Candidates:
    """A llama_token_data_array of the vocabulary's size, filled through numpy."""

    def __init__(self, n_vocab: int) -> None:
        self._data = numpy.zeros(n_vocab, dtype=TOKEN_DATA)
        self._id, self._logit = self._data["id"], self._data["logit"]
        self._pointer = ctypes.cast(self._data.ctypes.data, native.llama_token_data_p)
        self._array = native.llama_token_data_array(data=self._pointer, size=0, selected=-1, sorted=False)
        self._reference = ctypes.byref(self._array)

    def apply(self, sampler: Any, ids: Ids, logits: Logits | float) -> None:
        """Let a C sampler work on these candidates."""
        count = len(ids)
        self._id[:count] = ids
        self._logit[:count] = logits
        self._array.data = self._pointer
        self._array.size = count
        self._array.selected = -1
        self._array.sorted = False
        native.llama_sampler_apply(sampler, self._reference)

    def selected(self) -> int:
        """The token that the last sampler chose, -1 when it chose none."""
        chosen: int = self._array.selected
        return int(self._id[chosen]) if chosen >= 0 else -1

    def logits(self, count: int) -> Logits:
        """What the last sampler made of the logits, if it kept their order. Valid until the next one."""
        return self._logit[:count]


class Workspace:
    """What the samplers of one context share. Belongs to the context's thread."""

    def __init__(self, model: Model) -> None:
        self.candidates = Candidates(model.n_vocab)
        self.every_token: Ids = numpy.arange(model.n_vocab, dtype=numpy.int32)
        self.probes, self.probes_complete = _single_characters(model)
        """Tokens of one ASCII character, and whether there is one for every printable one."""
        self._dry: dict[tuple[Any, ...], Any] = {}

    def dry(self, model: Model, key: tuple[Any, ...]) -> Any:
        """A fresh DRY sampler. Making one reads the whole vocabulary (23 ms for 49,152 tokens), a copy takes 0.1 ms."""
        if key not in self._dry:
            if len(self._dry) >= 8:
                native.llama_sampler_free(self._dry.pop(next(iter(self._dry))))
            multiplier, base, allowed, last_n, breakers = key
            texts = (ctypes.c_char_p * len(breakers))(*breakers)
            self._dry[key] = native.llama_sampler_init_dry(
                model.vocab, multiplier, base, allowed, last_n, texts, len(breakers)
            )
        return native.llama_sampler_clone(self._dry[key])

    def close(self) -> None:
        while self._dry:
            native.llama_sampler_free(self._dry.popitem()[1])


_workspaces: "weakref.WeakKeyDictionary[Context, Workspace]" = weakref.WeakKeyDictionary()


def workspace(context: Context, model: Model) -> Workspace:
    """The context's workspace, made at the first request."""
    found = _workspaces.get(context)
    if found is None:
        found = _workspaces[context] = Workspace(model)
        weakref.finalize(context, found.close)
    return found


def _single_characters(model: Model) -> tuple[Ids, bool]:
    """Tokenisers put spaces in front of a text's first word, hence several places to look for a token in."""
    found: dict[bytes, int] = {}
    for code in (9, 10, 13, *range(32, 127)):
        for before in ("", "\n", "0"):
            for token in model.tokenize(before + chr(code), add_special=False):
                if token_text(model, token) == bytes([code]):
                    found[bytes([code])] = token
    return numpy.array(sorted(found.values()), dtype=numpy.int32), len(found) == 98


def token_text(model: Model, token: int) -> bytes:
    """The bytes of a token, control tokens as their text, which is how a grammar reads them."""
    room = 64
    while True:
        buffer = ctypes.create_string_buffer(room)
        count = native.llama_token_to_piece(model.vocab, token, buffer, room, 0, True)
        if count >= 0:
            return buffer.raw[:count]
        room = -count


class SamplerChain:
    """A chain of C samplers that ends in a draw; which stages and in what order is decided in sampling.py."""

    def __init__(self, work: Workspace, n_vocab: int) -> None:
        self._candidates = work.candidates
        self._n_vocab = n_vocab
        self._chain = native.llama_sampler_chain_init(native.llama_sampler_chain_default_params())

    def top_k(self, k: int) -> None:
        self._add(native.llama_sampler_init_top_k(k))

    def typical(self, p: float) -> None:
        self._add(native.llama_sampler_init_typical(p, 1))

    def top_p(self, p: float) -> None:
        self._add(native.llama_sampler_init_top_p(p, 1))

    def min_p(self, p: float) -> None:
        self._add(native.llama_sampler_init_min_p(p, 1))

    def xtc(self, probability: float, threshold: float, seed: int) -> None:
        self._add(native.llama_sampler_init_xtc(probability, threshold, 1, seed))

    def temperature(self, t: float) -> None:
        self._add(native.llama_sampler_init_temp(t))

    def mirostat(self, version: int, tau: float, eta: float, seed: int) -> None:
        if version == 1:
            self._add(native.llama_sampler_init_mirostat(self._n_vocab, seed, tau, eta, 100))
        else:
            self._add(native.llama_sampler_init_mirostat_v2(seed, tau, eta))

    def draw(self, seed: int) -> None:
        self._add(native.llama_sampler_init_dist(seed))

    def choose(self, ids: Ids, logits: Logits) -> int:
        """The token that the chain draws from these candidates."""
        self._candidates.apply(self._chain, ids, logits)
        return self._candidates.selected()

    def close(self) -> None:
        if self._chain:
            native.llama_sampler_free(self._chain)
            self._chain = None

    def _add(self, sampler: Any) -> None:
        native.llama_sampler_chain_add(self._chain, sampler)


class Grammar:
    """A grammar at some place in a text. Raises InvalidRequest for text that the native parser does not take."""

    def __init__(
        self, work: Workspace, model: Model, gbnf: str, root: str = "root", *, printable_ascii: bool = False
    ) -> None:
        """`printable_ascii`: every character that the grammar asks for can be one of those (see grammar.judge)."""
        self._work = work
        self._probes_decide = printable_ascii and work.probes_complete
        self._ends = frozenset(model.end_tokens)
        self._end = numpy.array(sorted(model.end_tokens)[:1], dtype=numpy.int32)
        self._sampler = native.llama_sampler_init_grammar(model.vocab, gbnf.encode(), root.encode())
        if not self._sampler:
            raise InvalidRequest("grammar: llama.cpp cannot parse it")

    def allowed(self, ids: Ids) -> NDArray[numpy.bool_]:
        """Which of the tokens may come next."""
        began = time.thread_time()
        self._work.candidates.apply(self._sampler, ids, 0.0)
        _check_time(began, len(ids))
        return numpy.isfinite(self._work.candidates.logits(len(ids)))

    def allows(self, token: int) -> bool:
        return bool(self.allowed(self._work.every_token[token : token + 1])[0])

    def accept(self, token: int) -> None:
        """Go on behind a token that is allowed and does not end the answer."""
        if token not in self._ends:
            began = time.thread_time()
            native.llama_sampler_accept(self._sampler, token)
            _check_time(began)

    @property
    def may_end(self) -> bool:
        """Whether an end-of-generation token is allowed."""
        return bool(len(self._end)) and bool(self.allowed(self._end)[0])

    @property
    def ended(self) -> bool:
        """Whether nothing else is."""
        if not self.may_end or self.allowed(self._work.probes).any():
            return False
        if self._probes_decide:
            return True
        every = self._work.every_token
        return set(every[self.allowed(every)].tolist()) <= self._ends

    def close(self) -> None:
        if self._sampler:
            native.llama_sampler_free(self._sampler)
            self._sampler = None


def _check_time(began: float, candidates: int = 1) -> None:
    if time.thread_time() - began > PATIENCE + PATIENCE_EACH * candidates:
        raise InvalidRequest("grammar: too ambiguous, it can be followed in ever more ways")


class Dry:
    """DRY's penalty for tokens that would continue a repetition; only tokens of the window can."""

    def __init__(
        self,
        work: Workspace,
        model: Model,
        *,
        multiplier: float,
        base: float,
        allowed_length: int,
        last_n: int,
        breakers: Sequence[str],
    ) -> None:
        self._work = work
        texts = tuple(text.encode("utf-8", "replace") for text in breakers)
        self._sampler = work.dry(model, (multiplier, base, allowed_length, last_n, texts))

    def penalties(self, ids: Ids) -> Logits:
        """What is to be added to the logits of these tokens."""
        self._work.candidates.apply(self._sampler, ids, 0.0)
        return self._work.candidates.logits(len(ids))

    def accept(self, tokens: "array[int] | Sequence[int]") -> None:
        for token in tokens:
            native.llama_sampler_accept(self._sampler, token)

    def close(self) -> None:
        if self._sampler:
            native.llama_sampler_free(self._sampler)
            self._sampler = None
