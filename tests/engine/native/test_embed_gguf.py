"""Embeddings and rerank scores from tiny GGUFs: the same number whatever is computed beside it, or a clear refusal."""

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import PLAN, Tiny

from localmind.engine import llama
from localmind.engine.embed import Embedder, _batches, only_embeds
from localmind.engine.llama import Model
from localmind.engine.loaded import Loaded
from localmind.errors import ContextTooLong, InvalidRequest, ModelFileBroken

TEXTS = ["the water of people", "we came back again", "x", "the same words, the same words"]
MODELS = ("embedder", "llama", "swa", "recurrent", "hybrid")

Open = Callable[[str], tuple[Embedder, Model]]


@pytest.fixture
def opened(tiny_model: Callable[[str], Path]) -> Iterator[Open]:
    models: list[tuple[Embedder, Model]] = []

    def open_(kind: str) -> tuple[Embedder, Model]:
        llama.start()
        model = Model(tiny_model(kind), PLAN, lambda _done: True)
        models.append((Embedder(model, n_threads=1), model))
        return models[-1]

    yield open_
    for embedder, model in models:
        embedder.close()
        model.close()


def tokens(model: Model, texts: list[str]) -> list["array[int]"]:
    return [model.tokenize(text, add_special=True) for text in texts]


@pytest.mark.parametrize("kind", MODELS)
def test_a_text_has_the_same_vector_alone_and_among_others(opened: Open, kind: str) -> None:
    embedder, model = opened(kind)
    texts = tokens(model, TEXTS * 12)
    together = embedder.embed(texts)
    assert together.shape == (48, embedder.width)
    for index in range(4):
        assert numpy.abs(embedder.embed([texts[index]])[0] - together[index]).max() < 1e-3
        assert numpy.abs(together[index] - together[index + 40]).max() < 1e-3


@pytest.mark.parametrize("kind", MODELS)
def test_vectors_have_length_one_unless_asked_otherwise(opened: Open, kind: str) -> None:
    embedder, model = opened(kind)
    texts = tokens(model, TEXTS)
    vectors = embedder.embed(texts)
    raw = embedder.embed(texts, normalize=False)
    assert numpy.allclose(numpy.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert not numpy.allclose(numpy.linalg.norm(raw, axis=1), 1, atol=1e-2)
    assert numpy.allclose(raw / numpy.linalg.norm(raw, axis=1, keepdims=True), vectors, atol=1e-5)


def test_the_mean_is_over_all_tokens_and_the_order_of_texts_is_kept(opened: Open) -> None:
    embedder, model = opened("embedder")
    texts = tokens(model, [f"{'the water ' * count}{count}" for count in range(1, 30)])
    vectors = embedder.embed(texts)
    backwards = embedder.embed(texts[::-1])
    assert numpy.allclose(vectors, backwards[::-1], atol=1e-4)
    assert len({tuple(numpy.round(row, 3)) for row in vectors}) == len(texts)


def test_a_text_that_is_too_long_is_refused_with_both_numbers(opened: Open) -> None:
    embedder, _ = opened("embedder")
    assert embedder.n_tokens == 512
    fits = array("i", [5] * 512)
    assert embedder.embed([fits, fits]).shape == (2, 128)
    with pytest.raises(ContextTooLong, match=r"text 2 has 513 tokens .* at most 512"):
        embedder.embed([fits, array("i", [5] * 513)])
    with pytest.raises(InvalidRequest, match="text 1 is empty"):
        embedder.embed([array("i")])
    assert embedder.embed([]).shape == (0, 128)


def test_a_reranker_scores_each_document_alone_and_makes_no_embeddings(opened: Open) -> None:
    embedder, model = opened("reranker")
    documents = [*TEXTS * 9, "the water of people and more"]
    scores = embedder.rerank("water", documents)
    assert len(scores) == 37
    assert scores[0] == pytest.approx(scores[4], abs=1e-3)
    assert embedder.rerank("water", documents[1:2]) == [pytest.approx(scores[1], abs=1e-3)]
    assert scores[0] != pytest.approx(scores[1], abs=1e-3)
    assert embedder.rerank("people", documents)[0] != pytest.approx(scores[0], abs=1e-4)
    with pytest.raises(InvalidRequest, match="reranker"):
        embedder.embed(tokens(model, TEXTS))


def test_query_and_document_stand_between_the_marks_of_the_vocabulary(opened: Open) -> None:
    embedder, model = opened("reranker")
    bos, eos, sep = 2, 3, 3
    words = {text: list(model.tokenize(text, add_special=False)) for text in ("water", "people", "[SEP]")}
    assert [list(pair) for pair in embedder.pairs("water", ["people"])] == [
        [bos, *words["water"], eos, sep, *words["people"], eos]
    ]
    inside = embedder.pairs("water", ["[SEP]"])[0][len(words["water"]) + 3 : -1]
    assert sep not in inside, "a document cannot write a mark of its own"


def test_a_model_without_rank_pooling_says_so(opened: Open) -> None:
    embedder, _ = opened("embedder")
    with pytest.raises(InvalidRequest, match="rank pooling"):
        embedder.rerank("water", ["people"])


def test_embedding_leaves_the_cells_of_a_chat_on_the_same_weights_alone(tiny_model: Callable[[str], Path]) -> None:
    tiny = Tiny(tiny_model("llama"))
    prompt = tiny.tokens(40)
    expected = tiny.follow(0, tiny.evaluate(0, prompt), 40)
    tiny.context.clear()
    logits = tiny.evaluate(0, prompt)
    embedder = Embedder(tiny.model, n_threads=1)
    embedder.embed(tokens(tiny.model, TEXTS))
    after = tiny.follow(0, logits, 40)
    embedder.close()
    tiny.close()
    assert all(numpy.array_equal(one, other) for one, other in zip(expected, after, strict=True))


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(50, 200), st.integers(1, 8))
def test_batches_hold_every_text_once_and_never_too_much(lengths: list[int], n_tokens: int, n_texts: int) -> None:
    batches = list(_batches(lengths, n_tokens, n_texts))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 0 < len(batch) <= n_texts
        assert sum(lengths[index] for index in batch) <= n_tokens


@pytest.mark.parametrize(
    ("kind", "only"), [("embedder", True), ("reranker", True), ("llama", False), ("hybrid", False)]
)
def test_encoders_are_told_from_models_that_write(opened: Open, kind: str, only: bool) -> None:
    assert only_embeds(opened(kind)[1]) is only


def test_an_encoder_that_says_it_writes_is_a_broken_file_and_not_the_end_of_the_process(
    tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    path = tmp_path / "bert.gguf"
    path.write_bytes(tiny_model("embedder").read_bytes().replace(b"bert.attention.causal", b"bert>attention.causal"))
    llama.start()
    with pytest.raises(ModelFileBroken, match="only reads"):
        Loaded(Model(path, PLAN, lambda _done: True), PLAN)
