"""Headers of model files: the facts of good ones, and no way to crash or hang on bad ones."""

import os
import random
import struct
import time
from pathlib import Path

import pytest
from gguf_files import DATA_SIZE, META, Q8_0, TENSORS, ListOf, header, text, value, whole_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localmind.errors import ModelFileBroken
from localmind.models.gguf import GgufFacts, read_facts, read_header
from localmind.models.gguf_reader import MAX_ELEMENTS, MAX_TEMPLATES

GOOD = whole_file()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tiny.gguf"


def facts_of(path: Path, data: bytes) -> GgufFacts:
    # Written over, not anew: some file systems sync a file that was emptied first, hundreds of times here.
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as out:
        out.write(data)
        out.truncate()
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


def raw(key: str, kind: int, body: bytes) -> bytes:
    """A header of one key, whatever its type says."""
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text(key) + struct.pack("<I", kind) + body


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
        (whole_file(META | {"general.architecture": "\x1b]52;c;x\x07"}), "does not name its architecture"),
        (whole_file(META | {"general.architecture": "a b"}), "does not name its architecture"),
        (whole_file(META | {"general.architecture": 7}), "general.architecture of the wrong type 4"),
        (whole_file(META | {"llama.block_count": 0}), "says it has 0 layers"),
        (whole_file(META | {"llama.block_count": 4_000_000_000}), "says it has"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + (text("k") + value(1)) * 2, "the key k twice"),
        (whole_file(META | {"": 1}), "name '', which cannot be shown"),
        (whole_file(META | {"a\0": 1}), r"name 'a\\x00', which cannot be shown"),
        (whole_file(META | {"\x1b[2J": 1}), r"name '\\x1b\[2J', which cannot be shown"),
        (whole_file(META | {"gpj.\u202eexe": 1}), "which cannot be shown"),
        (whole_file(META).replace(b"general.name", b"general\xff\xff\xff\xff\xff"), "name that is no text"),
        (whole_file(META | {"k" * 5000: 1}), "5000 bytes in a name"),
        (whole_file(META | {"tokenizer.chat_template": "{{ x }}\x1b]8;;evil\x07"}), "template with control characters"),
        (whole_file(META | {"tokenizer.chat_template.tool": "\x9b2J"}), "template with control characters"),
        (whole_file(META | {"tokenizer.chat_template": "x" * (MAX_TEMPLATES + 1)}), "bytes in a template"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 63, 1), "tensors, which cannot be"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 40), "keys, which cannot be"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 62) + bytes(100), "bytes in a name"),
        (raw("a", 8, struct.pack("<Q", (1 << 64) - 1)), "bytes in a text"),
        (raw("a", 13, bytes(99)), "value of the unknown type 13"),
        (raw("a", 9, struct.pack("<IQ", 77, 1) + bytes(99)), "list of the unknown type 77"),
        (raw("a", 9, struct.pack("<IQ", 9, 1) * 50 + bytes(99)), "has a list of lists"),
        (raw("a", 9, struct.pack("<IQ", 4, 1 << 62) + bytes(99)), "elements in a list"),
        (raw("a", 9, struct.pack("<IQ", 4, 1 << 20) + bytes(99)), "cut short or damaged inside its header"),
        (raw("a", 9, struct.pack("<IQ", 8, 1 << 20) + bytes(99)), "cut short or damaged inside its header"),
        (raw("a", 9, struct.pack("<IQQ", 8, 3, 1 << 30) + bytes(99)), "bytes in a text"),
        (header({"a": ListOf(77, [])}, []) + bytes(99), "list of the unknown type 77"),
    ],
)  # fmt: skip
def test_a_bad_header_is_told_in_words(path: Path, data: bytes, says: str) -> None:
    with pytest.raises(ModelFileBroken, match=says) as caught:
        facts_of(path, data)
    assert caught.value.message.isprintable()
    assert caught.value.hint


@pytest.mark.parametrize("alignment", [0, 3, 48, 1 << 17, 1.0, "32", True])
def test_an_alignment_is_a_power_of_two_in_a_32_bit_number(path: Path, alignment: object) -> None:
    with pytest.raises(ModelFileBroken, match="alignment"):
        facts_of(path, whole_file(META | {"general.alignment": alignment}))


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ([("t", (1,) * 5, 0, 0)], "5 dimensions, t"),
        ([("t", (1 << 32, 1 << 32), 0, 0)], "impossible size, t"),
        ([("t", (1 << 31, 1 << 31), 0, 0)], "is cut short: needs 18446744073709"),
        ([("t", (1 << 63, 2, 1 << 63, 2), 24, 0)], "impossible size, t"),
        ([("t", (8,), 0, 1 << 63)], "the tensor t at byte 9223372036854775808 of its data, not at 0"),
        ([("t", (8,), 0, 32)], "at byte 32 of its data, not at 0"),
        ([("t", (8,), 0, 0), ("u", (8,), 0, 0)], "the tensor u at byte 0 of its data, not at 32"),
        ([("t", (8,), 0, 0), ("u", (8,), 0, 33)], "the tensor u at byte 33 of its data, not at 32"),
        ([("t", (8,), 0, 0), ("t", (8,), 0, 32)], "the tensor t twice"),
        ([("t", (8, 0), 0, 0)], "the tensor t, which is empty"),
        ([("t", (33,), Q8_0, 0)], "no whole blocks of Q8_0"),
        ([("t", (), Q8_0, 0)], "no whole blocks of Q8_0"),
        ([("t", (32,), 4, 0)], "unknown type 4, t"),
        ([("t", (32,), 1 << 31, 0)], "unknown type 2147483648, t"),
        ([("t" * 64, (32,), 0, 0)], "64 bytes in a name"),
        ([("", (32,), 0, 0)], "which cannot be shown"),
        ([("t\0", (32,), 0, 0)], "which cannot be shown"),
        ([("\x1b]0;owned\x07", (32,), 0, 0)], "which cannot be shown"),
    ],
)
def test_a_tensor_that_is_not_inside_the_file_or_over_another_is_told_in_words(path: Path, tensors, says) -> None:
    with pytest.raises(ModelFileBroken, match=says) as caught:
        facts_of(path, whole_file(META, tensors))
    assert caught.value.message.isprintable()


def test_what_is_shown_of_a_header_holds_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    meta = META | {"general.name": "Tiny\x1b]52;c;ZXZpbA==\x07\n\u202egpj.exe" + "x" * 9999, "general.type": "a\x1b[2J"}
    facts = facts_of(tmp_path / "tiny.gguf", whole_file(meta))
    assert facts.name.startswith("Tiny gpj.exe")
    assert len(facts.name) <= 200
    assert read_header(tmp_path / "tiny.gguf").keys["general.type"] == "a"
    with pytest.raises(ModelFileBroken, match=r"^evil\.gguf is not a GGUF file"):
        facts_of(tmp_path / "\x1b[31mevil.gguf", b"nothing at all")


def test_a_model_for_nobody_to_read_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    for path in (tmp_path / "pipe.gguf", tmp_path):
        with pytest.raises(ModelFileBroken, match="is not a file"):
            read_facts(path)


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


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(GOOD) - DATA_SIZE - 8), number=st.integers(0, 2**64 - 1))
def test_any_64_bit_number_anywhere_in_a_header_is_survived(tmp_path, at, number) -> None:
    data = bytearray(GOOD)
    data[at : at + 8] = struct.pack("<Q", number)
    try:
        facts_of(tmp_path / "damaged.gguf", bytes(data))
    except ModelFileBroken:
        return


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400))
def test_noise_after_the_magic_is_survived(tmp_path, data) -> None:
    try:
        facts_of(tmp_path / "noise.gguf", b"GGUF\x03\0\0\0" + data)
    except ModelFileBroken:
        return


def test_a_large_vocabulary_over_many_windows_is_read_right(path: Path) -> None:
    rng = random.Random(3)
    tokens = ["" if n % 100 == 0 else f"{n}" + "x" * rng.randrange(0, 60) for n in range(60_000)]
    facts = facts_of(path, whole_file(META | {"tokenizer.ggml.tokens": ListOf(8, tokens)}))
    assert facts.n_vocab == 60_000
    assert facts.has_template
    assert facts.n_tensors == 3


def test_a_vocabulary_with_a_token_twice_is_refused_for_llama_cpp_aborts_on_it(path):
    tokens = [f"token {n}" for n in range(100)]
    assert facts_of(path, whole_file(META | {"tokenizer.ggml.tokens": ListOf(8, ["", "", *tokens])})).n_vocab == 102
    with pytest.raises(ModelFileBroken, match="a token twice"):
        facts_of(path, whole_file(META | {"tokenizer.ggml.tokens": ListOf(8, [*tokens, "token 7"])}))
    with pytest.raises(ModelFileBroken, match="a token twice"):
        facts_of(path, whole_file(META | {"tokenizer.ggml.tokens": ListOf(8, [*tokens, "token 7\0 of another"])}))
