"""5,000 damaged headers of several architectures, and the costliest ones, read by a process with little memory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf_mutator
import pytest
import random_gguf

KINDS = ("llama", "swa", "recurrent", "hybrid", "embedder")
SECONDS = 15.0
"""Of CPU for one file; the costliest takes one."""
ROOM = 200 << 20


@pytest.fixture(scope="module")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("tiny")
    return [random_gguf.write(place / f"{kind}.gguf", kind) for kind in KINDS]


def told_by(*arguments: object) -> dict[str, Any]:
    """What the mutator printed; it must end by itself."""
    command = [sys.executable, gguf_mutator.__file__, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(told: dict[str, Any]) -> None:
    assert told["wrong"] == []
    assert told["slowest"] < SECONDS
    assert told["grown"] < ROOM


def test_five_thousand_damaged_headers_are_passed_or_refused_and_nothing_else(tmp_path, tiny_files) -> None:
    told = told_by(tmp_path, 7, 5000 // len(KINDS), *tiny_files)
    check(told)
    assert told["passed"] + told["refused"] == 5000
    # Both must happen often, or the damage is of no use to the test.
    assert told["passed"] > 250
    assert told["refused"] > 2500


def test_headers_made_to_cost_as_much_as_possible_cost_little(tmp_path) -> None:
    written = gguf_mutator.write_worst(tmp_path)
    told = told_by(tmp_path, "worst")
    for file in tmp_path.iterdir():
        file.unlink()  # a quarter of a gigabyte
    check(told)
    assert told["passed"] + told["refused"] == written
    assert told["passed"] == 1  # the one with 65,536 tensors is a whole file
