"""Weights and vocabulary of one GGUF file."""

import ctypes
import os
import re
from array import array
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy
from llama_cpp import llama_cpp as native

from localmind.engine.llama.devices import put_on_devices
from localmind.engine.llama.library import errors, reason
from localmind.errors import Cancelled, InvalidRequest, ModelFileBroken, NoRoom
from localmind.machine.plan import Plan

MAGIC = b"GGUF"
LOAD_MODES = {
    (True, False): native.LLAMA_LOAD_MODE_AUTO,
    (False, False): native.LLAMA_LOAD_MODE_NONE,
    (True, True): native.LLAMA_LOAD_MODE_MMAP_MLOCK,
    (False, True): native.LLAMA_LOAD_MODE_MLOCK,
}
"""By use_mmap and use_mlock."""
ALLOCATION = re.compile(
    r"(failed to|unable to|cannot) allocate|out of memory|OutOf(Device|Host)Memory|Malloc failed|bad_alloc", re.I
)
"""How llama.cpp, its backends, C++ and mmap say that main memory or a device is full."""


class Model:
    """Weights and vocabulary. Raises ModelFileBroken for a file that is not a whole GGUF model, NoRoom without room."""

    def __init__(self, path: Path, plan: Plan, progress: Callable[[float], bool]) -> None:
        """`progress` gets 0..1 and returns False to abandon the load, which then raises Cancelled."""
        self.path = path
        _check_magic(path)
        params = native.llama_model_default_params()
        self._kept = put_on_devices(params, plan)
        params.load_mode = LOAD_MODES[plan.use_mmap, plan.use_mlock]
        params.use_extra_bufts = plan.use_extra_bufts
        wanted = True

        def on_progress(done: float, _data: Any) -> bool:
            nonlocal wanted
            wanted = wanted and progress(done)
            return wanted

        params.progress_callback = native.llama_progress_callback(on_progress)
        errors.clear()
        self.handle = native.llama_model_load_from_file(os.fsencode(path), params)
        if not self.handle:
            if not wanted:
                raise Cancelled("loading was cancelled")
            if any(ALLOCATION.search(line) for line in errors):
                raise NoRoom(f"no room for the weights of {path.name}: {reason()}", hint="choose a smaller model")
            raise ModelFileBroken(f"llama.cpp cannot load {path.name}: {reason()}", hint="localmind models verify")
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
    def byte_tokens(self) -> dict[int, int]:
        """The token of each byte that is only ever part of a character."""
        pieces = ((self._piece(token, special=False), token) for token in range(self.n_vocab))
        return {piece[0]: token for piece, token in pieces if len(piece) == 1 and piece[0] >= 0x80}

    @cached_property
    def control_texts(self) -> tuple[str, ...]:
        """How control tokens such as `<|im_end|>` are written."""
        return tuple(text for text in self._control_tokens.values() if text)

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
        self._check(tokens)
        ids = (native.llama_token * len(tokens))(*tokens)
        room = 16 * len(tokens) + 16
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = native.llama_detokenize(self.vocab, ids, len(tokens), buffer, room, False, True)
            if count >= 0:
                return buffer.raw[:count].decode("utf-8", "replace")
            room = -count

    def pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """Of each token its own bytes, control tokens included. Raises InvalidRequest for an id out of range."""
        self._check(tokens)
        return [self._piece(token, special=True) for token in tokens]

    def _check(self, tokens: Sequence[int]) -> None:
        if any(not 0 <= token < self.n_vocab for token in tokens):
            raise InvalidRequest(f"a token id is outside the vocabulary of {self.n_vocab}")

    def piece(self, token: int) -> bytes:
        """The bytes of one sampled token; control tokens are empty. Only for the thread that decodes."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._piece(token, special=False)
        return piece

    def control_piece(self, token: int, shown: frozenset[str]) -> bytes:
        """The text of a control token if it is one of `shown`, else nothing."""
        text = self._control_tokens.get(token, "")
        return text.encode() if text in shown else b""

    @cached_property
    def _control_tokens(self) -> dict[int, str]:
        return {t: self._special_text(t) for t in range(self.n_vocab) if native.llama_vocab_is_control(self.vocab, t)}

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


def _check_magic(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as problem:
        raise ModelFileBroken(f"cannot read {path}: {problem.strerror}", hint="localmind models verify") from problem
    if magic != MAGIC:
        raise ModelFileBroken(f"{path.name} is not a GGUF file", hint="localmind models verify")
