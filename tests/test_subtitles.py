"""SRT and WebVTT: times that every player reads, and text that cannot break its cue."""

import re

from hypothesis import given
from hypothesis import strategies as st

from localmind.speech import Segment
from localmind.subtitles import srt, stamp, vtt

SEGMENTS = st.lists(
    st.builds(
        Segment,
        id=st.integers(0, 9),
        start=st.floats(0, 360_000, allow_nan=False),
        end=st.floats(0, 360_000, allow_nan=False),
        text=st.text(max_size=60),
    ),
    max_size=5,
)


def test_times_are_rounded_once_and_carry() -> None:
    assert stamp(0.9996, ",") == "00:00:01,000"
    assert stamp(3599.9999, ".") == "01:00:00.000"
    assert stamp(360_000, ".") == "100:00:00.000"
    assert stamp(-0.1, ".") == "00:00:00.000"


@given(SEGMENTS)
def test_every_cue_is_read_back(segments: list[Segment]) -> None:
    times = r"\d\d+:\d\d:\d\d[.,]\d{3} --> \d\d+:\d\d:\d\d[.,]\d{3}"
    assert len(re.findall(rf"(?m)^{times}$", vtt(segments))) == len(segments)
    numbers = re.findall(rf"(?m)^(\d+)\n{times}$", srt(segments))
    assert numbers == [str(number) for number in range(1, len(segments) + 1)]


@given(st.text(max_size=80))
def test_no_text_ends_its_cue_or_begins_another(text: str) -> None:
    one = vtt([Segment(0, 0.0, 1.0, text)])
    assert one.count("-->") == 1
    assert "\n\n" not in one.removeprefix("WEBVTT\n\n").rstrip("\n")
