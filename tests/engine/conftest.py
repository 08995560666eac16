"""Tiny models of random weights, one of each kind of memory, written once a run; and loops that end."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import random_gguf
from engine_fakes import WAIT

from localmind.engine.loop import Loop

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


@pytest.fixture
def loops() -> Iterator[list[Loop]]:
    """Put every loop that a test starts in here: all are stopped after it."""
    started: list[Loop] = []
    yield started
    for loop in started:
        assert loop.stop(WAIT)
