"""The plan as the engine worker receives it: checked before anything native is asked."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind.engine.plan import read_plan
from localmind.errors import InvalidRequest
from localmind.machine.plan import Plan

TWO = Plan(
    n_ctx=4096, n_threads=4, n_threads_batch=8, n_gpu_layers=30, devices=("CUDA0", "CUDA1"), layers=(20, 10),
    cpu_experts=3, use_mlock=True, flash_attn=True, reasons=("why",), short=1, grade=0.5,
)  # fmt: skip


def test_a_plan_crosses_processes_whole_but_for_its_words() -> None:
    received = read_plan(msgspec.msgpack.decode(msgspec.msgpack.encode(TWO.to_dict())))
    assert received == TWO
    assert (received.reasons, received.need, received.short) == ((), (), 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_ctx": -1},
        {"n_threads": 0},
        {"n_ubatch": 16},
        {"n_batch": 64},
        {"layers": (30,)},
        {"layers": (20, 11)},
        {"layers": (40, -10)},
        {"devices": ()},
        {"cpu_experts": -1},
        {"n_gpu_layers": -1, "devices": (), "layers": ()},
        {"kv_type": "f64"},
        {"devices": "CUDA0"},
    ],
)
def test_a_plan_that_no_machine_can_have_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="the plan is not valid"):
        read_plan({**TWO.to_dict(), **changes})


@given(
    st.dictionaries(st.sampled_from([*TWO.to_dict()]), st.none() | st.integers() | st.text() | st.lists(st.integers()))
)
def test_whatever_comes_is_a_plan_or_refused(changes: dict[str, Any]) -> None:
    try:
        plan = read_plan({**TWO.to_dict(), **changes})
    except InvalidRequest:
        return
    assert plan.n_threads >= 1
    assert all(count >= 0 for count in plan.layers)
