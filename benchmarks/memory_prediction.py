"""What a plan says a worker will take, beside what it takes.

    python benchmarks/memory_prediction.py MODEL.gguf... [--ctx 2048 8192] [--kv f16 q8_0] [--gpu-layers N]

Each combination is planned by the file's header, loaded by a real engine worker under that plan, and looked at by the
system: resident memory right after the load. `off` is by how much the prediction is wrong; a plan that says too much
wastes memory, one that says too little takes somebody else's.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from localmind.machine.binding import installed_binding
from localmind.machine.devices import Machine
from localmind.machine.plan import Plan, Wishes, make_plan
from localmind.machine.resident import resident
from localmind.models.gguf import read_facts
from localmind.workers.process import WorkerProcess

TOLERANCE, ALWAYS = 0.10, 60 << 20
"""A prediction is good within a tenth or 60 MB."""


async def measure(path: Path, plan: Plan) -> int:
    """Bytes resident after a load by this plan."""
    worker = await WorkerProcess.start("engine", "measured")
    try:
        await worker.call("load", {"path": str(path), "plan": plan.to_dict()}, timeout=600)
        return resident_now(worker.pid)
    finally:
        await worker.stop()


def resident_now(pid: int) -> int:
    import psutil

    return int(psutil.Process(pid).memory_info().rss)


def predict(path: Path, machine: Machine, wishes: Wishes) -> tuple[Plan, int]:
    facts = read_facts(path)
    plan = make_plan(machine, facts, wishes)
    return plan, resident(plan, machine, facts)


def good(predicted: int, found: int) -> bool:
    return abs(predicted - found) <= max(ALWAYS, TOLERANCE * found)


async def compare(paths: list[Path], contexts: list[int], kv_types: list[str], gpu_layers: int | None) -> bool:
    """Print a line a combination; whether all were good."""
    machine, binding = Machine.here(), installed_binding()
    backends = binding.backends if binding is not None else frozenset()
    fine = True
    print(f"{'model':<36} {'cells':>6} {'kv':>5} {'layers':>6} {'predicted':>10} {'found':>8} {'off':>14}")
    for path in paths:
        for n_ctx in contexts:
            for kv_type in kv_types:
                wishes = Wishes(n_ctx=n_ctx, kv_type=kv_type, backends=backends, gpu_layers=gpu_layers)  # type: ignore[arg-type]
                plan, predicted = predict(path, machine, wishes)
                found = await measure(path, plan)
                off, ok = predicted - found, good(predicted, found)
                fine = fine and ok
                wrong = "" if ok else " WRONG"
                print(
                    f"{path.name[:36]:<36} {plan.n_ctx:>6} {kv_type:>5} {plan.n_gpu_layers:>6} "
                    f"{predicted >> 20:>7} MiB {found >> 20:>4} MiB {off / 2**20:>+6.0f} ({off / found:+.0%}){wrong}",
                    flush=True,
                )
    return fine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--ctx", nargs="+", type=int, default=[2048, 8192])
    parser.add_argument("--kv", nargs="+", choices=["f16", "q8_0", "q4_0"], default=["f16", "q8_0"])
    parser.add_argument("--gpu-layers", type=int)
    asked = parser.parse_args()
    sys.exit(not asyncio.run(compare(asked.models, asked.ctx, asked.kv, asked.gpu_layers)))


if __name__ == "__main__":
    main()
