"""Examples that hypothesis draws are those of the run before, whichever tests came first."""

import sys

from hypothesis import given
from hypothesis import strategies as st
from our_modules import ours


@given(st.none())
def test_all_that_hypothesis_takes_constants_from_is_loaded_before_the_first_example(nothing: None) -> None:
    assert [name for name in ours() if name not in sys.modules] == []
