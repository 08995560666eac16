"""MiniLM on CTranslate2 against the same weights in plain numpy."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy
import pytest
from knowledge_fakes import FakeReply
from numpy_bert import NumpyBert

from localmind.errors import InvalidRequest, ModelFileBroken
from localmind.knowledge.convert import cache_key, converted, read_config
from localmind.knowledge.embed_worker import EmbedCalls, Embedder

TEXTS = [
    "When was the boiler last serviced?",
    "The boiler was serviced on 9 October 2026 by Marek Dudek.",
    "Plum cake: 1.5 kg of plums, 500 g of flour, one tray gives 20 pieces.",
    "def weight_kg(counts, offset):\n    return (counts - offset) / 21.7",
    "ключ под ковриком, größe, 価格",
    "x",
    "",
    "word " * 400,
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("converted")


@pytest.fixture(scope="module")
def embedder(embed_model_dir: Path, cache: Path) -> Embedder:
    return Embedder(embed_model_dir, cache, threads=2)


def test_int8_vectors_are_those_of_the_float32_reference(embedder: Embedder, embed_model_dir: Path) -> None:
    passages = [path.read_text()[:900] for path in sorted((Path(__file__).parents[2] / "samples").rglob("*.md"))[:8]]
    reference = NumpyBert(embed_model_dir)
    cosines = (reference.embed(passages, embedder.max_tokens) * embedder.embed(passages)).sum(axis=1)
    # Measured 0.9974 in the median and 0.992 at least on a CPU without AMX; 8-bit kernels differ by CPU.
    assert numpy.median(cosines) >= 0.996
    assert cosines.min() >= 0.985
    # A question has few tokens over which the rounding could average out; a single letter has none.
    short = (reference.embed(TEXTS, embedder.max_tokens) * embedder.embed(TEXTS)).sum(axis=1)
    assert short[:5].min() >= 0.99
    assert short.min() >= 0.96


def test_float32_vectors_equal_the_reference(embed_model_dir: Path, cache: Path) -> None:
    exact = Embedder(embed_model_dir, cache, threads=2, quantization="float32")
    reference = NumpyBert(embed_model_dir).embed(TEXTS, exact.max_tokens)
    assert ((reference * exact.embed(TEXTS)).sum(axis=1)).min() >= 0.9999


def test_vectors_have_unit_length_and_keep_the_order_of_the_texts(embedder: Embedder) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), 384)
    assert numpy.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-4)
    alone = numpy.concatenate([embedder.embed([text]) for text in TEXTS])
    assert ((vectors * alone).sum(axis=1)).min() > 0.99
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3


def test_the_worker_loads_what_a_call_names(embed_model_dir: Path, cache: Path) -> None:
    calls, reply = EmbedCalls(), FakeReply()
    params: dict[str, Any] = {"model_dir": str(embed_model_dir), "cache_dir": str(cache), "threads": 1}
    with pytest.raises(InvalidRequest, match="no embedder"):
        calls.embed({"texts": ["a"], "kind": "query"}, reply)
    assert calls.load(params, reply) == {"dim": 384, "max_tokens": 256}
    data = calls.embed({"texts": ["a", "b"], "kind": "query"}, reply)
    assert len(data) == 2 * 384 * 4
    assert calls.embed(params | {"texts": ["a", "b"], "kind": "passage"}, reply) == data
    assert calls.count_tokens({"texts": ["a b"]}, reply) == [4]
    with pytest.raises(InvalidRequest):
        calls.embed(params | {"texts": "a", "kind": "query"}, reply)


def test_a_conversion_is_kept_and_a_broken_rest_does_not_matter(embed_model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / ".convert-dead").mkdir()
    first = converted(embed_model_dir, tmp_path)
    before = (first / "model.bin").stat().st_mtime_ns
    assert converted(embed_model_dir, tmp_path) == first
    assert (first / "model.bin").stat().st_mtime_ns == before
    assert first.name == cache_key(embed_model_dir, "int8") != cache_key(embed_model_dir, "float32")


def test_models_that_are_broken_or_of_another_kind_are_refused(embed_model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileBroken, match=r"config\.json"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    with pytest.raises(ModelFileBroken, match="roberta"):
        read_config(tmp_path)
    shutil.copy(embed_model_dir / "config.json", tmp_path)
    with pytest.raises(ModelFileBroken, match="weights"):
        converted(tmp_path, tmp_path / "cache")
    (tmp_path / "model.safetensors").write_bytes((embed_model_dir / "model.safetensors").read_bytes()[:100_000])
    with pytest.raises(ModelFileBroken, match="weights are broken"):
        converted(tmp_path, tmp_path / "cache")
    assert not [entry for entry in (tmp_path / "cache").iterdir() if not entry.name.startswith(".lock")]
