"""What the doctor says, as its reader reads it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from machines import CUDA, LAPTOP, SMOL, XEON

from localmind.errors import WorkerDied
from localmind.machine.binding import Binding
from localmind.machine.build import VERSION
from localmind.machine.devices import Machine
from localmind.machine.doctor import Finding, findings
from localmind.machine.plan import make_plan
from localmind.machine.probe import LoadReport, PlanKey, PlanMemory, load_with_canary
from localmind.paths import Paths

PLAIN = Binding(VERSION, Path("/lib"), None, frozenset(), "0.3.36-plain")
HEALED = replace(PLAIN, command_line="GNU C11 12.2.0 -fno-tree-dse", fingerprint="0.3.36-healed")
NOVEMBER_22 = 1795348800.0
"""At noon in Greenwich, so that it is that day nearly everywhere."""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.find({"LOCALMIND_HOME": str(tmp_path)})


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\necho 'c++ (Debian 12.2.0-14) 12.2.0'\necho 'Free Software Foundation'\n")
    compiler.chmod(0o755)
    return {"PATH": f"{tmp_path}:/bin"}


def look(
    paths: Paths,
    environ: dict[str, str],
    binding: Binding | None = HEALED,
    machine: Machine = XEON,
    state: dict | None = None,
) -> dict[str, Finding]:
    memory = PlanMemory(paths.plans_file)
    found = findings(paths, state, machine=machine, binding=binding, memory=memory, environ=environ)
    return {finding.title: finding for finding in found}


async def crash(paths: Paths, binding: Binding, dies=lambda plan: plan.use_extra_bufts) -> None:
    async def load(plan):
        if dies(plan):
            raise WorkerDied("the engine of smollm2:135m was killed by SIGSEGV")
        return LoadReport(prefill_tok_s=190.0, decode_tok_s=85.0)

    key = PlanKey(XEON.key, binding.fingerprint, "smollm2:135m@b179")
    memory = PlanMemory(paths.plans_file, clock=lambda: NOVEMBER_22)
    await load_with_canary(load, make_plan(XEON, SMOL), memory, key)


def test_a_new_machine_is_told_what_to_do_first(paths: Paths, environ: dict[str, str]) -> None:
    found = look(paths, environ, None)
    assert found["No engine"].level == "problem"
    assert found["No engine"].hint == "localmind engine build"
    assert found["No models yet"].hint == "localmind models pull --starter"
    assert found["The daemon is not running"].level == "note"


def test_a_plain_build_on_a_processor_with_amx_is_worth_a_warning(paths: Paths, environ: dict[str, str]) -> None:
    warning = look(paths, environ, PLAIN)["The engine was built in the plain way"]
    assert warning.level == "warning"
    assert "3.5 times faster" in warning.text
    assert warning.hint == "localmind engine build"
    assert look(paths, environ, PLAIN, LAPTOP)["The engine was built in the plain way"].level == "note"
    assert look(paths, environ, HEALED)["Engine"].level == "ok"


async def test_the_story_of_the_canary_is_told_with_day_signal_and_cure(paths: Paths, environ: dict[str, str]) -> None:
    await crash(paths, PLAIN)
    story = look(paths, environ, PLAIN)["smollm2:135m was healed"]
    assert story.level == "warning"
    assert story.text == (
        "On 22 Nov a load of smollm2:135m died with SIGSEGV; localmind stepped down to a load without repacked weights "
        "and AMX and has used that since (190 tokens/s reading, 85 writing). `localmind engine build` makes it about "
        "3.5 times faster at reading"
    )


async def test_the_story_of_another_build_is_not_told(paths: Paths, environ: dict[str, str]) -> None:
    await crash(paths, PLAIN)
    assert "smollm2:135m was healed" not in look(paths, environ, HEALED)


async def test_a_model_that_no_plan_can_load_is_a_problem(paths: Paths, environ: dict[str, str]) -> None:
    with pytest.raises(WorkerDied):
        await crash(paths, HEALED, dies=lambda _: True)
    assert look(paths, environ)["smollm2:135m cannot be loaded"].level == "problem"


async def test_a_model_that_loads_is_listed_with_its_speed(paths: Paths, environ: dict[str, str]) -> None:
    await crash(paths, HEALED, dies=lambda _: False)
    assert look(paths, environ)["smollm2:135m loads"].text == "at its first load: 190 tokens/s reading, 85 writing"


def test_models_are_checked_by_size(paths: Paths, environ: dict[str, str]) -> None:
    sha256 = hashlib.sha256(b"x").hexdigest()
    manifest = {"name": "tiny:1b", "files": [{"name": "w.gguf", "sha256": sha256, "size": 10}]}
    (paths.models / "manifests").mkdir(parents=True)
    (paths.models / "manifests" / "tiny@1b.json").write_text(json.dumps(manifest))
    (paths.models / "manifests" / "torn.json").write_text("{")
    found = look(paths, environ)
    assert found["tiny:1b is damaged"].hint == "localmind models pull tiny:1b"
    assert found["A note about a model is broken"].level == "warning"
    (paths.models / "blobs").mkdir()
    (paths.models / "blobs" / sha256).write_bytes(bytes(10))
    assert look(paths, environ)["Models"].text == "tiny:1b"


def test_little_memory_and_an_unused_gpu_are_said(paths: Paths, environ: dict[str, str]) -> None:
    found = look(paths, environ, machine=replace(CUDA, memory_available=1 << 20))
    assert found["Little memory"].level == "warning"
    assert found["A GPU is not used"].level == "note"
    assert "localmind engine build --backend" in str(found["A GPU is not used"].hint)


def test_a_gpu_that_the_right_engine_does_not_find_is_a_warning(paths: Paths, environ: dict[str, str]) -> None:
    broken = replace(CUDA, gpus=(replace(CUDA.gpus[0], problem="the engine does not find it"),))
    found = look(paths, environ, replace(HEALED, backends=frozenset({"CUDA"})), machine=broken)
    assert found["A GPU does not answer"].level == "warning"
    assert "A GPU is not used" not in found
    fine = look(paths, environ, replace(HEALED, backends=frozenset({"CUDA"})), machine=CUDA)
    assert fine["GPU"].text == "RTX 4090 as CUDA0, 23.0 of 24.0 GiB free"


def test_a_broken_memory_is_said_and_not_touched(paths: Paths, environ: dict[str, str]) -> None:
    paths.data.mkdir(parents=True)
    paths.plans_file.write_text("{")
    assert look(paths, environ)["The memory of plans is broken"].level == "warning"
    assert paths.plans_file.read_text() == "{"


def test_what_the_daemon_knows_is_told_too(paths: Paths, environ: dict[str, str]) -> None:
    state = {
        "version": "1",
        "pid": 5,
        "tcp_problem": "port 11411 is taken by nginx",
        "models": [{"model": "smollm2:135m", "quarantine": "died 3 times in 10 minutes"}],
        "workers": [{"name": "the embedder", "quarantine": None}],
        "folders": [{"path": "/docs", "errors": [["/docs/a.pdf", "is encrypted"]]}],
    }
    found = look(paths, environ, state=state)
    assert found["smollm2:135m is in quarantine"].level == "problem"
    assert found["No TCP port"].text == "port 11411 is taken by nginx"
    assert found["1 file in /docs could not be read"].text == "/docs/a.pdf: is encrypted"


def test_every_finding_that_is_bad_says_what_to_do(paths: Paths, environ: dict[str, str]) -> None:
    found = look(paths, environ, None, replace(CUDA, memory_available=1))
    assert all(finding.hint for finding in found.values() if finding.level == "problem")
