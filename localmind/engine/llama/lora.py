"""LoRA adapters: loading one onto a Model, and choosing which of them a Context applies."""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_cpp import llama_cpp as native

from localmind.engine.llama.context import Context
from localmind.engine.llama.library import errors, reason
from localmind.engine.llama.model import Model
from localmind.errors import ModelFileBroken


class Lora:
    """One adapter. It lives as long as its Model; load it on the thread that decodes, which reads the same lists."""

    def __init__(self, model: Model, path: Path) -> None:
        """Raises ModelFileBroken for a file that is damaged or does not fit the model's tensors."""
        errors.clear()
        self.handle: Any = native.llama_adapter_lora_init(model.handle, os.fsencode(path))
        if not self.handle:
            raise ModelFileBroken(f"llama.cpp cannot load the adapter {path.name}: {reason()}")


def apply(context: Context, adapters: Sequence[tuple[Lora, float]]) -> None:
    """From the next decode on, exactly these adapters with these scales. A change lays the graph out anew."""
    count = len(adapters)
    handles = (native.llama_adapter_lora_p_ctypes * count)(*(lora.handle for lora, _ in adapters))
    scales = (ctypes.c_float * count)(*(scale for _, scale in adapters))
    native.llama_set_adapters_lora(context.handle, handles, count, scales)
