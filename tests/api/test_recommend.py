"""What is recommended for machines nobody here owns: it fits, it is quick enough, and it says why not the next one."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import ClassVar, cast

import machines
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import GIB

from localmind import catalog
from localmind.api.backend import Backend
from localmind.api.native.recommended import picks_of, starter_of
from localmind.api.recommend import READABLE, USES, Pick, recommend
from localmind.machine.amounts import fits
from localmind.machine.devices import Gpu, Machine
from localmind.machine.plan import Wishes, room

MODELS = catalog.bundled()

LAPTOP = replace(machines.LAPTOP, memory_available=11 * GIB)
PI = replace(LAPTOP, arch="aarch64", cpu_model="Pi 5", memory_total=8 * GIB, memory_available=6 * GIB)
TINY = replace(LAPTOP, memory_total=2 * GIB, memory_available=GIB)
APPLE_8 = replace(
    LAPTOP,
    system="darwin",
    arch="arm64",
    memory_total=8 * GIB,
    memory_available=5 * GIB,
    gpus=(Gpu("Apple M1", "Metal", 6 * GIB, 5 * GIB, unified=True),),
)
APPLE_64 = replace(
    APPLE_8,
    memory_total=64 * GIB,
    memory_available=52 * GIB,
    gpus=(Gpu("Apple M3 Max", "Metal", 48 * GIB, 48 * GIB, unified=True),),
)
CUDA_8 = replace(LAPTOP, gpus=(Gpu("RTX 4060", "CUDA", 8 * GIB, int(7.4 * GIB)),))
CUDA_24 = replace(
    LAPTOP, memory_total=64 * GIB, memory_available=50 * GIB, gpus=(Gpu("RTX 4090", "CUDA", 24 * GIB, 23 * GIB),)
)


def for_use(machine: Machine, use: str = "chat", wishes: Wishes | None = None) -> Pick:
    (pick,) = recommend(MODELS, machine, wishes or Wishes(), [use])
    return pick


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (TINY, "smollm2:135m"),
        (PI, "qwen3:1.7b"),
        (LAPTOP, "qwen3:4b"),
        (APPLE_8, "qwen3:4b"),
        (CUDA_8, "gpt-oss:20b"),
        (CUDA_24, "qwen3:32b"),
        (APPLE_64, "qwen3:32b"),
    ],
    ids=["1 GiB free", "Pi 5", "laptop", "M1 8 GB", "CUDA 8 GB", "CUDA 24 GB", "M3 Max 64 GB"],
)
def test_the_chat_model_for_a_machine_whatever_other_programs_hold_at_the_moment(machine: Machine, name: str) -> None:
    assert for_use(machine).spec.name == name
    for part in (0, 2, 1):  # nothing is left, half, all
        now = replace(
            machine,
            memory_available=machine.memory_total * part // 2,
            gpus=tuple(replace(gpu, memory_free=gpu.memory_total * part // 2) for gpu in machine.gpus),
        )
        assert for_use(now.usual()).spec.name == name


def test_a_recommendation_says_what_it_takes_and_why_nothing_better_is_taken() -> None:
    pick = for_use(LAPTOP)
    assert pick.why.startswith("the best of ")
    assert "tokens of context, about " in pick.why
    assert "in main memory" in pick.why
    assert "would be better, but it " in pick.next_why
    assert "all layers on RTX 4060 but the experts of " in for_use(CUDA_8).why
    shared = for_use(APPLE_8)
    assert shared.plan is not None
    assert sum(need.total for need in shared.plan.need) < 5 * GIB  # what the GPU shares counts once


def test_a_card_that_the_engine_cannot_use_is_not_counted_on() -> None:
    built = for_use(CUDA_24, wishes=Wishes(backends=frozenset({"CUDA"}))).spec
    without = for_use(CUDA_24, wishes=Wishes(backends=frozenset()))
    assert without.spec.rank <= built.rank
    assert without.plan is not None
    assert without.plan.n_gpu_layers == 0


def test_what_runs_beside_the_chat_model_is_small_without_a_gpu_and_better_with_one() -> None:
    weak, strong = for_use(LAPTOP, "embed").spec, for_use(CUDA_24, "embed").spec
    assert weak.parameters < 200_000_000
    assert strong.rank > weak.rank
    assert for_use(LAPTOP, "speech").spec.parameters < for_use(CUDA_24, "speech").spec.parameters


def test_completion_is_quick_before_it_is_good() -> None:
    assert for_use(LAPTOP, "fim").spec.name.startswith("qwen2.5-coder:")
    assert (for_use(LAPTOP, "fim").speed or 0) >= READABLE["fim"]
    assert for_use(LAPTOP, "fim").spec.parameters < for_use(LAPTOP, "code").spec.parameters


def test_where_nothing_fits_nothing_is_recommended() -> None:
    assert recommend(MODELS, replace(TINY, memory_available=GIB // 4), Wishes(), ["chat", "speech"]) == []


def test_a_model_without_a_rank_is_never_recommended() -> None:
    unknown = [msgspec.structs.replace(spec, rank=0) for spec in MODELS]
    assert recommend(unknown, APPLE_64) == []


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 128), st.sampled_from([LAPTOP, PI, APPLE_8, CUDA_8, CUDA_24]), st.sampled_from(USES))
def test_what_is_recommended_fits_and_more_memory_never_brings_a_worse_model(
    gigabytes: int, machine: Machine, use: str
) -> None:
    def best(total: int) -> Pick | None:
        gpus = tuple(
            replace(gpu, memory_total=total, memory_free=total * 9 // 10) if gpu.unified else gpu
            for gpu in machine.gpus
        )
        described = replace(machine, memory_total=total, memory_available=total * 9 // 10, gpus=gpus)
        found = recommend(MODELS, described, Wishes(), [use])
        if not found:
            return None
        if (plan := found[0].plan) is not None:
            assert plan.short == 0
            assert fits(plan.taken, room(described))
        return found[0]

    less, more = best(gigabytes * GIB), best((gigabytes + 4) * GIB)
    if less is not None:
        assert more is not None
        assert more.spec.rank >= less.spec.rank


class FakeBackend:
    """The catalog that comes with localmind, and an empty store."""

    catalog = SimpleNamespace(models=MODELS)
    store: ClassVar[dict[str, object]] = {}
    machine: object = None


def test_the_starter_is_named_for_whoever_cannot_reach_a_hub() -> None:
    said = starter_of(cast(Backend, FakeBackend()))
    assert said is not None
    assert [said["name"]] == [spec.name for spec in MODELS if spec.starter and spec.role == "chat"]
    assert said["size"] > 0
    assert not said["installed"]


def test_what_is_free_this_second_changes_nothing() -> None:
    backend = FakeBackend()
    said = []
    for free in (0, 3 * GIB, 16 * GIB):
        backend.machine = SimpleNamespace(now=partial(replace, LAPTOP, memory_available=free))
        said.append(picks_of(cast(Backend, backend), ("chat", "embed", "speech")))
    assert [pick["use"] for pick in said[0]] == ["chat", "embed", "speech"]
    assert said[0] == said[1] == said[2]
