"""Plans on a table of machines, and the ladder down from each."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import (
    APPLE,
    CONTAINER,
    CUDA,
    EDGE,
    EIGHT_B,
    FULL,
    GIB,
    LAPTOP,
    SMALL_CUDA,
    SMOL,
    TWO_CUDA,
    XEON,
    FakeFacts,
)

from localmind.machine.devices import Gpu, Machine
from localmind.machine.plan import LEAST_CELLS, Plan, Wishes, ladder, make_plan, room, with_layers


@pytest.mark.parametrize(
    ("machine", "facts", "n_ctx", "layers", "threads"),
    [
        (LAPTOP, SMOL, 32768, 0, 4),
        (XEON, SMOL, 32768, 0, 2),
        (EDGE, SMOL, 8192, 0, 4),
        (CONTAINER, SMOL, 24576, 0, 1),
        (FULL, SMOL, 2048, 0, 4),
        (LAPTOP, EIGHT_B, 12288, 0, 4),
        (EDGE, EIGHT_B, 2048, 0, 4),
        (APPLE, SMOL, 32768, 31, 4),
        (APPLE, EIGHT_B, 24576, 33, 4),
        (CUDA, EIGHT_B, 32768, 33, 4),
        (TWO_CUDA, EIGHT_B, 32768, 33, 4),
        (SMALL_CUDA, EIGHT_B, 8192, 18, 4),
    ],
)
def test_the_plan_of_a_described_machine(
    machine: Machine, facts: FakeFacts, n_ctx: int, layers: int, threads: int
) -> None:
    plan = make_plan(machine, facts)
    assert (plan.n_ctx, plan.n_gpu_layers, plan.n_threads) == (n_ctx, layers, threads)
    assert plan.n_ubatch == (256 if machine in (EDGE, CONTAINER) else 512) <= plan.n_batch
    assert (plan.use_extra_bufts, plan.kv_type, sum(plan.layers)) == (True, "f16", layers)
    assert plan.reasons


def test_a_wish_for_context_is_obeyed_where_it_fits_and_explained_where_not() -> None:
    assert make_plan(LAPTOP, SMOL, Wishes(n_ctx=50_000)).n_ctx == 50_000
    less = make_plan(EDGE, SMOL, Wishes(n_ctx=65_536))
    assert less.n_ctx < 65_536
    assert any("instead of the 65536 asked for" in reason for reason in less.reasons)


def test_wished_threads_and_layers_are_taken_as_they_are() -> None:
    plan = make_plan(CUDA, EIGHT_B, Wishes(threads=3, gpu_layers=5))
    assert (plan.n_threads, plan.n_threads_batch, plan.n_gpu_layers) == (3, 3, 5)


def test_a_gpu_that_the_engine_was_not_built_for_is_not_used_and_said_so() -> None:
    plan = make_plan(CUDA, EIGHT_B, Wishes(backends=frozenset()))
    assert plan.n_gpu_layers == 0
    assert any("built without CUDA" in reason for reason in plan.reasons)


def test_a_model_too_big_for_the_memory_gets_a_plan_and_a_warning() -> None:
    plan = make_plan(EDGE, EIGHT_B)
    assert plan.n_ctx == LEAST_CELLS
    assert any("slow" in reason for reason in plan.reasons)


def test_a_quantised_cache_takes_half_the_memory_and_asks_for_flash_attention() -> None:
    plan = make_plan(LAPTOP, EIGHT_B, Wishes(kv_type="q8_0"))
    assert plan.n_ctx > make_plan(LAPTOP, EIGHT_B).n_ctx
    assert plan.flash_attn is True


def test_the_ladder_on_a_cpu_drops_extra_buffers_then_context() -> None:
    plan = make_plan(XEON, SMOL)
    assert ladder(plan) == (replace(plan, use_extra_bufts=False), replace(plan, use_extra_bufts=False, n_ctx=8192))


def test_the_ladder_on_a_gpu_ends_on_the_cpu() -> None:
    rungs = ladder(make_plan(CUDA, EIGHT_B))
    assert [(rung.use_extra_bufts, rung.n_gpu_layers) for rung in rungs] == [
        (False, 33), (False, 16), (False, 0), (False, 0),
    ]  # fmt: skip
    assert rungs[-1].n_ctx == 8192


def test_the_tamest_plan_has_no_ladder() -> None:
    assert ladder(Plan(n_ctx=4096, n_threads=1, n_threads_batch=1, use_extra_bufts=False)) == ()


def test_the_reasons_of_a_plan_do_not_make_it_another_plan() -> None:
    plan = make_plan(CUDA, EIGHT_B)
    assert plan == replace(plan, reasons=())


def test_the_difference_of_two_plans_is_told_in_words() -> None:
    plan = make_plan(CUDA, EIGHT_B)
    words = ladder(plan)[-1].differences(plan)
    assert words == "without repacked weights and AMX, on the CPU alone, with 8192 cells of context"
    assert plan.differences(plan) == ""


SIZES = st.integers(0, 256 * GIB)


@given(
    total=SIZES,
    available=SIZES,
    limit=st.none() | SIZES,
    cores=st.integers(1, 256),
    gpu=st.none() | st.tuples(SIZES, SIZES, st.booleans()),
    facts=st.sampled_from([SMOL, EIGHT_B]),
    n_ctx=st.none() | st.integers(256, 1 << 20),
)
def test_every_machine_gets_a_plan_that_fits_its_devices(total, available, limit, cores, gpu, facts, n_ctx) -> None:
    gpus = () if gpu is None else (Gpu("G", "CUDA", gpu[0], gpu[1], gpu[2]),)
    machine = replace(
        LAPTOP, memory_total=total, memory_available=available, memory_limit=limit, cores_usable=cores, gpus=gpus
    )
    plan = make_plan(machine, facts, Wishes(n_ctx=n_ctx))
    assert 256 <= plan.n_ctx <= (n_ctx or 32768)
    assert plan.n_threads >= 1
    assert 0 <= plan.n_gpu_layers <= facts.n_layers + 1
    given = room(machine)
    assert plan.short or all(size <= given.get(device, 0) for device, size in plan.taken.items())
    before = plan
    for rung in ladder(plan):
        assert rung.differences(before)
        before = rung


def test_a_stream_longer_than_trained_is_planned_only_when_asked_for() -> None:
    assert make_plan(LAPTOP, SMOL, Wishes(n_ctx=SMOL.ctx_train * 4)).n_ctx_seq == 0
    assert make_plan(LAPTOP, SMOL, Wishes(n_ctx_seq=SMOL.ctx_train)).n_ctx_seq == 0
    plan = make_plan(LAPTOP, SMOL, Wishes(n_ctx_seq=SMOL.ctx_train * 4))
    assert plan.n_ctx_seq == SMOL.ctx_train * 4 <= plan.n_ctx
    assert any("4.0 times" in reason for reason in plan.reasons)
    assert ladder(plan)[0].n_ctx_seq == plan.n_ctx_seq


def test_a_draft_model_is_part_of_the_plan_and_follows_the_model_to_the_gpu() -> None:
    alone, drafted = make_plan(CUDA, EIGHT_B), make_plan(CUDA, EIGHT_B, draft=SMOL)
    assert drafted.draft_on_gpu
    assert drafted.taken["CUDA0"] > alone.taken["CUDA0"] + sum(SMOL.layer_bytes)
    assert any("draft model is on the GPU" in reason for reason in drafted.reasons)
    laid = drafted.for_draft()
    assert (laid.devices, laid.n_ctx) == (("CUDA0",), drafted.n_ctx)
    assert laid.n_gpu_layers > SMOL.n_layers


def test_a_draft_model_stays_in_main_memory_where_not_all_of_the_model_is_on_the_gpu() -> None:
    alone, drafted = make_plan(SMALL_CUDA, EIGHT_B), make_plan(SMALL_CUDA, EIGHT_B, draft=SMOL)
    assert 0 < drafted.n_gpu_layers <= EIGHT_B.n_layers
    assert not drafted.draft_on_gpu
    assert drafted.taken["RAM"] > alone.taken["RAM"] + sum(SMOL.layer_bytes)
    assert (drafted.for_draft().n_gpu_layers, drafted.for_draft().devices) == (0, ())


def test_a_layer_on_two_kinds_of_device_asks_for_flash_attention_which_would_be_left_out() -> None:
    assert make_plan(SMALL_CUDA, EIGHT_B).flash_attn is True
    assert make_plan(CUDA, EIGHT_B).flash_attn is None
    assert make_plan(LAPTOP, EIGHT_B).flash_attn is None


def test_the_layers_that_a_ladder_gives_back_are_those_of_the_first_devices() -> None:
    plan = Plan(4096, 4, 4, n_gpu_layers=30, devices=("A", "B", "C"), layers=(10, 10, 10), draft_on_gpu=True)
    less = with_layers(plan, 12)
    assert (less.devices, less.layers, less.n_gpu_layers) == (("B", "C"), (2, 10), 12)
    assert not less.draft_on_gpu
    assert with_layers(plan, 0).devices == ()
