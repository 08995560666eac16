"""Which GPUs there are, by ggml's list and by what the system tells, and the engine's build that would use them."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import APPLE, CUDA, LAPTOP

from localmind.machine.devices import Gpu, Machine
from localmind.machine.gpu_build import wanted_build
from localmind.machine.gpus import cards, find_gpus, listed_by_ggml, output, windows_cards

GIB = 1 << 30
MEMORY = 16 * GIB, 10 * GIB
VERSION = "0.3.36"


def row(**changes: object) -> dict[str, object]:
    return {
        "id": "Vulkan0", "name": "RX 6600", "backend": "Vulkan", "integrated": False,
        "memory_total": 8 * GIB, "memory_free": 7 * GIB, **changes,
    }  # fmt: skip


class FakeRun:
    """Commands that print what a test says; the first words decide."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts
        self.asked: list[str] = []

    def __call__(self, command: Sequence[str], _timeout: float) -> str:
        name = "listing" if "localmind.engine.devices" in command else command[0].replace("-", "_")
        self.asked.append(name)
        return self.texts.get(name, "")


def tools(directory: Path, *names: str) -> dict[str, str]:
    """An environment in which exactly these programs are found."""
    directory.mkdir(exist_ok=True)
    for name in names:
        (directory / name).touch(0o755)
    return {"PATH": str(directory)}


def card(root: Path, name: str, vendor: str, **files: object) -> None:
    device = root / "sys/class/drm" / name / "device"
    device.mkdir(parents=True)
    for file, content in {"vendor": vendor, **files}.items():
        (device / file).write_text(f"{content}\n")


def test_devices_are_named_as_ggml_names_them_and_in_its_order() -> None:
    second = row(id="Vulkan1", name="Other")
    found = listed_by_ggml("a driver says hello\n" + json.dumps([row(), second]), MEMORY)
    assert found is not None
    assert [(gpu.id, gpu.name, gpu.memory_free) for gpu in found] == [
        ("Vulkan0", "RX 6600", 7 * GIB), ("Vulkan1", "Other", 7 * GIB),
    ]  # fmt: skip
    assert not any(gpu.unified for gpu in found)


@pytest.mark.parametrize(
    "changes",
    [{"integrated": True}, {"backend": "MTL", "id": "MTL0"}, {"name": "llvmpipe (LLVM 15.0.6, 256 bits)"}],
)
def test_a_device_without_memory_of_its_own_has_no_more_than_the_machine(changes: dict[str, object]) -> None:
    found = listed_by_ggml(json.dumps([row(memory_total=32 * GIB, memory_free=32 * GIB, **changes)]), MEMORY)
    assert found is not None
    assert found[0].unified
    assert found[0].memory_free == MEMORY[1]


def test_a_device_that_tells_no_memory_has_that_of_the_machine() -> None:
    found = listed_by_ggml(json.dumps([row(memory_total=0, memory_free=0)]), MEMORY)
    assert found is not None
    assert (found[0].memory_total, found[0].memory_free) == MEMORY


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_nonsense_is_no_list_of_devices(text: str) -> None:
    assert listed_by_ggml(text, MEMORY) in (None, ())


def test_an_engine_without_gpus_is_not_asked_for_them(tmp_path: Path) -> None:
    run = FakeRun(listing=json.dumps([row()]))
    assert find_gpus("linux", "x86_64", MEMORY, frozenset(), root=tmp_path, run=run) == ()
    assert run.asked == []


def test_cards_that_the_engine_cannot_use_are_found_beside_those_of_its_list(tmp_path: Path) -> None:
    card(tmp_path, "card0", "0x1002", mem_info_vram_total=24 * GIB, mem_info_vram_used=GIB, product_name="RX 7900")
    run = FakeRun(listing=json.dumps([row(id="CUDA0", name="RTX", backend="CUDA")]))
    found = find_gpus("linux", "x86_64", MEMORY, frozenset({"CUDA"}), root=tmp_path, run=run)
    assert [(gpu.name, gpu.backend) for gpu in found] == [("RTX", "CUDA"), ("RX 7900", "ROCm")]
    machine = replace(LAPTOP, gpus=found)
    assert machine.usable_gpus(frozenset({"CUDA"})) == found[:1]


def test_vulkan_sees_every_card_so_none_is_counted_twice(tmp_path: Path) -> None:
    card(tmp_path, "card0", "0x1002", mem_info_vram_total=8 * GIB, mem_info_vram_used=GIB)
    run = FakeRun(listing=json.dumps([row()]))
    assert len(find_gpus("linux", "x86_64", MEMORY, frozenset({"Vulkan"}), root=tmp_path, run=run)) == 1


@pytest.mark.parametrize("text", ["[]", "Segmentation fault"])
def test_a_card_that_the_right_engine_does_not_list_is_not_planned_for(tmp_path: Path, text: str) -> None:
    card(tmp_path, "card0", "0x1002", mem_info_vram_total=8 * GIB, mem_info_vram_used=GIB)
    run = FakeRun(listing=text)
    (gpu,) = find_gpus("linux", "x86_64", MEMORY, frozenset({"ROCm"}), root=tmp_path, run=run)
    assert gpu.problem
    assert replace(LAPTOP, gpus=(gpu,)).usable_gpus() == ()


def test_the_cards_of_linux_are_told_by_their_makers(tmp_path: Path) -> None:
    card(tmp_path, "card0", "0x1002", mem_info_vram_total=512 << 20, mem_info_vram_used=0)
    card(tmp_path, "card1", "0x8086")
    card(tmp_path, "card2", "0x1a03")  # the graphics of a server's maintenance processor
    card(tmp_path, "card1-HDMI-A-1", "0x8086")
    found = cards(tmp_path, MEMORY)
    assert [(gpu.name, gpu.backend, gpu.unified) for gpu in found] == [
        ("AMD graphics", "ROCm", True), ("Intel graphics", "Vulkan", True),
    ]  # fmt: skip


def test_the_cards_of_windows_are_told_by_their_names(tmp_path: Path) -> None:
    rows = [{"Name": "AMD Radeon RX 6600", "AdapterRAM": 4 * GIB - 1}, {"Name": "Microsoft Basic Display Adapter"}]
    run = FakeRun(powershell=json.dumps([*rows, {"Name": "Intel(R) UHD Graphics", "AdapterRAM": None}]))
    found = find_gpus("windows", "amd64", MEMORY, frozenset(), root=tmp_path, run=run)
    assert [(gpu.name, gpu.id, gpu.unified) for gpu in found] == [
        ("AMD Radeon RX 6600", "Vulkan0", False), ("Intel(R) UHD Graphics", "Vulkan1", True),
    ]  # fmt: skip
    one = windows_cards(json.dumps(rows[0]), MEMORY)
    assert [gpu.name for gpu in one] == ["AMD Radeon RX 6600"], "a single card is no list there"
    assert windows_cards("", MEMORY) == windows_cards("[1, null]", MEMORY) == []


def test_apple_silicon_has_one_gpu_that_shares_the_memory() -> None:
    (gpu,) = find_gpus("darwin", "arm64", MEMORY, frozenset(), run=FakeRun())
    assert (gpu.id, gpu.backend, gpu.unified, gpu.memory_total) == ("MTL0", "Metal", True, 12 * GIB)
    assert find_gpus("darwin", "x86_64", MEMORY, frozenset(), run=FakeRun()) == ()


def test_a_command_that_fails_hangs_or_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert output([sys.executable, "-c", "print(1)"], 30.0) == "1\n"
    assert output([sys.executable, "-c", "print(1); raise SystemExit(3)"], 30.0) == ""
    assert output([sys.executable, "-c", "input(); import time; time.sleep(60)"], 0.05) == ""
    assert output([str(tmp_path / "absent")], 1.0) == ""


def test_the_real_list_can_be_asked_for_in_a_process_of_its_own() -> None:
    text = output([sys.executable, "-P", "-m", "localmind.engine.devices"], 240.0)
    assert listed_by_ggml(text, MEMORY) is not None


def with_gpu(backend: str, **changes: str) -> Machine:
    return replace(LAPTOP, gpus=(Gpu("a card", backend, 8 * GIB, 7 * GIB, **changes),))


def test_an_engine_that_can_use_all_gpus_needs_no_other(tmp_path: Path) -> None:
    environ = tools(tmp_path / "bin")
    assert wanted_build(LAPTOP, frozenset(), environ, VERSION) is None
    assert wanted_build(CUDA, frozenset({"CUDA"}), environ, VERSION) is None
    assert wanted_build(CUDA, frozenset({"Vulkan"}), environ, VERSION) is None


def test_the_compiler_that_is_here_decides_and_the_command_is_complete(tmp_path: Path) -> None:
    found = wanted_build(CUDA, frozenset(), tools(tmp_path / "bin", "nvcc"), VERSION)
    assert found is not None
    assert (found.backend, found.ready, found.flag) == ("CUDA", True, "-DGGML_CUDA=on")
    assert found.command.split(";")[0] == "localmind engine build --backend cuda"
    radeon = wanted_build(with_gpu("ROCm"), frozenset(), tools(tmp_path / "amd", "glslc"), VERSION)
    assert radeon is not None
    assert (radeon.backend, radeon.flag) == ("Vulkan", "-DGGML_VULKAN=on")


def test_missing_tools_are_installed_first_by_the_system_s_own_command(tmp_path: Path) -> None:
    found = wanted_build(with_gpu("Vulkan"), frozenset(), tools(tmp_path / "bin", "apt-get"), VERSION)
    assert found is not None
    assert not found.ready
    assert found.command.startswith(
        "sudo apt-get install glslc libvulkan-dev spirv-headers, then `localmind engine build --backend vulkan`"
    )


@pytest.mark.parametrize(
    ("driver", "index"),
    [("12.4", "cu124"), ("12.9", "cu125"), ("13.1", "cu130"), ("11.8", "cu118"), ("11.4", "vulkan"), ("", "vulkan")],
)
def test_a_wheel_is_named_that_the_driver_can_run(tmp_path: Path, driver: str, index: str) -> None:
    found = wanted_build(with_gpu("CUDA", driver=driver), frozenset(), tools(tmp_path / "bin"), VERSION)
    assert found is not None
    if sys.version_info[:2] > (3, 12):
        assert found.wheel is None
    else:
        assert found.wheel is not None
        assert found.wheel.startswith(f"{sys.executable} -m pip install ")
        assert found.wheel.endswith(f"/whl/{index} llama-cpp-python=={VERSION}")


def test_metal_needs_no_tool_beyond_the_compiler(tmp_path: Path) -> None:
    found = wanted_build(APPLE, frozenset(), tools(tmp_path / "bin"), VERSION)
    assert found is not None
    assert found.command.startswith("localmind engine build --backend metal")
