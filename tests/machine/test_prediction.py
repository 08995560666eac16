"""What a plan says a worker will take, held against a worker that has loaded the model."""

from dataclasses import replace
from pathlib import Path

import memory_prediction
import pytest

from localmind.machine.binding import installed_binding
from localmind.machine.devices import Machine
from localmind.machine.plan import Wishes


@pytest.mark.parametrize(("n_ctx", "kv_type"), [(2048, "f16"), (16384, "q8_0")])
async def test_a_loaded_model_takes_what_its_plan_said(chat_model_path: Path, n_ctx: int, kv_type: str) -> None:
    binding = installed_binding()
    assert binding is not None
    wishes = Wishes(n_ctx=n_ctx, kv_type=kv_type, threads=1, backends=binding.backends)  # type: ignore[arg-type]
    # What other tests hold at this moment is no part of the question.
    machine = replace(Machine.here(), memory_total=16 << 30, memory_available=8 << 30, memory_limit=None)
    plan, predicted = memory_prediction.predict(chat_model_path, machine, wishes)
    assert plan.n_ctx == n_ctx
    assert sum(need.kv for need in plan.need) > 30 << 20, "cells are a part of it that a mistake would show in"
    found = await memory_prediction.measure(chat_model_path, plan)
    assert memory_prediction.good(predicted, found), f"{predicted >> 20} MiB predicted, {found >> 20} found"
