"""Adapters change the answers of those who ask for them, and of nobody else."""

import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pytest
import random_gguf
from tiny import Tiny, same

from localmind.engine.adapters import Adapters
from localmind.errors import InvalidRequest, ModelFileBroken, NotFound
from localmind.models.gguf import read_header


@pytest.fixture
def tiny(tiny_model: Callable[[str], Path]) -> Iterator[Tiny]:
    opened = Tiny(tiny_model("llama"))
    yield opened
    opened.close()


@pytest.fixture
def adapters(tiny: Tiny) -> Adapters:
    return Adapters(tiny.model, tiny.context)


def double_alpha(good: Path, path: Path) -> Path:
    """The same adapter with its alpha as a float64, which takes 4 bytes more; padding gives them."""
    data = good.read_bytes()
    at = data.index(b"adapter.lora.alpha") + len(b"adapter.lora.alpha")
    assert struct.unpack_from("<If", data, at) == (6, 8.0)
    header = read_header(good)
    longer = data[:at] + struct.pack("<Id", 12, 8.0) + data[at + 8 : header.data_offset]
    path.write_bytes(longer[: -(len(longer) % 32) or None] + data[header.data_offset :])
    return path


def logits(tiny: Tiny) -> list[object]:
    tiny.context.clear()
    return tiny.follow(0, tiny.evaluate(0, tiny.tokens(30)), 30)


def test_logits_differ_with_an_adapter_and_are_the_same_again_without(
    tiny: Tiny, adapters: Adapters, tiny_model: Callable[[str], Path]
) -> None:
    alone = logits(tiny)
    adapters.load("tone", tiny_model("lora"))
    assert same(logits(tiny), alone), "loading alone changes nothing"
    adapters.use(adapters.choose([("tone", 1.0)]))
    full = logits(tiny)
    assert not numpy.allclose(full[0], alone[0], atol=0.1)
    adapters.use(adapters.choose([("tone", 0.25)]))
    quarter = logits(tiny)
    assert not numpy.allclose(quarter[0], full[0], atol=0.05)
    adapters.use(adapters.choose([]))
    assert same(logits(tiny), alone)
    adapters.use(adapters.choose([("tone", 1.0)]))
    assert same(logits(tiny), full)


def test_two_adapters_work_together_whatever_their_order(
    tiny: Tiny, adapters: Adapters, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    adapters.load("one", tiny_model("lora"))
    adapters.load("two", random_gguf.write_lora(tmp_path / "two.gguf", seed=2))
    both = adapters.choose([("one", 1.0), ("two", 0.5)])
    assert adapters.choose([("two", 0.5), ("one", 1.0)]) == both
    adapters.use(both)
    mixed = logits(tiny)
    adapters.use(adapters.choose([("one", 1.0)]))
    assert not numpy.allclose(logits(tiny)[0], mixed[0], atol=0.05)
    assert [adapter.name for adapter in adapters.loaded] == ["one", "two"]


def test_a_set_names_bytes_and_not_names(adapters: Adapters, tmp_path: Path) -> None:
    path = random_gguf.write_lora(tmp_path / "a.gguf", seed=2)
    first = adapters.load("tone", path)
    assert (first.rank, first.alpha) == (4, 8.0)
    before = adapters.choose([("tone", 1.0)])
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(path.read_bytes())
    adapters.load("same", copy)
    assert adapters.choose([("same", 1.0)]) == before
    adapters.load("tone", random_gguf.write_lora(tmp_path / "b.gguf", seed=3))
    assert adapters.choose([("tone", 1.0)]) != before, "replaced under its name"


def test_a_scale_of_zero_is_the_model_alone(adapters: Adapters, tiny_model: Callable[[str], Path]) -> None:
    adapters.load("tone", tiny_model("lora"))
    assert adapters.choose([("tone", 0.0)]) == adapters.choose([]) == ()


def test_what_is_asked_wrongly_is_refused_by_name(adapters: Adapters, tiny_model: Callable[[str], Path]) -> None:
    adapters.load("tone", tiny_model("lora"))
    with pytest.raises(NotFound, match=r"'voice' .* loaded are: tone"):
        adapters.choose([("voice", 1.0)])
    with pytest.raises(InvalidRequest, match="twice"):
        adapters.choose([("tone", 1.0), ("tone", 0.5)])
    for scale in (math.nan, math.inf, -1e9):
        with pytest.raises(InvalidRequest, match="scale"):
            adapters.choose([("tone", scale)])
    with pytest.raises(InvalidRequest, match="name"):
        adapters.load("", tiny_model("lora"))


def test_files_that_are_no_adapter_of_this_model_are_refused_before_native_code_sees_them(
    tiny: Tiny, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    adapters = Adapters(tiny.model, tiny.context)
    with pytest.raises(ModelFileBroken, match="not a LoRA adapter"):
        adapters.load("model", tiny_model("llama"))
    wrong = random_gguf.write_lora(tmp_path / "wrong.gguf", alpha="eight")
    with pytest.raises(ModelFileBroken, match="alpha"):
        adapters.load("wrong", wrong)
    with pytest.raises(ModelFileBroken, match="alpha"):  # llama.cpp ends the process for either
        adapters.load("wide", double_alpha(tiny_model("lora"), tmp_path / "double.gguf"))
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_model("lora").read_bytes()[:5000])
    with pytest.raises(ModelFileBroken, match="cut short"):
        adapters.load("cut", cut)
    with pytest.raises(ModelFileBroken, match="cannot be read"):
        adapters.load("gone", tmp_path / "gone.gguf")
    other = Tiny(tiny_model("swa"))
    with pytest.raises(InvalidRequest, match="is for llama and the model is gemma3"):
        Adapters(other.model, other.context).load("tone", tiny_model("lora"))
    other.close()
    assert adapters.loaded == []


def test_an_adapter_of_another_size_is_refused_with_the_reason_of_llama_cpp(
    adapters: Adapters, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    path = random_gguf.write_lora(tmp_path / "wide.gguf", embd=256)
    with pytest.raises(ModelFileBroken, match="incorrect shape"):
        adapters.load("wide", path)
    assert adapters.loaded == []
