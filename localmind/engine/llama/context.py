"""The KV memory with its compute graph, and the batch that feeds it."""

import ctypes
import os
from array import array
from typing import Any

import numpy
from llama_cpp import llama_cpp as native

from localmind.engine.llama.library import errors, reason
from localmind.engine.llama.model import Model
from localmind.errors import ModelFileBroken, NoRoom
from localmind.machine.plan import Plan

_strlen = (ctypes.cdll.msvcrt if os.name == "nt" else ctypes.CDLL(None)).strlen
INTERRUPTED = native.ggml_abort_callback(ctypes.cast(_strlen, ctypes.c_void_p).value)
"""Asked by llama.cpp before each node of a graph: whether the byte that it is given is set. A function in Python would
take the GIL thousands of times a step; C's strlen answers 0 for "" and 1 for "1", and takes nothing."""

KV_TYPES = {"f16": native.GGML_TYPE_F16, "q8_0": native.GGML_TYPE_Q8_0, "q4_0": native.GGML_TYPE_Q4_0}
FLASH_ATTN = {
    None: native.LLAMA_FLASH_ATTN_TYPE_AUTO,
    True: native.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    False: native.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}


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
    """The KV memory and the compute graph. Raises NoRoom when they do not fit in memory."""

    def __init__(self, model: Model, plan: Plan, *, n_slots: int, n_outputs: int) -> None:
        """`n_slots` sequences at once, `n_outputs` rows of logits a step (4 × vocabulary bytes each)."""
        params = native.llama_context_default_params()
        params.n_ctx = plan.n_ctx or model.n_ctx_train
        params.n_batch = plan.n_batch
        params.n_ubatch = plan.n_ubatch
        params.n_seq_max = n_slots
        params.n_outputs_max = n_outputs  # the default reserves n_batch rows
        params.n_threads = plan.n_threads
        params.n_threads_batch = plan.n_threads_batch
        params.flash_attn_type = FLASH_ATTN[plan.flash_attn]
        params.type_k = params.type_v = KV_TYPES[plan.kv_type]
        params.kv_unified = True
        params.no_perf = True
        if plan.n_ctx_seq > model.n_ctx_train:
            _stretch(params, model, plan.n_ctx_seq)
        errors.clear()
        self.handle = native.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise NoRoom(
                f"no room for a context of {params.n_ctx} tokens ({plan.kv_type}): {reason()}",
                hint="set `context` in settings.toml lower, or LOCALMIND_CONTEXT",
            )
        self._memory = native.llama_get_memory(self.handle)
        if not self._memory:  # decoding would end the process: there are not so many outputs as an encoder wants
            self.close()
            raise ModelFileBroken(
                f"{model.path.name} says that it writes, and is of a kind ({model.description}) that only reads",
                hint="localmind models verify",
            )
        self._interrupted = (ctypes.c_char * 2)()
        native.llama_set_abort_callback(self.handle, INTERRUPTED, ctypes.addressof(self._interrupted))
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

    def interrupt(self, now: bool) -> None:
        """From any thread: let `decode` give up, within a node of its graph on a CPU; False takes it back."""
        self._interrupted[0] = b"1" if now else b"\0"

    def remove(self, slot: int, start: int = 0) -> bool:
        """Remove a slot's cells from position `start` on. False if this memory cannot cut there."""
        return bool(native.llama_memory_seq_rm(self._memory, slot, start, -1))

    def copy(self, source: int, target: int, end: int) -> None:
        """Let `target` share the cells of `source` before position `end`; microseconds, no cell is copied."""
        native.llama_memory_seq_cp(self._memory, source, target, 0, end)

    def last_position(self, slot: int) -> int:
        """The largest position in a slot, -1 when it is empty."""
        return int(native.llama_memory_seq_pos_max(self._memory, slot))

    def clear(self) -> None:
        native.llama_memory_clear(self._memory, True)

    def state_size(self, slot: int) -> int:
        """Bytes that `save` would return."""
        return int(native.llama_state_seq_get_size(self.handle, slot))

    def save(self, slot: int) -> "numpy.ndarray[Any, numpy.dtype[numpy.uint8]]":
        """All of a slot's cells as bytes, a whole state that `restore` takes; memcpy speed on a CPU."""
        size = self.state_size(slot)
        data = numpy.empty(size, dtype=numpy.uint8)
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        written = native.llama_state_seq_get_data(self.handle, pointer, size, slot)
        return data[:written]

    def restore(self, slot: int, data: "numpy.ndarray[Any, numpy.dtype[numpy.uint8]]") -> bool:
        """Put saved cells into an empty slot. False, and the slot stays empty, when there is no room for them."""
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        return bool(native.llama_state_seq_set_data(self.handle, pointer, len(data), slot))

    def set_threads(self, single: int, batch: int) -> None:
        """Threads for steps of one token and for larger ones, from the next decode on."""
        native.llama_set_n_threads(self.handle, single, batch)

    def logits(self, index: int) -> Any:
        """A float32 view of one row's logits, valid until the next decode."""
        return numpy.ctypeslib.as_array(native.llama_get_logits_ith(self.handle, index), (self._n_vocab,))


def _stretch(params: Any, model: Model, n_ctx_seq: int) -> None:
    """Let positions reach further than trained by YaRN. llama.cpp then reports the new length as the trained one."""
    architecture = model.metadata("general.architecture")
    original = int(model.metadata(f"{architecture}.rope.scaling.original_context_length") or 0)
    original = original or model.n_ctx_train
    params.rope_scaling_type = native.LLAMA_ROPE_SCALING_TYPE_YARN
    params.rope_freq_scale = original / n_ctx_seq
    params.yarn_orig_ctx = original
