"""The table of plans for machines nobody here owns (plans.txt), and what holds for every plan whatever the machine."""

import dataclasses
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import SHAPES, Shape
from table import GOLDEN, described_machines, table

from localmind.machine.amounts import RAM, fits
from localmind.machine.described import Described
from localmind.machine.devices import Gpu, Machine
from localmind.machine.plan import CELL_STEPS, Plan, Wishes, ladder, make_plan, price, room
from localmind.machine.sizes import GIB, weights

MACHINES = tuple(described_machines())
DRAFT = SHAPES[0]


def test_the_table_of_plans_is_the_one_that_was_reviewed() -> None:
    assert table() == GOLDEN.read_text(), "look at the difference after `python tests/machine/table.py`"


def test_the_table_is_about_the_machines_and_models_that_people_have() -> None:
    assert len(MACHINES) >= 24
    assert len(SHAPES) == 12
    assert len({found.name for found in MACHINES}) == len(MACHINES)
    backends = {gpu.backend for found in MACHINES for gpu in found.machine.gpus}
    assert backends == {"Metal", "CUDA", "ROCm", "Vulkan"}


@pytest.mark.parametrize("found", MACHINES, ids=lambda found: found.name)
def test_each_choice_of_each_plan_has_a_sentence_with_its_bytes(found: Described) -> None:
    for shape in SHAPES:
        plan = make_plan(found.machine, shape, Wishes(backends=found.backends))
        told = "\n".join(plan.reasons)
        for word in (f"{plan.n_ctx} cells", "keys and values in", "flash attention", "threads", "mapped", "batches"):
            assert word in told, (shape.name, word)
        assert ("experts of the first" in told) == bool(plan.cpu_experts)
        assert ("does not fit" in told) == bool(plan.short)
        assert all(sentence == sentence.strip() and len(sentence) < 250 for sentence in plan.reasons)


SIZES = st.integers(0, 96 * GIB)
MORE = st.integers(0, 32 * GIB)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Any machine: shared or own memory, one kind of device or several of them."""
    kind = draw(st.sampled_from(["none", "shared", "own"]))
    count = {"none": 0, "shared": 1}.get(kind) if kind != "own" else draw(st.integers(1, 3))
    gpus = tuple(
        Gpu(f"G{number}", "CUDA", total, draw(st.integers(0, total)), kind == "shared", f"CUDA{number}")
        for number, total in enumerate(draw(st.lists(SIZES, min_size=count or 0, max_size=count)))
    )
    total = draw(st.integers(GIB // 4, 256 * GIB))
    return Machine(
        "linux", "x86_64", "any", frozenset(), draw(st.integers(1, 64)), draw(st.integers(1, 128)), total,
        draw(st.integers(0, total)), draw(st.none() | SIZES), gpus,
    )  # fmt: skip


WISHES = st.builds(
    Wishes,
    n_ctx=st.none() | st.integers(256, 1 << 18),
    gpu_layers=st.none() | st.integers(0, 100),
    kv_type=st.sampled_from(["f16", "q8_0", "q4_0"]),
)
MODELS = st.sampled_from(SHAPES)


def rank(plan: Plan) -> tuple[int, int]:
    return plan.n_gpu_layers, plan.n_ctx


def more(given_: Mapping[str, int], extra: Mapping[str, int]) -> dict[str, int]:
    return {name: size + extra.get(name, 0) for name, size in given_.items()}


@settings(max_examples=150)
@given(machines(), MODELS, WISHES, st.data())
def test_more_memory_never_gives_fewer_layers_or_less_context(
    machine: Machine, shape: Shape, wishes: Wishes, data: st.DataObject
) -> None:
    less = room(machine)
    extra = {name: data.draw(MORE, name) for name in less}
    plan = make_plan(machine, shape, wishes, given=less)
    better = make_plan(machine, shape, wishes, given=more(less, extra))
    assert better.n_gpu_layers >= plan.n_gpu_layers
    assert better.n_ctx >= plan.n_ctx
    assert better.grade >= plan.grade
    assert not plan.short <= 0 < better.short


@settings(max_examples=150)
@given(machines(), MODELS, WISHES, st.booleans())
def test_a_plan_never_takes_more_than_it_was_given(
    machine: Machine, shape: Shape, wishes: Wishes, drafted: bool
) -> None:
    draft = DRAFT if drafted else None
    given_ = room(machine)
    plan = make_plan(machine, shape, wishes, draft=draft)
    taken = plan.taken
    if plan.short:
        assert plan.short == taken[RAM] - given_[RAM]
        assert all(size <= given_[name] for name, size in taken.items() if name != RAM)
    else:
        assert fits(taken, given_)
    assert plan.n_gpu_layers <= min(shape.n_layers + 1, 10**9 if wishes.gpu_layers is None else wishes.gpu_layers)
    assert plan.n_ctx <= (wishes.n_ctx or CELL_STEPS[-1])
    assert sum(plan.layers) == plan.n_gpu_layers
    assert len(plan.layers) == len(plan.devices) == len(plan.need) - 1
    assert price(plan, machine, shape, draft).need == plan.need


@settings(max_examples=60)
@given(machines(), MODELS, WISHES)
def test_no_byte_of_a_model_is_forgotten_wherever_it_lies(machine: Machine, shape: Shape, wishes: Wishes) -> None:
    plan = make_plan(machine, shape, wishes)
    twice = shape.output_bytes if shape.tied and plan.n_gpu_layers else 0
    assert sum(need.weights for need in plan.need) == weights(shape) + twice
    cells = make_plan(machine, shape, wishes, given={RAM: 1 << 50})
    on_one = sum(need.kv for need in price(dataclasses.replace(cells, n_ctx=plan.n_ctx), machine, shape).need)
    assert sum(need.kv for need in plan.need) == on_one


@settings(max_examples=60)
@given(machines(), MODELS, WISHES)
def test_every_rung_of_the_ladder_takes_no_more_of_any_gpu(machine: Machine, shape: Shape, wishes: Wishes) -> None:
    plan = make_plan(machine, shape, wishes)
    before = plan
    for rung in ladder(plan):
        priced = price(rung, machine, shape)
        assert rung.differences(before)
        assert all(size <= before.taken.get(name, 0) for name, size in priced.taken.items() if name != RAM)
        assert sum(rung.layers) == rung.n_gpu_layers
        before = priced


def test_a_gpu_more_never_makes_a_plan_worse_where_layers_were_on_gpus_before() -> None:
    for found in MACHINES:
        first = found.machine.gpus[:1]
        if not first or first[0].unified:
            continue
        another = dataclasses.replace(first[0], id=f"{first[0].backend}9")
        for shape in SHAPES:
            one = make_plan(dataclasses.replace(found.machine, gpus=first), shape)
            two = make_plan(dataclasses.replace(found.machine, gpus=(*first, another)), shape)
            assert two.n_gpu_layers >= one.n_gpu_layers, (found.name, shape.name)
            assert two.n_ctx >= one.n_ctx, (found.name, shape.name)
