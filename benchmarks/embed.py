#!/usr/bin/env python3
"""How fast MiniLM embeds on this machine, by quantisation and batch size, and how near it stays to float32.

    python benchmarks/embed.py MODEL_DIR [--chunks 200] [--threads 2]

Chunks are cut from samples/ and this repository as the index cuts them, so that lengths are real. All settings
run side by side in one process, each on the same chunks in the same order; one run, no average. Cosine is
against CTranslate2 float32, which tests/knowledge holds to plain numpy (>= 0.9999).
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy

from localmind.knowledge.chunk import chunk, splitter
from localmind.knowledge.embed_worker import Embedder
from localmind.knowledge.extract import extract, kind_of
from localmind.knowledge.index import embedded_text

REPOSITORY = Path(__file__).parents[1]


def texts(tokenizer: Path, count: int) -> list[str]:
    """Real chunks: the samples first, then this repository's own files."""
    found: list[str] = []
    for folder in ("samples", "localmind", "tests"):
        for path in sorted((REPOSITORY / folder).rglob("*")):
            kind = kind_of(path.name) if path.is_file() else None
            if kind in (None, "unknown") or len(found) >= count:
                continue
            document = extract(path.read_bytes(), str(kind))
            split = splitter(tokenizer, kind)
            found += [embedded_text(piece.heading, piece.text) for piece in chunk(document, split)]
    return found[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("--chunks", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    chosen = texts(arguments.model_dir / "tokenizer.json", arguments.chunks)
    with tempfile.TemporaryDirectory() as cache:
        exact = Embedder(arguments.model_dir, Path(cache), threads=arguments.threads, quantization="float32")
        fast = Embedder(arguments.model_dir, Path(cache), threads=arguments.threads)
        lengths = exact.count_tokens(chosen)
        print(f"{len(chosen)} chunks, {sum(lengths) / len(lengths):.0f} tokens on average, {arguments.threads} threads")
        reference = exact.embed(chosen)
        print(f"{'':10} {'batch':>5} {'chunks/s':>9} {'cosine min':>11} {'median':>8}")
        for name, embedder in (("int8", fast), ("float32", exact)):
            for batch in (4, 16, 32):
                started = time.perf_counter()
                vectors = embedder.embed(chosen, batch=lambda size=batch: size)
                seconds = time.perf_counter() - started
                cosines = (vectors * reference).sum(axis=1)
                rate, least, median = len(chosen) / seconds, cosines.min(), numpy.median(cosines)
                print(f"{name:10} {batch:5} {rate:9.1f} {least:11.4f} {median:8.4f}", flush=True)
        for name, embedder in (("int8", fast), ("float32", exact)):
            started = time.perf_counter()
            for _ in range(20):
                embedder.embed(["When was the boiler last serviced?"])
            print(f"{name}: one question {(time.perf_counter() - started) / 20 * 1000:.1f} ms")


if __name__ == "__main__":
    main()
