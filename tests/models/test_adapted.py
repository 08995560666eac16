"""LoRA adapters in what a model is planned with."""

from pathlib import Path

import random_gguf

from localmind.machine.devices import Gpu, Machine
from localmind.machine.plan import make_plan
from localmind.machine.sizes import GIB
from localmind.models.adapted import adapted
from localmind.models.gguf import read_facts, read_header

MACHINE = Machine(
    "linux", "x86_64", "", frozenset(), 4, 4, 16 * GIB, 10 * GIB, gpus=(Gpu("RTX", "CUDA", 8 * GIB, 7 * GIB),)
)


def test_the_bytes_of_an_adapter_are_planned_on_the_device_of_their_layers(tmp_path: Path) -> None:
    facts = read_facts(random_gguf.write(tmp_path / "model.gguf", "llama"))
    header = read_header(random_gguf.write_lora(tmp_path / "lora.gguf"))
    size = sum(tensor.size for tensor in header.tensors)
    both = adapted(facts, [header, header])
    added = sum(both.layer_bytes) + both.other_bytes - sum(facts.layer_bytes) - facts.other_bytes
    assert added == 2 * size > 0
    with_it, without = (make_plan(MACHINE, each).weight_bytes for each in (both, facts))
    assert {device: with_it[device] - without[device] for device in with_it} == {"RAM": 0, "CUDA0": 2 * size}
    assert adapted(facts, []) == facts
