"""The table of plans: every machine of machines.toml with every model of shapes.py, as text for a reviewer.

    python tests/machine/table.py

writes tests/machine/plans.txt anew; test_table.py compares. Look at the difference before it is committed: each line
that changes is somebody's machine.
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
GOLDEN = HERE / "plans.txt"

HEAD = """\
# What localmind plans for {machines} machines and {models} models; written by `python tests/machine/table.py`.
#
# layers   on GPUs, of all (the output counts as one); with several GPUs how many on each
# experts  layers whose experts stay in main memory
# context  cells of the pool that all streams share; * is less than half a model's training length
# batch    tokens a step / a piece
# thr      threads for a token / for a prompt
# then GiB taken on each device, of what models may take there. !! means that it does not fit and is read from disk.
"""


def table() -> str:
    from shapes import SHAPES

    machines = list(described_machines())
    head = HEAD.format(machines=len(machines), models=len(SHAPES))
    return head + "".join("\n" + "\n".join(section) + "\n" for section in map(_section, machines))


def described_machines() -> "Iterator[Described]":
    for data in tomllib.loads((HERE / "machines.toml").read_text())["machine"]:
        yield described(data)


def _section(found: "Described") -> list[str]:
    from shapes import SHAPES

    machine = found.machine
    given = room(machine, found.backends)
    lines = [f"== {found.name}", f"   {_machine(machine)}"]
    names = "".join(f"{f'{name} of {given[name] / GIB:.1f}':>16}" for name in given)
    lines.append(
        f"   {'model':<26}{'GiB':>6}  {'layers':>12} {'experts':>7} {'context':>8} {'batch':>9} {'thr':>6}{names}"
    )
    for shape in SHAPES:
        plan = make_plan(machine, shape, Wishes(backends=found.backends))
        layers = f"{plan.n_gpu_layers}/{shape.n_layers + 1}"
        if len(plan.layers) > 1:
            layers += f" ({'+'.join(map(str, plan.layers))})"
        short = "*" if plan.n_ctx < shape.ctx_train / 2 else ""
        taken = "".join(f"{plan.taken.get(name, 0) / GIB:>16.2f}" for name in given)
        lines.append(
            f"   {shape.name:<26}{shape.size / GIB:>6.1f}  {layers:>12} {plan.cpu_experts or '-':>7} "
            f"{f'{plan.n_ctx}{short}':>8} {f'{plan.n_batch}/{plan.n_ubatch}':>9} "
            f"{f'{plan.n_threads}/{plan.n_threads_batch}':>6}{taken}{' !!' if plan.short else ''}"
        )
    return lines


def _machine(machine: "Machine") -> str:
    fast = f" ({machine.cores_fast} fast)" if machine.cores_fast else ""
    limit = f", limited to {machine.memory_limit / GIB:g}" if machine.memory_limit else ""
    parts = [
        f"{machine.system} {machine.arch}",
        f"{machine.cores_physical} cores{fast}, {machine.cores_usable} usable",
        f"{machine.memory_total / GIB:g} GiB{limit}, {machine.memory_available / GIB:g} free",
    ]
    for gpu in machine.gpus:
        shared = ", shares the memory" if gpu.unified else ""
        free = f"{gpu.memory_total / GIB:g} GiB, {gpu.memory_free / GIB:g} free"
        parts.append(f"{gpu.name} ({gpu.id}: {free}{shared})")
    return " · ".join(parts)


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from localmind.machine.described import Described, described  # noqa: E402
from localmind.machine.devices import Machine  # noqa: E402
from localmind.machine.plan import Wishes, make_plan, room  # noqa: E402
from localmind.machine.sizes import GIB  # noqa: E402

if __name__ == "__main__":
    GOLDEN.write_text(table())
    print(f"{GOLDEN} is written")
