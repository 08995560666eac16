"""The worker's calls beside chat, on tiny models."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy
import pytest
from tiny import PLAN

from localmind.engine import llama
from localmind.engine.extras import Extras
from localmind.engine.llama import Model
from localmind.errors import InvalidRequest

OpenExtras = Callable[[str], Extras]


@pytest.fixture
def opened(tiny_model: Callable[[str], Path]) -> Iterator[OpenExtras]:
    kept: list[tuple[Extras, Model]] = []

    def open_(kind: str) -> Extras:
        llama.start()
        model = Model(tiny_model(kind), PLAN, lambda _done: True)
        kept.append((Extras(model, n_threads=1), model))
        return kept[-1][0]

    yield open_
    for extras, model in kept:
        extras.close()
        model.close()


def test_texts_and_their_tokens_have_the_same_vectors_as_bytes(opened: OpenExtras) -> None:
    extras = opened("embedder")
    by_text = extras.embed({"texts": ["the water", "people"]})
    vector = numpy.frombuffer(by_text["vectors"][0], "<f4")
    assert vector.shape == (128,)
    assert numpy.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert by_text["tokens"] > 4
    raw = extras.embed({"tokens": [[2, 5, 6, 3]], "normalize": False})
    assert raw["tokens"] == 4
    assert numpy.linalg.norm(numpy.frombuffer(raw["vectors"][0], "<f4")) > 2


@pytest.mark.parametrize(
    "params", [{}, {"texts": ["a"], "tokens": [[1]]}, {"tokens": [[-1]]}, {"tokens": [[10**6]]}, {"tokens": [[]]}]
)
def test_what_cannot_be_embedded_is_refused(opened: OpenExtras, params: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        opened("embedder").embed(params)


def test_parameters_of_wrong_types_are_refused(opened: OpenExtras) -> None:
    with pytest.raises(msgspec.ValidationError):
        opened("embedder").embed({"texts": [1]})


def test_documents_are_scored_in_their_order(opened: OpenExtras) -> None:
    extras = opened("reranker")
    scores = extras.rerank({"query": "water", "documents": ["people", "the water", "people"]})["scores"]
    assert scores[0] == pytest.approx(scores[2], abs=1e-3)
    assert scores[0] != pytest.approx(scores[1], abs=1e-3)


def test_infill_leaves_room_for_the_answer_and_never_takes_more_than_half_for_it(opened: OpenExtras) -> None:
    extras = opened("fim")
    long = "9" * 3000
    assert len(extras.infill(long, long, (), n_ctx=1000, max_tokens=100).tokens) == 900
    assert len(extras.infill(long, long, (), n_ctx=1000, max_tokens=5000).tokens) == 500
    assert len(extras.infill(long, long, (), n_ctx=2000, max_tokens=None).tokens) == 2000 - 512
    with pytest.raises(InvalidRequest, match="fill in the middle"):
        opened("llama").infill("a", "b", (), n_ctx=100, max_tokens=10)
