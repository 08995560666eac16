"""How long the header of a GGUF with a large vocabulary takes to read.

    python benchmarks/gguf_header.py [--vocab 150000] [--merges N] [--repeat 9] [FILE]

Without FILE it writes the header of a model of that vocabulary: token texts of the lengths real ones have, scores,
types and merges (as many as tokens). The weights are not written, only left room for. Prints the median and
the best of the repeats, warm and for the first read, and how much Python allocated at most.
"""

import argparse
import random
import statistics
import struct
import tempfile
import time
import tracemalloc
from pathlib import Path

from localmind.models.gguf import read_facts


def _text(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data


def _texts(count: int, draw: random.Random) -> bytes:
    texts = (_text(b"%d" % number + b"x" * draw.randrange(1, 9)) for number in range(count))
    return struct.pack("<IIQ", 9, 8, count) + b"".join(texts)


def _numbers(kind: int, count: int) -> bytes:
    return struct.pack("<IIQ", 9, kind, count) + bytes(4 * count)


def write(path: Path, vocab: int, merges: int) -> None:
    """A header of 32 layers, and a file as long as its tensors need."""
    draw = random.Random(1)
    integers = {"block_count": 32, "embedding_length": 4096, "attention.head_count": 32, "context_length": 131072}
    values = {f"llama.{key}": struct.pack("<II", 4, value) for key, value in integers.items()}
    values["general.architecture"] = struct.pack("<I", 8) + _text(b"llama")
    values["tokenizer.ggml.tokens"] = _texts(vocab, draw)
    values["tokenizer.ggml.scores"] = _numbers(6, vocab)
    values["tokenizer.ggml.token_type"] = _numbers(5, vocab)
    values["tokenizer.ggml.merges"] = _texts(merges, draw)
    values["tokenizer.chat_template"] = struct.pack("<I", 8) + _text(b"{{ messages }}" * 500)
    names = [f"blk.{layer}.tensor_{n}.weight" for layer in range(32) for n in range(9)]
    data = b"GGUF" + struct.pack("<IQQ", 3, len(names), len(values))
    data += b"".join(_text(key.encode()) + value for key, value in values.items())
    data += b"".join(
        _text(name.encode()) + struct.pack("<I2QIQ", 2, 64, 64, 0, 16384 * n) for n, name in enumerate(names)
    )
    with path.open("wb") as out:
        out.write(data)
        out.truncate(len(data) + 32 + 16384 * len(names))


def measure(path: Path, repeat: int) -> None:
    times: list[float] = []
    for _ in range(repeat):
        begun = time.perf_counter()
        facts = read_facts(path)
        times.append(time.perf_counter() - begun)
    tracemalloc.start()
    read_facts(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{path.name}: {facts.n_vocab:,} tokens, {facts.n_tensors} tensors, header {facts.data_offset / 1e6:.1f} MB")
    print(
        f"first {times[0] * 1e3:.0f} ms, median {statistics.median(times) * 1e3:.0f} ms, best {min(times) * 1e3:.0f} ms"
    )
    print(f"allocated at most {most / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--vocab", type=int, default=150_000)
    parser.add_argument("--merges", type=int)
    parser.add_argument("--repeat", type=int, default=9)
    asked = parser.parse_args()
    if asked.file is not None:
        measure(asked.file, asked.repeat)
        return
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"vocabulary of {asked.vocab}.gguf"
        write(path, asked.vocab, asked.vocab if asked.merges is None else asked.merges)
        measure(path, asked.repeat)


if __name__ == "__main__":
    main()
