"""transcribe, listen and ask --voice on a real daemon and the real model, a file as the microphone."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest_e2e import Home, end, new_home, wait_until

from localmind.client import Client
from localmind.client.listening import listen
from localmind.errors import MicrophoneBusy
from localmind.events import Done, Event
from localmind.microphone import FileCapture
from localmind.models.store import Store
from localmind.speech import Heard, Listening, Transcript

SPEECH = Path(__file__).parents[1] / "data" / "speech"
REPORT = SPEECH / "report.mp3"


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory, starter_store: Store) -> Any:
    """A running daemon with the starter models, nothing indexed."""
    made = new_home(tmp_path_factory.mktemp("spoken"), starter_store)
    try:
        made.start()
        yield made
    finally:
        end(made)


def test_transcribe_writes_text_subtitles_and_json_and_says_what_it_cannot_read(spoken: Home, tmp_path: Path) -> None:
    (tmp_path / "letter.wav").write_text("dear all")
    done = spoken.cli("transcribe", str(REPORT), str(tmp_path / "letter.wav"))
    assert "report that i wrote last week" in done.stdout.lower()
    assert "letter.wav is not a sound file" in done.stderr
    assert done.returncode == 1
    target = tmp_path / "report.srt"
    assert spoken.cli("transcribe", "-f", "srt", "-o", str(target), str(REPORT)).returncode == 0
    assert target.read_text().startswith("1\n00:00:00,")
    words = json.loads(spoken.cli("transcribe", "--json", "--words", str(REPORT)).stdout)
    assert words["segments"][0]["words"][0]["text"].strip().lower() == "open"


def test_listen_writes_what_was_spoken_and_only_that_on_stdout(spoken: Home) -> None:
    done = spoken.cli("listen", "--from", str(REPORT))
    assert done.returncode == 0, done.stderr
    assert done.stdout.lower().startswith("open the report that i wrote last week")
    assert done.stdout.count("\n") == 1
    assert "listening to report.mp3" in done.stderr


def test_partial_text_comes_before_the_end_and_the_last_word_is_the_transcript_s(spoken: Home) -> None:
    with spoken.client() as client:
        events = _heard(client)
    partial = [event for event in events if isinstance(event, Heard)]
    assert partial
    assert [type(event) for event in events[-2:]] == [Transcript, Done]


def _heard(client: Client) -> list[Event]:
    with FileCapture(REPORT, speed=3) as capture:
        return list(listen(client, capture.pieces(), {}))


def test_a_microphone_that_fails_in_the_middle_is_the_error_that_is_shown(spoken: Home) -> None:
    def failing() -> Any:
        with FileCapture(REPORT, speed=0) as capture:
            for number, piece in enumerate(capture.pieces()):
                if number == 5:
                    raise MicrophoneBusy("the microphone sends no sound any more", hint="is it plugged in?")
                yield piece

    with spoken.client() as client, pytest.raises(MicrophoneBusy, match="no sound any more"):
        list(listen(client, failing(), {"silence_s": None}))


def test_going_away_in_the_middle_leaves_nothing_behind(spoken: Home) -> None:
    with spoken.client() as client, FileCapture(REPORT) as capture:
        events = listen(client, capture.pieces(), {})
        for event in events:
            if isinstance(event, Listening):
                break
        events.close()  # type: ignore[attr-defined]  # a generator

        wait_until(lambda: client.get("/voice")["recordings"] == 0, "nobody to be heard")


def test_without_a_microphone_listen_says_so_in_one_line(spoken: Home) -> None:
    done = spoken.cli("listen", "--device", "no such microphone")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "hint: " in done.stderr
