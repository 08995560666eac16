"""Feeds damaged GGUF files that our pre-check passes to the real loader, all of them, and says what became of each.

    python benchmarks/loader_mutants.py [--count 5000] [--seed 7] [--keep DIRECTORY]

Five tiny models are damaged in their headers as tests/models/gguf_mutator.py does it, with their weights behind. Those
that `read_header` and `read_facts` pass are laid by the planner and opened as an engine worker opens them: weights,
context, canary, one text there and back. Children do that, which may die; what killed one is kept and the next child
goes on behind it. The exit status is 1 if any died or took longer than 20 s.
"""

import argparse
import collections
import json
import os
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KINDS = ("llama", "swa", "recurrent", "hybrid", "embedder")
SECONDS = 20.0
ROOM = 6 << 30
"""Bytes of address space of a child: a mutant that asks for all memory is told that there is none."""


def passed(directory: Path, seed: int, count: int) -> list[Path]:
    """Write mutants, and keep those that the pre-check passes."""
    sys.path.insert(0, str(ROOT / "tests/models"))
    import gguf_mutator
    import random_gguf

    from localmind.errors import ModelFileBroken
    from localmind.models.gguf import read_facts, read_header

    files = [random_gguf.write(directory / f"{kind}.gguf", kind) for kind in KINDS]
    offsets = {file.name: read_header(file).data_offset for file in files}
    kept: list[Path] = []
    for number, mutant in enumerate(gguf_mutator.mutants(directory, seed, count // len(KINDS), files)):
        try:
            read_facts(mutant)
        except ModelFileBroken:
            continue
        good = directory / mutant.name.removeprefix("mutant of ")
        whole = good.stat().st_size
        head = mutant.stat().st_size - (whole - offsets[good.name])
        place = directory / f"{good.stem}-{number:05}.gguf"
        shutil.copyfile(mutant, place)
        with place.open("r+b") as out:  # the mutator leaves a hole where the weights are
            out.seek(head)
            out.write(good.read_bytes()[offsets[good.name] :])
            out.truncate(mutant.stat().st_size)
        kept.append(place)
    return kept


def feed(paths: list[Path]) -> None:
    """The child: open each, and print a line before and one after."""
    from localmind.engine.opening import open_file
    from localmind.engine.requests import LoadParams
    from localmind.errors import LocalmindError
    from localmind.machine.devices import Machine
    from localmind.machine.plan import Wishes, make_plan
    from localmind.models.gguf import read_facts

    resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
    gib = 1 << 30
    machine = Machine("linux", "x86_64", "", frozenset(), 2, 2, 8 * gib, 4 * gib)
    for path in paths:
        print(json.dumps({"begins": path.name}), flush=True)
        try:
            facts = read_facts(path)
            plan = make_plan(machine, facts, Wishes(n_ctx=512, threads=1))
            opened = open_file(LoadParams(str(path), plan.to_dict()), plan, lambda _done: True)
            try:
                tokens = opened.model.tokenize("The quick brown fox <s>", add_special=True)
                opened.model.detokenize(tokens)
                outcome = "loaded"
            finally:
                opened.close()
        except LocalmindError as problem:
            outcome = type(problem).__name__
        except Exception as problem:
            outcome = f"raised {problem!r}"
        print(json.dumps({"outcome": outcome}), flush=True)


def outcomes(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    left = list(paths)
    while left:
        command = [sys.executable, __file__, "--feed", str(left[0].parent)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("\n".join(path.name for path in left).encode())
        child.stdin.close()
        try:
            for found in _told(child):
                yield left.pop(0), found
                if found.startswith("died"):
                    break
        finally:
            child.kill()
            child.wait()
            child.stdout.close()


def _told(child: "subprocess.Popen[bytes]") -> Iterator[str]:
    """One outcome a file; the last one may be that the child died."""
    assert child.stdout is not None
    waiting = selectors.DefaultSelector()
    waiting.register(child.stdout, selectors.EVENT_READ)
    os.set_blocking(child.stdout.fileno(), False)
    rest, begun, under_way = b"", time.monotonic(), False
    while True:
        if not waiting.select(timeout=max(0.0, begun + SECONDS * (1 if under_way else 6) - time.monotonic())):
            yield f"died: took longer than {SECONDS:g} s"
            return
        data = child.stdout.read(65536) or b""
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if not line.startswith(b'{"'):
                continue  # llama.cpp prints some of its complaints
            told: dict[str, Any] = json.loads(line)
            begun, under_way = time.monotonic(), "begins" in told
            if not under_way:
                yield str(told["outcome"])
        if not data:
            code = child.wait()
            if under_way:
                yield f"died: {signal.Signals(-code).name if code < 0 else f'exit status {code}'}"
            elif code:
                raise SystemExit(f"the child ended with {code} before it opened anything")
            return


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--count", type=int, default=5000)
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--keep", type=Path, help="put the files that killed a child here")
    arguments.add_argument("--feed", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.feed is not None:
        feed([given.feed / name for name in sys.stdin.read().splitlines()])
        return
    with tempfile.TemporaryDirectory() as place:
        paths = passed(Path(place), given.seed, given.count)
        print(f"{len(paths)} of {given.count} mutants pass the pre-check", flush=True)
        counted: collections.Counter[str] = collections.Counter()
        for path, outcome in outcomes(paths):
            counted[outcome] += 1
            if outcome.startswith(("died", "raised")):
                print(f"{path.name}: {outcome}", flush=True)
                if given.keep is not None:
                    given.keep.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, given.keep / path.name)
        for outcome, count in counted.most_common():
            print(f"{count:6} {outcome}")
    raise SystemExit(any(outcome.startswith(("died", "raised")) for outcome in counted))


if __name__ == "__main__":
    main()
