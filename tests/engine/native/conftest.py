"""Tiny models of random weights, one of each kind of memory, written once a run."""

from collections.abc import Callable
from pathlib import Path

import pytest
import random_gguf

TinyModel = Callable[[str], Path]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """The path of one of random_gguf.KINDS, or of "lora", an adapter for the kind "llama"."""
    place = tmp_path_factory.mktemp("tiny")

    def path(kind: str) -> Path:
        file = place / f"{kind}.gguf"
        if not file.exists():
            random_gguf.write_lora(file) if kind == "lora" else random_gguf.write(file, kind)
        return file

    return path
