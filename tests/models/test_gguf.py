"""Headers of model files: the facts of good ones, and no way to crash or hang on bad ones."""

import random
import struct
import time
from pathlib import Path

import pytest
from gguf_files import DATA_SIZE, META, TENSORS, ListOf, header, whole_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localmind.errors import ModelFileBroken
from localmind.models.gguf import MAX_ELEMENTS, GgufFacts, read_facts

GOOD = whole_file()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tiny.gguf"


def facts_of(path: Path, data: bytes) -> GgufFacts:
    path.write_bytes(data)
    return read_facts(path)


def test_the_facts_of_a_whole_file(path: Path) -> None:
    facts = facts_of(path, GOOD)
    assert (facts.architecture, facts.name, facts.n_layers, facts.ctx_train) == ("llama", "Tiny", 2, 4096)
    assert (facts.n_heads, facts.head_dim, facts.n_embd, facts.n_vocab) == (4, 16, 64, 100)
    assert facts.kv_values == (64, 64)
    assert (facts.layer_bytes, facts.other_bytes) == ((4352, 4352), 25600)
    assert facts.n_params == 6400 + 2 * 4096
    assert facts.quantisation == "F32"
    assert facts.has_template
    assert facts.file_size == len(GOOD)


def test_heads_that_differ_by_layer_are_counted_by_layer(path: Path) -> None:
    meta = META | {"llama.attention.head_count_kv": ListOf(5, [4, 1]), "llama.attention.key_length": 32}
    assert facts_of(path, whole_file(meta)).kv_values == (4 * 64, 1 * 64)


def test_a_file_cut_short_in_its_tensors_is_named_with_both_sizes(path: Path) -> None:
    with pytest.raises(ModelFileBroken) as caught:
        facts_of(path, GOOD[:-1])
    assert caught.value.message == f"tiny.gguf is cut short: needs {len(GOOD)} bytes, has {len(GOOD) - 1}"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "cut short or damaged inside its header"),
        (b"GG", "cut short or damaged inside its header"),
        (b"PK\x03\x04" + GOOD, "is not a GGUF file"),
        (b"GGUF" + struct.pack(">I", 3) + GOOD[8:], "GGUF version 50331648"),
        (header(META, TENSORS, version=1), "GGUF version 1"),
        (GOOD[:500], "cut short or damaged inside its header"),
        (whole_file({"general.name": "x"}), "does not name its architecture"),
        (whole_file(META | {"llama.block_count": 0}), "says it has 0 layers"),
        (whole_file(META | {"llama.block_count": 4_000_000_000}), "says it has"),
        (whole_file(META | {"general.alignment": 0}), "senseless alignment"),
        (whole_file(META, [("t", (1,) * 5, 0, 0)]), "5 dimensions"),
        (whole_file(META, [("t", (1 << 60, 1 << 60), 0, 0)]), "impossible size"),
        (whole_file(META, [("t", (8,), 0, 1 << 63)]), "is cut short: needs"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 63, 1), "tensors, which cannot be"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 40), "keys, which cannot be"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 62) + bytes(100), "bytes in a name"),
        (header({"a": ListOf(4, [])}, [])[:-8] + struct.pack("<Q", 1 << 62) + bytes(99), "elements in a list"),
        (header({"a": ListOf(77, [])}, []) + bytes(99), "does not name its architecture"),
    ],
)  # fmt: skip
def test_a_bad_header_is_told_in_words(path: Path, data: bytes, says: str) -> None:
    with pytest.raises(ModelFileBroken, match=says):
        facts_of(path, data)


def test_lists_inside_lists_have_an_end(path: Path) -> None:
    nested = struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 50 + bytes(64)
    with pytest.raises(ModelFileBroken, match="unknown type 9"):
        facts_of(path, b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a" + nested)


def test_a_sparse_file_that_claims_millions_of_texts_costs_seconds_at_most(path: Path) -> None:
    with path.open("wb") as out:
        out.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 2))
        for _ in range(2):
            out.write(struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, 8, MAX_ELEMENTS // 8))
            out.seek(MAX_ELEMENTS, 1)
        out.truncate(1 << 34)
    begun = time.monotonic()
    with pytest.raises(ModelFileBroken):
        read_facts(path)
    assert time.monotonic() - begun < 20


def test_a_file_that_is_not_there_is_a_broken_model_not_a_crash(path: Path) -> None:
    with pytest.raises(ModelFileBroken, match="cannot be read"):
        read_facts(path)


@settings(max_examples=400, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.integers(0, len(GOOD) - DATA_SIZE - 1), st.integers(0, 255)), max_size=12),
    cut=st.none() | st.integers(0, len(GOOD)),
)
def test_any_damage_to_a_header_gives_facts_or_model_file_broken(tmp_path, flips, cut) -> None:
    data = bytearray(GOOD)
    for at, byte in flips:
        data[at] = byte
    try:
        facts = facts_of(tmp_path / "damaged.gguf", bytes(data[:cut]))
    except ModelFileBroken:
        return
    assert 1 <= facts.n_layers <= 4096
    assert len(facts.kv_values) == len(facts.layer_bytes) == facts.n_layers
    assert all(count >= 0 for count in facts.kv_values)


@settings(max_examples=200, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(GOOD) - DATA_SIZE - 8), number=st.integers(0, 2**64 - 1))
def test_any_64_bit_number_anywhere_in_a_header_is_survived(tmp_path, at, number) -> None:
    data = bytearray(GOOD)
    data[at : at + 8] = struct.pack("<Q", number)
    try:
        facts_of(tmp_path / "damaged.gguf", bytes(data))
    except ModelFileBroken:
        return


@settings(max_examples=100, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400))
def test_noise_after_the_magic_is_survived(tmp_path, data) -> None:
    try:
        facts_of(tmp_path / "noise.gguf", b"GGUF\x03\0\0\0" + data)
    except ModelFileBroken:
        return


def test_a_large_vocabulary_over_many_windows_is_read_right(path: Path) -> None:
    rng = random.Random(3)
    tokens = ["x" * rng.randrange(0, 60) for _ in range(60_000)]
    facts = facts_of(path, whole_file(META | {"tokenizer.ggml.tokens": ListOf(8, tokens)}))
    assert facts.n_vocab == 60_000
    assert facts.has_template
    assert facts.n_tensors == 3
