"""What a model gives up when memory runs out, rung by rung, and how that is told."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import CUDA, EDGE, EIGHT_B, LAPTOP, SMOL, TWO_CUDA, FakeFacts

from localmind.machine.amounts import RAM
from localmind.machine.devices import Machine
from localmind.machine.giving_up import given_up, lesser, oom_kills
from localmind.machine.plan import LEAST_CELLS, Plan, Wishes, make_plan, price

PLAN = Plan(8192, 2, 2)


def test_context_is_halved_to_the_least_and_then_the_cache_is_made_coarser() -> None:
    assert [(rung.n_ctx, rung.kv_type, rung.flash_attn) for rung in lesser(PLAN)] == [
        (4096, "f16", None),
        (2048, "f16", None),
        (2048, "q8_0", True),
    ]


def test_a_plan_that_is_the_least_already_has_nothing_to_give_up() -> None:
    assert lesser(replace(PLAN, n_ctx=2048, kv_type="q8_0")) == ()


def test_a_context_that_no_power_of_two_divides_stays_above_the_least() -> None:
    assert [rung.n_ctx for rung in lesser(replace(PLAN, n_ctx=9000, kv_type="q8_0"))] == [4500, 2250]


def test_layers_leave_the_gpus_last_and_half_by_half_until_none_is_left() -> None:
    plan = replace(
        PLAN,
        n_ctx=2048,
        kv_type="q8_0",
        n_gpu_layers=33,
        devices=("CUDA0", "CUDA1"),
        layers=(17, 16),
        draft_on_gpu=True,
    )
    rungs = lesser(plan)
    assert [(rung.n_gpu_layers, rung.devices, rung.layers) for rung in rungs] == [
        (16, ("CUDA1",), (16,)),
        (8, ("CUDA1",), (8,)),
        (4, ("CUDA1",), (4,)),
        (0, (), ()),
    ]
    assert not any(rung.draft_on_gpu for rung in rungs)


def test_a_stretched_stream_never_has_more_cells_than_the_pool() -> None:
    assert [rung.n_ctx_seq for rung in lesser(replace(PLAN, n_ctx_seq=6000))] == [4096, 2048, 2048]


def test_what_was_given_up_is_told_in_words() -> None:
    wanted = replace(PLAN, n_gpu_layers=20)
    got = replace(PLAN, n_ctx=2048, kv_type="q8_0", n_gpu_layers=0)
    assert given_up(wanted, got) == (
        "2048 cells of context instead of 8192, keys and values in q8_0 instead of f16, "
        "0 layers on the GPU instead of 20"
    )
    assert given_up(wanted, replace(wanted, use_extra_bufts=False)) == "", "that is no matter of memory"


@given(
    st.sampled_from([LAPTOP, EDGE, CUDA, TWO_CUDA]),
    st.sampled_from([SMOL, EIGHT_B]),
    st.none() | st.integers(256, 70_000),
)
def test_every_rung_takes_no_more_anywhere_and_less_somewhere_than_the_one_before(
    machine: Machine, facts: FakeFacts, n_ctx: int | None
) -> None:
    plan = make_plan(machine, facts, Wishes(n_ctx=n_ctx))
    above = price(plan, machine, facts)
    for rung in lesser(plan):
        below = price(rung, machine, facts)
        gave = {device: size - below.taken.get(device, 0) for device, size in above.taken.items()}
        assert any(size > 0 for size in gave.values())
        if below.n_gpu_layers == above.n_gpu_layers:
            assert all(size >= 0 for size in gave.values())
        else:
            assert all(size >= 0 for device, size in gave.items() if device != RAM), "layers come home to main memory"
        assert below.n_ctx >= min(LEAST_CELLS, plan.n_ctx)
        assert given_up(plan, below)
        above = below


@pytest.mark.parametrize(
    ("text", "count"),
    [("nr_free_pages 12\noom_kill 3\n", 3), ("nr_free_pages 12\n", None), ("oom_kill many\n", None), ("", None)],
)
def test_the_kernels_count_of_kills_is_read_where_it_keeps_one(tmp_path: Path, text: str, count: int | None) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/vmstat").write_text(text)
    assert oom_kills(tmp_path) == count


def test_without_a_count_of_kills_none_is_made_up(tmp_path: Path) -> None:
    assert oom_kills(tmp_path) is None
