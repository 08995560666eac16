"""`localmind models plan` as a user runs it: on this machine, on a described one, and what goes wrong."""

import json
from pathlib import Path

import pytest
from conftest_e2e import Home

DESKTOP = """\
name = "the desktop"
cores = 8
memory = 32
free = 24
gpus = [{ name = "RTX 4070", backend = "CUDA", memory = 12, free = 11 }]
"""


def test_a_plan_shows_bytes_by_device_and_a_sentence_for_each_choice(served: Home) -> None:
    shown = served.cli("models", "plan", "smollm2:135m", "--context", "4096", "--explain")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[1].split() == ["DEVICE", "LAYERS", "WEIGHTS", "CONTEXT", "SCRATCH", "OTHER", "TAKES", "OF"]
    assert lines[2].startswith("main memory  31 ")
    assert "4096 cells of context as you asked, 90 MiB" in shown.stdout
    assert sum(line.startswith("- ") for line in lines) >= 6


def test_a_plan_for_a_described_machine_lays_the_model_there(served: Home, tmp_path: Path) -> None:
    (tmp_path / "desktop.toml").write_text(DESKTOP)
    command = ("models", "plan", "smollm2:135m", "--machine", str(tmp_path / "desktop.toml"), "--json")
    told = json.loads(served.cli(*command).stdout)
    assert told["machine"]["name"] == "the desktop"
    assert (told["plan"]["devices"], told["plan"]["layers"]) == (["CUDA0"], [31])
    assert [device["device"] for device in told["devices"]] == ["RAM", "CUDA0"]
    assert all(device["total"] <= device["given"] for device in told["devices"])
    fewer = json.loads(served.cli(*command, "--gpu-layers", "4", "--kv-type", "q8_0").stdout)
    assert (fewer["plan"]["n_gpu_layers"], fewer["plan"]["kv_type"]) == (4, "q8_0")


def test_a_model_that_is_not_here_is_planned_by_its_shape_and_said_so(served: Home) -> None:
    shown = served.cli("models", "plan", "qwen3:4b")
    assert shown.returncode == 0, shown.stderr
    assert "may be some percent off" in shown.stderr
    assert "--explain says why" in shown.stderr


@pytest.mark.parametrize(
    ("text", "told"), [("cores = 8\nmemori = 3", "memori"), ("cores =", "is not TOML"), ("[]", "is not TOML")]
)
def test_a_file_that_describes_no_machine_is_refused_with_what_is_wrong(
    served: Home, tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "machine.toml"
    file.write_text(text)
    ended = served.cli("models", "plan", "smollm2:135m", "--machine", str(file))
    assert ended.returncode != 0
    assert told in ended.stderr
    assert "hint:" in ended.stderr


def test_what_llama_cpp_does_not_run_has_no_plan(served: Home) -> None:
    ended = served.cli("models", "plan", "all-minilm:l6-v2")
    assert ended.returncode != 0
    assert "not run by llama.cpp" in ended.stderr
