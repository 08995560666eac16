"""Numbers with what they count."""

import pytest

from localmind.counted import counted


@pytest.mark.parametrize(("number", "words"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (17204, "17,204 files")])
def test_one_is_not_several(number: int, words: str) -> None:
    assert counted(number, "file") == words


def test_a_word_may_have_a_plural_of_its_own() -> None:
    assert (counted(1, "copy", "copies"), counted(2, "copy", "copies")) == ("1 copy", "2 copies")
