"""Reading a machine: containers, affinity, odd files; and the real one."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from machines import APPLE, CUDA, LAPTOP, XEON

from localmind.machine.devices import Machine
from localmind.machine.gpus import parse_nvidia

MEMINFO = "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:   8388608 kB\n"
CPUINFO = (
    "processor\t: 0\nmodel name\t: Test CPU\nflags\t\t: fpu amx_tile avx2\n\nprocessor\t: 1\nmodel name\t: Other\n"
)
KIB, GIB = 1 << 10, 1 << 30


def files(root: Path, contents: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": MEMINFO, "proc/cpuinfo": CPUINFO, **contents}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture(autouse=True)
def _linux() -> None:
    assert os.uname().sysname == "Linux", "these tests describe Linux files"


def test_without_a_cgroup_the_memory_is_what_the_kernel_says(tmp_path: Path) -> None:
    machine = Machine.here(files(tmp_path, {}))
    assert (machine.memory_total, machine.memory_available, machine.memory_limit) == (16 * GIB, 8 * GIB, None)
    assert machine.cpu_model == "Test CPU"
    assert machine.has_amx


def test_a_version_2_limit_anywhere_above_us_counts_and_cache_is_not_usage(tmp_path: Path) -> None:
    root = files(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice/app.scope\n",
            "sys/fs/cgroup/user.slice/memory.max": f"{4 * GIB}\n",
            "sys/fs/cgroup/user.slice/memory.current": f"{3 * GIB}\n",
            "sys/fs/cgroup/user.slice/memory.stat": f"anon 1\ninactive_file {1 * GIB}\n",
            "sys/fs/cgroup/user.slice/app.scope/memory.max": "max\n",
            "sys/fs/cgroup/user.slice/app.scope/cpu.max": "max 100000\n",
        },
    )
    machine = Machine.here(root)
    assert (machine.memory_limit, machine.memory_available) == (4 * GIB, 2 * GIB)


def test_a_version_1_limit_counts_and_its_no_limit_does_not(tmp_path: Path) -> None:
    contents = {
        "proc/self/cgroup": "9:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n",
        "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": f"{1 * GIB}\n",
        "sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes": f"{512 * KIB * KIB}\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us": "50000\n",
        "sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us": "100000\n",
    }
    machine = Machine.here(files(tmp_path, contents))
    assert (machine.memory_limit, machine.memory_available) == (1 * GIB, GIB // 2)
    assert machine.cores_usable == 1


def test_a_cpu_quota_bounds_the_threads(tmp_path: Path) -> None:
    root = files(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"})
    assert Machine.here(root).cores == 1


def test_affinity_bounds_the_threads() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert Machine.here().cores == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize("junk", ["", "0::\n", "::::\n0::/../../etc\n", "0:memory\nx\n", "\x00\xff"])
def test_odd_cgroup_files_are_no_limit(tmp_path: Path, junk: str) -> None:
    assert Machine.here(files(tmp_path, {"proc/self/cgroup": junk})).memory_limit is None


def test_the_real_machine_is_read_and_its_memory_again_later() -> None:
    machine = Machine.here()
    assert machine.memory_total >= machine.memory_available > 0
    assert machine.cores >= 1
    assert machine.now().key == machine.key == Machine.here().key


def test_a_soft_limit_counts_like_a_hard_one_since_beyond_it_everything_crawls(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/app.scope"
    root = files(
        tmp_path,
        {
            "proc/self/cgroup": "0::/app.scope\n",
            f"{group}/memory.max": "max\n",
            f"{group}/memory.high": f"{3 * GIB}\n",
            f"{group}/memory.current": f"{1 * GIB}\n",
        },
    )
    machine = Machine.here(root)
    assert (machine.memory_available, machine.memory_limit) == (2 * GIB, 3 * GIB)


@pytest.mark.parametrize(
    ("contents", "fast"),
    [
        ({}, None),
        ({"sys/devices/cpu_core/cpus": "0-3", "sys/devices/cpu_atom/cpus": "4-11"}, 4),
        (
            {
                "sys/devices/cpu_core/cpus": "0-3",
                "sys/devices/cpu_atom/cpus": "4-11",
                **{
                    f"sys/devices/system/cpu/cpu{n}/topology/thread_siblings_list": f"{n & ~1}-{n | 1}"
                    for n in range(4)
                },
            },
            2,
        ),
        ({f"sys/devices/system/cpu/cpu{n}/cpu_capacity": "1024" if n < 4 else "381" for n in range(8)}, 4),
        ({f"sys/devices/system/cpu/cpu{n}/cpu_capacity": "1024" for n in range(4)}, None),
    ],
)
def test_cores_of_two_kinds_are_told_apart(tmp_path: Path, contents: dict[str, str], fast: int | None) -> None:
    assert Machine.here(files(tmp_path, contents)).cores_fast == fast


def test_two_fast_cores_are_helped_by_slow_ones() -> None:
    hybrid = replace(LAPTOP, cores_physical=10, cores_usable=12, cores_fast=2)
    assert (hybrid.cores, replace(hybrid, cores_fast=6).cores, replace(hybrid, cores_fast=None).cores) == (4, 6, 10)


def test_the_key_tells_processors_and_gpus_apart_but_not_load() -> None:
    assert len({LAPTOP.key, XEON.key, APPLE.key, CUDA.key}) == 4


def test_nvidia_devices_are_read_and_nonsense_is_not() -> None:
    found = parse_nvidia("NVIDIA RTX 4090, 24564, 23028\nTesla, with comma, 16384, 16000\n[N/A]\nx, [N/A], 1\n")
    assert [(gpu.name, gpu.memory_total >> 20) for gpu in found] == [
        ("NVIDIA RTX 4090", 24564),
        ("Tesla, with comma", 16384),
    ]
