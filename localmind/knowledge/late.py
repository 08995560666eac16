"""Compares a question with a chunk word by word: late interaction, from sketches made when the chunk was embedded.

One vector says what a chunk is about as a whole; what single words say in their sentence is lost in the mean. So
each word's state is kept too, as the signs of 256 random projections (32 bytes; the angle between two states can be
read from it to within 0.06), without words that say little. A chunk's score is the mean over the question's words of
the nearest word's cosine, weighted by rarity (ColBERT's MaxSim, with the embedder's own states: no other model is
needed, and nothing but the question is computed while somebody waits). Runs in the embed worker.
"""

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from localmind.knowledge.language import STOP_WORDS

BITS = 256
BYTES = BITS // 8
# Weight of a question's words that are too small to be looked for, against ln(1 + N / n) of the others.
SMALL = 1.5

_WORD = re.compile(r"\w+")


@functools.cache
def projection(dim: int) -> Any:
    """A fixed matrix of +1 and -1, the same on every machine and with every version of numpy."""
    import numpy

    noise = hashlib.shake_256(b"localmind").digest(dim * BYTES)
    signs = numpy.unpackbits(numpy.frombuffer(noise, dtype=numpy.uint8)).reshape(dim, BITS)
    return signs.astype(numpy.float32) * 2 - 1


def silent(vocabulary: Mapping[str, int]) -> frozenset[int]:
    """Tokens that are left out of a sketch: signs, the model's own marks, small words."""
    small = STOP_WORDS["en"]
    return frozenset(
        number
        for token, number in vocabulary.items()
        if not _WORD.search(token) or token in small or (token.startswith("[") and token.endswith("]"))
    )


def sketch(states: Any, ids: Sequence[int], left_out: frozenset[int]) -> bytes:
    """The words of one text, BYTES each. `states`: a row a token."""
    import numpy

    kept = [row for row, number in enumerate(ids) if number not in left_out]
    if not kept:
        return b""
    return bytes(numpy.packbits(states[kept] @ projection(states.shape[1]) > 0, axis=1).tobytes())


def word_weights(text: str, offsets: Sequence[tuple[int, int]], weights: Mapping[str, float]) -> list[float]:
    """A weight for each token of a question: its word's, SMALL for one that has none, nothing for the model's marks.

    `weights`: lower-case word → weight.
    """
    words = [(found.start(), found.end(), found[0].lower()) for found in _WORD.finditer(text)]
    found = []
    for start, end in offsets:
        word = next((word for first, last, word in words if first <= start < last), "")
        found.append(weights.get(word, SMALL) if end > start else 0.0)
    return found


def scores(states: Any, weights: Sequence[float], sketches: Sequence[bytes]) -> list[float]:
    """For each chunk the weighted mean of its nearest words' similarities, from -1 to 1; 0 without words."""
    import numpy

    share = numpy.asarray(weights, dtype=numpy.float32)
    if not share.any():
        share = numpy.ones(len(share), dtype=numpy.float32)
    heard = numpy.flatnonzero(share)
    counts = numpy.array([len(one) // BYTES for one in sketches])
    found = numpy.zeros(len(sketches), dtype=numpy.float32)
    spoken = numpy.flatnonzero(counts)
    if len(spoken):
        question = states[heard] @ projection(states.shape[1])
        question /= numpy.maximum(numpy.linalg.norm(question, axis=1, keepdims=True), 1e-12)
        packed = numpy.frombuffer(b"".join(sketches), dtype=numpy.uint8).reshape(-1, BYTES)
        # A bit b stands for 2 b - 1; that is worked out after the product, which is a tenth as big.
        near = 2 * (question @ numpy.unpackbits(packed, axis=1).astype(numpy.float32).T)
        near -= question.sum(axis=1, keepdims=True)
        first = numpy.cumsum(counts[spoken]) - counts[spoken]
        best = numpy.maximum.reduceat(near, first, axis=1) / numpy.sqrt(BITS)
        found[spoken] = share[heard] @ best / share.sum()
    return [float(one) for one in found]
