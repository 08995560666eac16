"""ggml's list of devices, and plans that name them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from llama_cpp import llama_cpp as native

from localmind.engine import llama
from localmind.engine.llama import Model
from localmind.engine.llama.devices import devices, put_on_devices
from localmind.engine.llama.model import ALLOCATION
from localmind.errors import NoRoom
from localmind.machine.binding import installed_binding
from localmind.machine.plan import Plan

PLAN = Plan(n_ctx=512, n_threads=1, n_threads_batch=1)


def test_the_list_names_only_devices_of_backends_that_the_engine_was_built_with() -> None:
    binding = installed_binding()
    assert binding is not None
    listed = devices()
    assert len({device.id for device in listed}) == len(listed)
    assert bool(listed) <= bool(binding.backends)
    assert all(0 <= device.memory_free <= device.memory_total for device in listed)


def test_a_plan_for_a_device_that_is_gone_is_refused_before_anything_is_loaded(
    tiny_model: Callable[[str], Path],
) -> None:
    plan = Plan(512, 1, 1, n_gpu_layers=2, devices=("CUDA7",), layers=(2,))
    with pytest.raises(NoRoom, match="CUDA7, which the plan uses, is not there"):
        Model(tiny_model("llama"), plan, lambda _done: True)


def test_a_plan_without_layers_on_a_gpu_hands_llama_cpp_an_empty_list() -> None:
    params = native.llama_model_default_params()
    kept = put_on_devices(params, PLAN)
    assert params.devices
    assert list(kept[0]) == [None]
    assert params.n_gpu_layers == 0


def test_locked_weights_are_loaded_and_answer_like_any_other(tiny_model: Callable[[str], Path]) -> None:
    llama.start()
    model = Model(tiny_model("llama"), Plan(512, 1, 1, use_mlock=True), lambda _done: True)
    assert model.n_vocab > 0
    model.close()


def test_a_full_device_is_told_apart_from_a_broken_file() -> None:
    full = (
        "unable to allocate CUDA0 buffer",
        "ggml_vulkan: Device memory allocation failed: ErrorOutOfDeviceMemory",
        "allocating 512.00 MiB on device 0: cudaMalloc failed: out of memory",
        "alloc_tensor_range: failed to allocate Vulkan0 buffer of size 1000",
        "llama_model_load: error loading model: mmap failed: Cannot allocate memory",
        "gguf_read_emplace_helper: encountered bad_alloc error while reading value for key 'tokenizer.ggml.tokens'",
    )
    assert all(ALLOCATION.search(line) for line in full)
    assert not ALLOCATION.search("tensor 'blk.0.attn_k.weight' data is not within the file bounds")
