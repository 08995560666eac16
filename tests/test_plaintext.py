"""Bytes as text, whatever wrote them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind.plaintext import decode, looks_binary


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a\r\nb\rc\n", "a\nb\nc\n"),
        (b"\xef\xbb\xbfBOM", "BOM"),
        ("größe €".encode(), "größe €"),
        ("größe".encode("utf-16"), "größe"),
        (b"nul\0 inside", "nul inside"),
    ],
)
def test_text_is_decoded_and_keeps_its_lines(data: bytes, text: str) -> None:
    assert decode(data) == text


def test_a_legacy_encoding_is_recognised() -> None:
    german = "Die Größe der Wohnung beträgt 84 Quadratmeter, die Küche ist möbliert.\n" * 5
    assert decode(german.encode("cp1252")) == german
    russian = "Котёл обслуживали девятого октября, давление полтора бара.\n" * 5
    assert decode(russian.encode("cp1251")) == russian


@given(st.binary(max_size=300))
def test_any_bytes_decode_to_something_storable(data: bytes) -> None:
    text = decode(data)
    assert "\0" not in text
    assert "\r" not in text
    text.encode("utf-8")


@pytest.mark.parametrize("text", ["Grüße", "über", "Où est le café ?", "El niño cumplió años mañana", "Größe: 84 m²"])
def test_of_a_few_words_the_commonest_legacy_encoding_is_thought(text: str) -> None:
    assert decode(text.encode("cp1252")) == text


def test_binary_is_told_from_text() -> None:
    assert looks_binary(b"\x7fELF\0\0")
    assert looks_binary(bytes(range(1, 32)) * 4)
    assert not looks_binary("größe\tü\n".encode())
    assert not looks_binary("text".encode("utf-16"))
