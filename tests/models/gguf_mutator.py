"""Run as a program: reads thousands of damaged headers under a memory limit, and says how that went.

    python gguf_mutator.py DIRECTORY SEED COUNT FILE...     each FILE damaged COUNT times
    python gguf_mutator.py DIRECTORY worst                  the headers that `write_worst` put there

Prints one JSON object: how many were passed and refused, what else was raised, the slowest in seconds, and the growth
of the process in bytes. A file is passed only if each of its tensors lies inside it, which is checked again here.
"""

import json
import os
import random
import resource
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gguf_files import text

from localmind.errors import ModelFileBroken
from localmind.models.gguf import BLOCKS, MAX_KEYS, MAX_TENSORS, Header, read_facts, read_header
from localmind.models.gguf_reader import KEPT_NUMBERS, MAX_ELEMENTS, MAX_HEADER, MAX_TEMPLATES, MAX_TEXT

ROOM = 200 << 20
EDGES = (0, 1, 2, 7, 8, 9, 13, 31, 255, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, 1 << 63)


def damaged(good: bytes, draw: random.Random) -> bytes:
    data = bytearray(good)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        at = draw.randrange(len(data))
        match draw.randrange(7):
            case 0 | 1:
                data[at] ^= 1 << draw.randrange(8)
            case 2:
                data[at : at + 8] = struct.pack("<Q", draw.choice((*EDGES, (1 << 64) - 1, draw.getrandbits(64))))
            case 3:
                data[at : at + 4] = struct.pack("<I", draw.choice(EDGES) & 0xFFFFFFFF)
            case 4:
                data[at:at] = draw.randbytes(draw.randrange(1, 40))
            case 5:
                del data[at : at + draw.randrange(1, 40)]
            case 6:
                other = draw.randrange(len(data))
                data[at:at] = data[other : other + draw.randrange(1, 400)]
    return bytes(data)


def mutants(directory: Path, seed: int, count: int, files: list[Path]) -> Iterator[Path]:
    draw = random.Random(seed)
    for file in files:
        header = read_header(file)
        with file.open("rb") as source:
            good = source.read(header.data_offset)
        place = directory / f"mutant of {file.name}"
        with place.open("w+b", buffering=0) as out:
            for _ in range(count):
                data = damaged(good, draw)
                out.seek(0)
                out.write(data)
                whole = len(data) + header.file_size - header.data_offset
                out.truncate(draw.randrange(whole) if draw.random() < 0.2 else whole)
                yield place


def write_worst(directory: Path) -> int:
    """Headers that use up each limit of the reader; returns how many."""
    written = 0

    def head(tensors: int, keys: int) -> bytes:
        return b"GGUF" + struct.pack("<IQQ", 3, tensors, keys)

    def write(data: bytes, size: int) -> None:
        nonlocal written
        place = directory / f"worst {written}.gguf"
        place.write_bytes(data)
        os.truncate(place, size)
        written += 1

    write(head(0, 1) + text("a") + struct.pack("<IIQ", 9, 8, MAX_ELEMENTS), 1 << 36)
    long = struct.pack("<Q", (1 << 18) - 9) + bytes((1 << 18) - 9)
    write(head(0, 1) + text("a") + struct.pack("<IIQ", 9, 8, MAX_ELEMENTS) + long * 255, 1 << 36)
    each = (MAX_HEADER - (1 << 20)) // MAX_KEYS
    for filler in ("\x9d".encode(), b"\x1b]", b"\xff"):
        body = filler * ((each - 100) // len(filler))
        keys = (text(f"key {n}") + struct.pack("<IQ", 8, len(body)) + body for n in range(MAX_KEYS))
        write(head(0, MAX_KEYS) + b"".join(keys), 1 << 30)
    numbers = struct.pack("<IIQ", 9, 2, KEPT_NUMBERS) + b"\xff" * (2 * KEPT_NUMBERS)
    write(head(0, MAX_KEYS) + b"".join(text(f"key {n}") + numbers for n in range(MAX_KEYS)), 1 << 30)
    template = struct.pack("<IQ", 8, MAX_TEMPLATES // 64) + b"\xe2\x82\xac?" * (MAX_TEMPLATES // 64 // 4)
    write(head(0, 64) + b"".join(text(f"tokenizer.chat_template.{n}") + template for n in range(64)), 1 << 30)
    long = struct.pack("<IQ", 8, MAX_TEXT) + b"\xff" * MAX_TEXT
    write(head(0, 3) + b"".join(text(key) + long for key in "abc"), 1 << 30)
    shape = struct.pack("<I4QI", 4, 1, 1, 1, 8, 0)
    tensors = (text(f"{n:063}") + shape + struct.pack("<Q", 32 * n) for n in range(MAX_TENSORS))
    architecture = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    layers = text("llama.block_count") + struct.pack("<II", 4, 4096)
    write(head(MAX_TENSORS, 2) + architecture + layers + b"".join(tensors), 1 << 30)
    return written


def check_inside(header: Header) -> None:
    end = header.data_offset
    for tensor in sorted(header.tensors, key=lambda tensor: tensor.offset):
        start = header.data_offset + tensor.offset
        assert start >= end, f"{tensor} lies over another"
        _, values, size = BLOCKS[tensor.type]
        count = 1
        for side in tensor.shape:
            count *= side
        assert count % values == 0
        end = start + count // values * size
        assert end <= header.file_size, f"{tensor} lies outside of the file"
        assert tensor.name.isprintable()
    assert all(key.isprintable() for key in header.keys)


def read_all(places: Iterator[Path]) -> dict[str, object]:
    passed, refused = 0, 0
    times = [0.0]
    wrong: list[str] = []

    def timed(read: Callable[[Path], Any], place: Path) -> Any:
        begun = time.process_time()  # others may keep the machine busy
        try:
            return read(place)
        finally:
            times.append(time.process_time() - begun)

    for place in places:
        try:
            check_inside(timed(read_header, place))
            facts = timed(read_facts, place)
            assert 1 <= facts.n_layers == len(facts.kv_values) == len(facts.layer_bytes)
            assert sum(facts.layer_bytes) + facts.other_bytes <= facts.file_size
            assert facts.name.isprintable()
            passed += 1
        except ModelFileBroken as problem:
            refused += 1
            if not problem.message.isprintable():
                wrong.append(problem.message)
        except BaseException as problem:
            wrong.append(repr(problem))
    return {"passed": passed, "refused": refused, "wrong": wrong, "slowest": max(times)}


def main() -> None:
    directory, mode, *rest = sys.argv[1:]
    place = Path(directory)
    places = list(place.glob("worst *.gguf")) if mode == "worst" else None
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM,) * 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if places is not None:
        result = read_all(iter(sorted(places)))
    else:
        result = read_all(mutants(place, int(mode), int(rest[0]), [Path(name) for name in rest[1:]]))
    result["grown"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(json.dumps(result))


if __name__ == "__main__":
    main()
