"""The canary's memory: what crashed is written down before the next try, and never met twice."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machines import EIGHT_B, SMOL, TWO_CUDA, XEON

from localmind import catalog
from localmind.errors import DiskFull, LocalmindError, ModelFileBroken, WorkerDied, WorkerHung
from localmind.machine.plan import Plan, ladder, make_plan
from localmind.machine.probe import LoadReport, PlanKey, PlanMemory, load_with_canary, signal_in

KEY = PlanKey("linux-x86_64-abc", "0.3.36-def", "smollm2:135m@b179c9523d0e")
PLAN = make_plan(XEON, SMOL)
SEGV = WorkerDied("the engine of smollm2:135m was killed by SIGSEGV")
KILL = WorkerDied("the engine of smollm2:135m was killed by SIGKILL")
GOOD = LoadReport(n_ctx=32768, prefill_tok_s=190.0, decode_tok_s=85.0)


class FakeEngine:
    """Loads by any plan that `crashes` does not name."""

    def __init__(self, crashes: Callable[[Plan], LocalmindError | None]) -> None:
        self.crashes = crashes
        self.tried: list[Plan] = []

    async def load(self, plan: Plan) -> LoadReport:
        self.tried.append(plan)
        error = self.crashes(plan)
        if error is not None:
            raise error
        return GOOD


def with_amx_broken(plan: Plan) -> LocalmindError | None:
    return SEGV if plan.use_extra_bufts else None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "plans.json"


async def test_a_plan_that_holds_is_the_only_one_tried(path: Path) -> None:
    engine = FakeEngine(lambda _: None)
    assert await load_with_canary(engine.load, PLAN, PlanMemory(path), KEY) == (PLAN, GOOD)
    assert engine.tried == [PLAN]


def test_the_kind_of_a_memory_outlives_a_restart_and_holds_for_that_file_alone(path: Path) -> None:
    spec = catalog.bundled()[0]
    memory = PlanMemory(path)
    assert memory.kind(spec) is None
    memory.remember_kind(spec, {"kind": "whole", "explanation": "one state"})
    memory.record(KEY, PLAN, "ok", report=GOOD)
    again = PlanMemory(path)
    assert again.kind(spec) == {"kind": "whole", "explanation": "one state"}
    other = msgspec.structs.replace(spec.files[0], sha256="f" * 64)
    assert again.kind(msgspec.structs.replace(spec, files=(other,))) is None


async def test_a_crash_steps_down_and_the_next_load_does_not_crash(path: Path) -> None:
    engine = FakeEngine(with_amx_broken)
    tame = replace(PLAN, use_extra_bufts=False)
    assert (await load_with_canary(engine.load, PLAN, PlanMemory(path), KEY))[0] == tame
    assert engine.tried == [PLAN, tame]
    again = FakeEngine(with_amx_broken)
    assert (await load_with_canary(again.load, PLAN, PlanMemory(path), KEY))[0] == tame
    assert again.tried == [tame]


async def test_the_memory_holds_although_the_free_memory_and_so_the_context_changed(path: Path) -> None:
    await load_with_canary(FakeEngine(with_amx_broken).load, PLAN, PlanMemory(path), KEY)
    engine = FakeEngine(with_amx_broken)
    await load_with_canary(engine.load, replace(PLAN, n_ctx=12288), PlanMemory(path), KEY)
    assert engine.tried == [replace(PLAN, n_ctx=12288, use_extra_bufts=False)]


async def test_a_death_is_on_the_disk_before_the_next_plan_is_tried(path: Path) -> None:
    seen: list[list[str]] = []

    async def load(plan: Plan) -> LoadReport:
        attempts = PlanMemory(path).attempts(KEY)
        seen.append([f"{attempt.outcome} {attempt.signal}" for attempt in attempts])
        if plan.use_extra_bufts:
            raise SEGV
        return GOOD

    await load_with_canary(load, PLAN, PlanMemory(path), KEY)
    assert seen == [[], ["died SIGSEGV"]]


async def test_when_every_plan_dies_the_error_points_to_the_doctor_and_the_next_load_tries_nothing(path: Path) -> None:
    engine = FakeEngine(lambda _: SEGV)
    with pytest.raises(WorkerDied, match=r"every plan ended the engine; the last one: .*SIGSEGV") as caught:
        await load_with_canary(engine.load, PLAN, PlanMemory(path), KEY)
    assert caught.value.hint == "localmind doctor"
    assert len(engine.tried) == 1 + len({rung.use_extra_bufts for rung in ladder(PLAN)})
    again = FakeEngine(lambda _: SEGV)
    with pytest.raises(WorkerDied, match="every plan ended the engine before"):
        await load_with_canary(again.load, PLAN, PlanMemory(path), KEY)
    assert again.tried == []


async def test_a_new_build_a_new_machine_or_another_file_is_tried_afresh(path: Path) -> None:
    with pytest.raises(WorkerDied):
        await load_with_canary(FakeEngine(lambda _: SEGV).load, PLAN, PlanMemory(path), KEY)
    for other in (replace(KEY, build="new"), replace(KEY, machine="new"), replace(KEY, model="new")):
        assert (await load_with_canary(FakeEngine(lambda _: None).load, PLAN, PlanMemory(path), other))[0] == PLAN


async def test_a_hang_counts_as_a_death(path: Path) -> None:
    hung = WorkerHung("the engine was busy for 300 s")
    engine = FakeEngine(lambda plan: hung if plan.use_extra_bufts else None)
    await load_with_canary(engine.load, PLAN, PlanMemory(path), KEY)
    assert [attempt.outcome for attempt in PlanMemory(path).attempts(KEY)] == ["hung", "ok"]


async def test_an_error_that_is_no_death_is_the_callers_and_is_not_remembered(path: Path) -> None:
    engine = FakeEngine(lambda _: ModelFileBroken("cut short"))
    with pytest.raises(ModelFileBroken):
        await load_with_canary(engine.load, PLAN, PlanMemory(path), KEY)
    assert len(engine.tried) == 1
    assert PlanMemory(path).attempts(KEY) == ()


async def test_a_plan_that_has_worked_gets_a_second_chance_after_one_death(path: Path) -> None:
    await load_with_canary(FakeEngine(lambda _: None).load, PLAN, PlanMemory(path), KEY)
    deaths = iter([SEGV, None])
    engine = FakeEngine(lambda _: next(deaths))
    assert (await load_with_canary(engine.load, PLAN, PlanMemory(path), KEY))[0] == PLAN
    assert engine.tried == [PLAN, PLAN]


async def test_a_plan_that_worked_once_and_then_dies_twice_is_left(path: Path) -> None:
    await load_with_canary(FakeEngine(lambda _: None).load, PLAN, PlanMemory(path), KEY)
    engine = FakeEngine(with_amx_broken)
    chosen, _ = await load_with_canary(engine.load, PLAN, PlanMemory(path), KEY)
    assert engine.tried == [PLAN, PLAN, chosen]
    assert not chosen.use_extra_bufts


async def test_a_kill_for_memory_leads_to_less_context_and_is_forgiven_after_a_day(path: Path) -> None:
    now = [1000.0]
    engine = FakeEngine(lambda plan: KILL if plan.n_ctx > 10_000 else None)
    memory = PlanMemory(path, clock=lambda: now[0])
    chosen, _ = await load_with_canary(engine.load, PLAN, memory, KEY)
    assert chosen.n_ctx == PLAN.n_ctx // 4
    now[0] += 86_401
    again = FakeEngine(lambda _: None)
    assert (await load_with_canary(again.load, PLAN, PlanMemory(path, clock=lambda: now[0]), KEY))[0] == PLAN


async def test_too_many_layers_step_down_to_fewer_and_then_to_the_cpu(path: Path) -> None:
    plan = make_plan(TWO_CUDA, EIGHT_B)
    engine = FakeEngine(lambda plan: SEGV if plan.n_gpu_layers else None)
    chosen, _ = await load_with_canary(engine.load, plan, PlanMemory(path), KEY)
    assert [tried.n_gpu_layers for tried in engine.tried] == [33, 33, 16, 0]
    assert chosen.n_gpu_layers == 0


async def test_a_disk_that_refuses_the_note_does_not_keep_the_model_from_loading(path: Path) -> None:
    class FakeFullMemory(PlanMemory):
        def _write(self, data: object) -> None:
            raise DiskFull("no room")

    memory = FakeFullMemory(path)
    engine = FakeEngine(with_amx_broken)
    await load_with_canary(engine.load, PLAN, memory, KEY)
    await load_with_canary(engine.load, PLAN, memory, KEY)
    assert [plan.use_extra_bufts for plan in engine.tried] == [True, False, False]


@pytest.mark.parametrize(
    "torn", [b"", b"{", b'{"schema": 1, "keys": {"a": [{"plan"', b'{"schema": 9}', b"\xff\x00", b"[]"]
)
async def test_a_torn_file_is_set_aside_by_the_first_write_and_a_new_one_begun(path: Path, torn: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(torn)
    memory = PlanMemory(path)
    assert memory.attempts(KEY) == ()
    assert memory.broken
    assert path.read_bytes() == torn
    await load_with_canary(FakeEngine(lambda _: None).load, PLAN, memory, KEY)
    assert path.with_name("plans.json.broken").read_bytes() == torn
    assert len(PlanMemory(path).attempts(KEY)) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_no_plans_file_is_strange_enough_to_crash_a_load(tmp_path: Path, value: object) -> None:
    path = tmp_path / "plans.json"
    path.write_text(
        json.dumps(
            {
                "schema": 1,
                "keys": {
                    str(KEY): [
                        {
                            "plan": {"n_ctx": 1, "n_threads": 1, "n_threads_batch": 1, "n_gpu_layers": value},
                            "outcome": "died",
                        }
                    ]
                },
            }
        )
    )
    memory = PlanMemory(path)
    assert memory.refuses(KEY, PLAN) is None or memory.attempts(KEY)


async def test_forgetting_a_model_lets_its_plans_be_tried_again(path: Path) -> None:
    await load_with_canary(FakeEngine(with_amx_broken).load, PLAN, PlanMemory(path), KEY)
    memory = PlanMemory(path)
    assert (memory.forget("other:1b"), memory.forget("smollm2:135m")) == (0, 1)
    assert PlanMemory(path).all() == {}


async def test_the_file_does_not_grow_with_every_load(path: Path) -> None:
    memory = PlanMemory(path)
    for cells in range(2048, 2148):
        memory.record(KEY, replace(PLAN, n_ctx=cells), "ok", report=GOOD)
    assert len(memory.attempts(KEY)) == 32


def test_a_report_is_read_from_what_the_worker_answers() -> None:
    answer = {"n_ctx": 4096, "canary": {"prefill_tok_s": 190, "decode_tok_s": 85.5, "tokens": 72}, "extra": 1}
    report = LoadReport.from_worker(answer, seconds=1.5)
    assert (report.n_ctx, report.prefill_tok_s, report.canary_tokens, report.seconds) == (4096, 190.0, 72, 1.5)


def test_the_signal_is_read_from_the_supervisors_sentence() -> None:
    assert [signal_in(text) for text in (SEGV.message, "ended with exit code 1", "SIGNALS")] == ["SIGSEGV", None, None]
