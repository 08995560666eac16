"""A machine in a file, for plans of computers that are not here."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind.errors import InvalidRequest
from localmind.machine.described import EXAMPLE, described

GIB = 1 << 30


def test_the_example_that_errors_show_is_a_machine() -> None:
    found = described(tomllib.loads(EXAMPLE))
    machine = found.machine
    assert (found.name, found.backends) == ("my desktop", frozenset({"CUDA"}))
    assert (machine.memory_total, machine.memory_limit) == (32 * GIB, 16 * GIB)
    assert machine.memory_available == 16 * GIB, "no more is free than a container may have"
    assert (machine.cores, machine.cores_usable) == (4, 16)
    assert [(gpu.id, gpu.memory_free) for gpu in machine.gpus] == [("CUDA0", 11 * GIB)]


def test_what_is_left_out_is_that_of_a_plain_computer() -> None:
    found = described({"cores": 4, "memory": 8})
    assert (found.machine.memory_available, found.machine.cores_usable, found.backends) == (8 * GIB, 4, None)
    assert found.machine.gpus == ()


def test_devices_are_counted_as_ggml_counts_them() -> None:
    cards = [{"name": "a", "backend": kind, "memory": 8} for kind in ("CUDA", "CUDA", "Vulkan", "Metal")]
    found = described({"cores": 4, "memory": 8, "gpus": cards})
    assert [gpu.id for gpu in found.machine.gpus] == ["CUDA0", "CUDA1", "Vulkan0", "MTL0"]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"cores": 4},
        {"cores": 4, "memory": "much"},
        {"cores": 4, "memory": 8, "memori": 8},
        {"cores": 0, "memory": 8},
        {"cores": 4, "memory": -8},
        {"cores": 4, "memory": float("nan")},
        {"cores": 4, "memory": float("inf")},
        {"cores": 4, "memory": 8, "gpus": [{"name": "a", "backend": "CUDA", "memory": -1}]},
        {"cores": 4, "memory": 8, "gpus": [{"name": "a"}]},
        {"cores": 4, "memory": 8, "gpus": 3},
    ],
)
def test_what_is_no_machine_is_refused_with_an_example(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="of a machine is not understood") as caught:
        described(data)
    assert "cores = 8" in str(caught.value.hint)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["cores", "memory", "free", "limit", "threads", "cores_fast", "gpus", "backends", "system"])


@given(st.dictionaries(KEYS | st.text(max_size=8), VALUES))
def test_any_table_is_a_machine_or_refused(data: dict[str, Any]) -> None:
    try:
        machine = described(data).machine
    except InvalidRequest:
        return
    assert machine.memory_total >= 0
    assert machine.cores >= 1
