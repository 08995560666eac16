"""The only file that touches llama.cpp: Model, Context, Batch and SamplerChain over its C functions.

Everything here is thin: one Python call is one or two native ones, arrays are filled through numpy
views, and nothing decides anything. It is written on the low-level module of llama-cpp-python, never
on its `Llama` class, which hides the batch. A Context, its Batch and its chains belong to one
thread; a Model's tokeniser may be used from any, because the vocabulary is never written.
"""

import ctypes
import os
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy
from llama_cpp import llama_cpp as native

from localmind.errors import Cancelled, InvalidRequest, ModelFileBroken
from localmind.machine.plan import Plan

KV_TYPES = {"f16": native.GGML_TYPE_F16, "q8_0": native.GGML_TYPE_Q8_0, "q4_0": native.GGML_TYPE_Q4_0}
FLASH_ATTN = {
    None: native.LLAMA_FLASH_ATTN_TYPE_AUTO,
    True: native.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    False: native.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}
MAGIC = b"GGUF"
LOG_ERROR, LOG_CONTINUED = 4, 5  # enum ggml_log_level of ggml.h; the table in llama_cpp/_logger.py is an older one

_errors: deque[str] = deque(maxlen=20)
_last_level = 0


def _on_log(level: int, text: bytes, _data: Any) -> None:
    """Keep errors for our own messages and print them, which the supervisor keeps; drop everything else."""
    global _last_level
    level = _last_level if level == LOG_CONTINUED else level
    _last_level = level
    if level == LOG_ERROR:
        _errors.append(text.decode("utf-8", "replace").strip())
        os.write(2, text)


_log_callback = native.llama_log_callback(_on_log)  # kept here: the library holds a pointer to it


def start() -> None:
    """Initialise the library once a process, and quieten it."""
    native.llama_log_set(_log_callback, ctypes.c_void_p(0))
    native.llama_backend_init()


def system_info() -> str:
    """What the build can use: `CPU : SSE3 = 1 | AVX512 = 1 | AMX_INT8 = 1 | ...`."""
    text: bytes = native.llama_print_system_info()
    return text.decode("utf-8", "replace").strip()


class Model:
    """Weights and vocabulary. Raises ModelFileBroken for a file that is not a whole GGUF model."""

    def __init__(self, path: Path, plan: Plan, progress: Callable[[float], bool]) -> None:
        """`progress` gets 0..1 and returns False to abandon the load, which then raises Cancelled."""
        self.path = path
        _check_magic(path)
        params = native.llama_model_default_params()
        params.n_gpu_layers = plan.n_gpu_layers
        params.load_mode = native.LLAMA_LOAD_MODE_AUTO if plan.use_mmap else native.LLAMA_LOAD_MODE_NONE
        params.use_extra_bufts = plan.use_extra_bufts
        wanted = True

        def on_progress(done: float, _data: Any) -> bool:
            nonlocal wanted
            wanted = wanted and progress(done)
            return wanted

        params.progress_callback = native.llama_progress_callback(on_progress)
        _errors.clear()
        self.handle = native.llama_model_load_from_file(os.fsencode(path), params)
        if not self.handle:
            if not wanted:
                raise Cancelled("loading was cancelled")
            raise ModelFileBroken(f"llama.cpp cannot load {path.name}: {_reason()}", hint="localmind models verify")
        self.vocab = native.llama_model_get_vocab(self.handle)
        self.n_vocab: int = native.llama_vocab_n_tokens(self.vocab)
        self._pieces: dict[int, bytes] = {}

    def close(self) -> None:
        if self.handle:
            native.llama_model_free(self.handle)
            self.handle = None

    @property
    def n_ctx_train(self) -> int:
        return int(native.llama_model_n_ctx_train(self.handle))

    @property
    def n_params(self) -> int:
        return int(native.llama_model_n_params(self.handle))

    @property
    def size_bytes(self) -> int:
        return int(native.llama_model_size(self.handle))

    @property
    def has_state_per_sequence(self) -> bool:
        """Recurrent and hybrid models keep a state for every possible sequence, so slots cost memory there."""
        return bool(native.llama_model_is_recurrent(self.handle) or native.llama_model_is_hybrid(self.handle))

    @property
    def description(self) -> str:
        buffer = ctypes.create_string_buffer(256)
        native.llama_model_desc(self.handle, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def chat_template(self) -> str | None:
        text: bytes | None = native.llama_model_chat_template(self.handle, None)
        return text.decode("utf-8", "replace") if text else None

    def metadata(self, key: str) -> str | None:
        """One value of the GGUF header as text, or None."""
        buffer = ctypes.create_string_buffer(1024)
        length = native.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if length >= 0 else None

    @property
    def adds_bos(self) -> bool:
        return bool(native.llama_vocab_get_add_bos(self.vocab))

    @cached_property
    def bos_text(self) -> str:
        return self._special_text(native.llama_vocab_bos(self.vocab))

    @cached_property
    def eos_text(self) -> str:
        return self._special_text(native.llama_vocab_eos(self.vocab))

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """All end-of-generation tokens; 15 ms for 49,152 tokens, hence once."""
        return frozenset(t for t in range(self.n_vocab) if native.llama_vocab_is_eog(self.vocab, t))

    @cached_property
    def control_texts(self) -> tuple[str, ...]:
        """How control tokens such as `<|im_end|>` are written."""
        control = (t for t in range(self.n_vocab) if native.llama_vocab_is_control(self.vocab, t))
        return tuple(text for text in map(self._special_text, control) if text)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool = True) -> "array[int]":
        """Token ids of `text`. `add_special` adds BOS and EOS where the model wants them."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8  # a token is at least a byte, plus BOS, EOS and a space before the first word
        while True:
            ids = numpy.empty(room, dtype=numpy.int32)
            pointer = ids.ctypes.data_as(native.llama_token_p)
            count = native.llama_tokenize(self.vocab, data, len(data), pointer, room, add_special, parse_special)
            if count >= 0:
                result = array("i")
                result.frombytes(ids[:count].tobytes())
                return result
            if -count <= room:
                raise InvalidRequest("the text is too long to be tokenised")
            room = -count

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of tokens, control tokens included as text. Raises InvalidRequest for an id out of range."""
        if any(not 0 <= token < self.n_vocab for token in tokens):
            raise InvalidRequest(f"a token id is outside the vocabulary of {self.n_vocab}")
        ids = (native.llama_token * len(tokens))(*tokens)
        room = 16 * len(tokens) + 16
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = native.llama_detokenize(self.vocab, ids, len(tokens), buffer, room, False, True)
            if count >= 0:
                return buffer.raw[:count].decode("utf-8", "replace")
            room = -count

    def piece(self, token: int) -> bytes:
        """The bytes of one sampled token; control tokens are empty. Only for the thread that decodes."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._piece(token, special=False)
        return piece

    def _special_text(self, token: int) -> str:
        return self._piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    def _piece(self, token: int, *, special: bool) -> bytes:
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = native.llama_token_to_piece(self.vocab, token, buffer, room, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            room = -count


class Batch:
    """The arrays of a llama_batch as numpy views: a run of tokens is written in one assignment per array."""

    def __init__(self, capacity: int) -> None:
        self.token = numpy.zeros(capacity, dtype=numpy.int32)
        self.position = numpy.zeros(capacity, dtype=numpy.int32)
        self.slot = numpy.zeros(capacity, dtype=numpy.int32)
        self.output = numpy.zeros(capacity, dtype=numpy.int8)
        # llama.cpp wants a pointer to a list of sequence ids for each token; ours all have exactly one.
        self._one = numpy.ones(capacity, dtype=numpy.int32)
        self._slots = self.slot.ctypes.data + 4 * numpy.arange(capacity, dtype=numpy.uintp)
        self._positions = numpy.arange(capacity, dtype=numpy.int32)
        self.native = native.llama_batch(
            n_tokens=0,
            token=self.token.ctypes.data_as(ctypes.POINTER(native.llama_token)),
            embd=None,
            pos=self.position.ctypes.data_as(ctypes.POINTER(native.llama_pos)),
            n_seq_id=self._one.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            seq_id=self._slots.ctypes.data_as(ctypes.POINTER(ctypes.POINTER(native.llama_seq_id))),
            logits=self.output.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def reset(self) -> None:
        self.native.n_tokens = 0

    def add(self, tokens: "array[int]", *, position: int, slot: int, output: bool) -> int:
        """Append a run at consecutive positions; `output` asks for logits of its last. Returns the last's index."""
        first: int = self.native.n_tokens
        end = first + len(tokens)
        self.token[first:end] = tokens
        numpy.add(self._positions[: len(tokens)], position, out=self.position[first:end])
        self.slot[first:end] = slot
        self.output[first:end] = 0
        self.output[end - 1] = output
        self.native.n_tokens = end
        return end - 1


class Context:
    """The KV memory and the compute graph. Raises InvalidRequest when they do not fit in memory."""

    def __init__(self, model: Model, plan: Plan, *, n_slots: int) -> None:
        params = native.llama_context_default_params()
        params.n_ctx = plan.n_ctx or model.n_ctx_train
        params.n_batch = plan.n_batch
        params.n_ubatch = plan.n_ubatch
        params.n_seq_max = n_slots
        params.n_outputs_max = n_slots  # one row of logits a sequence; the default reserves n_batch rows
        params.n_threads = plan.n_threads
        params.n_threads_batch = plan.n_threads_batch
        params.flash_attn_type = FLASH_ATTN[plan.flash_attn]
        params.type_k = params.type_v = KV_TYPES[plan.kv_type]
        params.kv_unified = True
        params.no_perf = True
        _errors.clear()
        self.handle = native.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise InvalidRequest(
                f"no room for a context of {params.n_ctx} tokens ({plan.kv_type}): {_reason()}",
                hint="set `context` in settings.toml lower, or LOCALMIND_CONTEXT",
            )
        self._memory = native.llama_get_memory(self.handle)
        self._n_vocab = model.n_vocab
        self.n_ctx: int = native.llama_n_ctx(self.handle)
        self.n_batch: int = native.llama_n_batch(self.handle)

    def close(self) -> None:
        if self.handle:
            native.llama_free(self.handle)
            self.handle = None

    def decode(self, batch: Batch) -> int:
        """llama_decode: 0 done · 1 no cells · 2 aborted · -1 invalid batch · below -1 failed."""
        return int(native.llama_decode(self.handle, batch.native))

    def remove(self, slot: int, start: int = 0) -> bool:
        """Remove a slot's cells from position `start` on. False if this memory cannot cut there."""
        return bool(native.llama_memory_seq_rm(self._memory, slot, start, -1))

    def clear(self) -> None:
        native.llama_memory_clear(self._memory, True)

    def logits(self, index: int) -> Any:
        """A float32 view of one row's logits, valid until the next decode."""
        return numpy.ctypeslib.as_array(native.llama_get_logits_ith(self.handle, index), (self._n_vocab,))


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

    def close(self) -> None:
        if self._chain:
            native.llama_sampler_free(self._chain)
            self._chain = None

    def _add(self, sampler: Any) -> None:
        native.llama_sampler_chain_add(self._chain, sampler)


def _check_magic(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as problem:
        raise ModelFileBroken(f"cannot read {path}: {problem.strerror}", hint="localmind models verify") from problem
    if magic != MAGIC:
        raise ModelFileBroken(f"{path.name} is not a GGUF file", hint="localmind models verify")


def _reason() -> str:
    """The first error that llama.cpp logged since it was last asked for something, without its function's name."""
    line = next(iter(_errors), "it gives no reason")
    return line.split(": ", 1)[-1]
