"""Images by their first bytes: what they are, how large, whole or not; and what is refused, with what to do."""

import base64
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from images_made import gif, jpeg, png, webp, webp_extended

from localmind.errors import InvalidRequest
from localmind.images import LARGEST, MOST, MOST_TOGETHER, Image, Looks, check_together, from_base64, looks, read_image

WHOLE = (png(), gif(), jpeg(), webp(), webp_extended(700, 300))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png(640, 480), "PNG 640×480"),
        (gif(), "GIF 3×2"),
        (jpeg(4000, 3000), "JPEG 4000×3000"),
        (webp(), "WebP 1×1"),
        (webp_extended(700, 300), "WebP 700×300"),
    ],
)
def test_the_kind_and_the_size_are_read_from_the_bytes(data: bytes, words: str) -> None:
    found = looks(data)
    assert found.words.startswith(words + ", ")
    assert found.size == len(data)


@given(st.sampled_from(WHOLE), st.data())
def test_no_beginning_of_an_image_passes_for_the_whole(whole: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(InvalidRequest):
        looks(whole[:cut])


@given(st.one_of(st.binary(max_size=300), st.tuples(st.sampled_from(WHOLE), st.integers(0, 60), st.binary(max_size=9))))
def test_whatever_the_bytes_are_it_is_an_image_or_an_error_in_words(
    given_bytes: bytes | tuple[bytes, int, bytes],
) -> None:
    if isinstance(given_bytes, tuple):
        whole, at, other = given_bytes
        given_bytes = whole[:at] + other + whole[at + len(other) :]
    with suppress(InvalidRequest):
        assert isinstance(looks(given_bytes), Looks)


@pytest.mark.parametrize(
    ("data", "words", "hint"),
    [
        (b"", "is empty", None),
        (b"%PDF-1.7 ...", "is no PNG, JPEG, WebP or GIF", "folders add"),
        (b"BM" + bytes(60), "is no PNG", "convert it"),
        (bytes(4) + b"ftypheic", "is no PNG", "convert it"),
        (b"just text", "is no PNG", "with -f"),
        (png()[:-5], "cut short", None),
        (png(0, 4), "claims 0×4", None),
        (png(2, 1).replace(b"\0\0\0\x02\0\0\0\x01", b"\x7f\0\0\0\x7f\0\0\0"), "pixels", None),
        (b"\xff\xd8" + b"\xff" * 300_000, "cut short", None),
        (b"GIF89a" + bytes(7) + b"\x21\xfe" + b"\x01x" * 300_000 + b"\0\x3b", "cut short", None),
    ],
)
def test_what_cannot_be_taken_says_why(data: bytes, words: str, hint: str | None) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        looks(data)
    assert hint is None or hint in (caught.value.hint or "")


def test_a_file_is_read_for_what_it_is_whatever_it_is_called(tmp_path: Path) -> None:
    path = tmp_path / "\x1b]0;owned\x07photo.txt"
    path.write_bytes(jpeg())
    assert read_image(path) == (jpeg(), Looks("image/jpeg", 5, 4, len(jpeg())))
    path.write_bytes(b"not an image")
    with pytest.raises(InvalidRequest, match=r"^photo\.txt is no PNG"):
        read_image(path)


def test_what_is_no_file_and_what_is_too_large_is_never_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.write(png())
        file.truncate(LARGEST * 50)
    with pytest.raises(InvalidRequest, match=r"huge\.png has 1000\.0 MB, and an image may have 20 MB"):
        read_image(huge)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InvalidRequest, match="is no file"):
        read_image(tmp_path / "pipe.png")


def test_so_many_and_so_large_images_go_with_one_question() -> None:
    check_together([MOST_TOGETHER // MOST] * MOST)
    with pytest.raises(InvalidRequest, match="21 images are too many"):
        check_together([1] * (MOST + 1))
    with pytest.raises(InvalidRequest, match=r"60\.0 MB together, and 40 MB are the most"):
        check_together([LARGEST] * 3)


def test_base64_comes_bare_or_as_an_address_whose_type_is_not_believed() -> None:
    text = base64.b64encode(gif()).decode()
    for form in (text, text[:20] + "\n" + text[20:], f"data:image/png;base64,{text}"):
        assert from_base64(form) == Image("image/gif", gif())
    assert from_base64(from_base64(text).url) == Image("image/gif", gif())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://example.com/cat.png", "nothing is fetched"),
        ("file:///etc/passwd", "nothing is fetched"),
        ("data:image/png,abc", "no data: address in base64"),
        ("aGk", "not in base64"),
        ("aGk=", "no PNG"),
        ("", "is empty"),
    ],
)
def test_what_is_no_base64_of_an_image_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        from_base64(text)
