"""transcribe, listen and ask --voice on a real daemon and the real model, a file as the microphone."""

import contextlib
import json
import os
import signal
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest_e2e import PATIENCE_S, Home, running, wait_until

from localmind.client import Client
from localmind.client.listening import listen
from localmind.client.wire import connection
from localmind.errors import MicrophoneBusy
from localmind.events import Done, Event
from localmind.microphone import FileCapture
from localmind.microphone.capture import PIECE_S
from localmind.models.store import Store
from localmind.speech import Heard, Listening, Transcript

SPEECH = Path(__file__).parents[1] / "data" / "speech"
REPORT = SPEECH / "report.mp3"
FIRST_WORDS_S = 2.0
"""Of the four seconds of REPORT."""


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory, starter_store: Store) -> Any:
    """A running daemon with the starter models, nothing indexed."""
    with running(tmp_path_factory.mktemp("spoken"), starter_store) as made:
        yield made


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
    assert done.stdout.lower().replace(",", "").startswith("open the report that i wrote last week")
    assert done.stdout.count("\n") == 1
    assert "listening to report.mp3" in done.stderr


def test_partial_text_comes_before_the_end_and_the_last_word_is_the_transcript_s(spoken: Home) -> None:
    with spoken.client() as client:
        events = _heard(client)
    partial = [event for event in events if isinstance(event, Heard)]
    assert partial
    assert [type(event) for event in events[-2:]] == [Transcript, Done]


def _heard(client: Client) -> list[Event]:
    """Of somebody who speaks on when the first words were understood, however long that takes here."""
    understood = threading.Event()

    def speaking() -> Iterator[bytes]:
        with FileCapture(REPORT, speed=0) as capture:
            for number, piece in enumerate(capture.pieces()):
                if number * PIECE_S > FIRST_WORDS_S:
                    understood.wait(PATIENCE_S)
                yield piece

    events: list[Event] = []
    for event in listen(client, speaking(), {}):
        events.append(event)
        if isinstance(event, Heard):
            understood.set()
    return events


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


def test_the_model_that_hears_is_in_the_ledger_and_can_be_sent_away(spoken: Home) -> None:
    assert spoken.cli("transcribe", str(REPORT)).returncode == 0
    [model] = json.loads(spoken.cli("models", "memory", "--json").stdout)["models"]
    assert (model["model"], model["stage"], model["running"]) == ("whisper:tiny.en", "hot", 0)
    assert model["reserved"]["RAM"] > 100 << 20
    assert spoken.cli("models", "unload", "whisper").returncode == 0
    [model] = json.loads(spoken.cli("models", "memory", "--json").stdout)["models"]
    assert (model["stage"], model["reserved"]) == ("cold", {})


def test_a_recording_in_a_folder_is_found_by_what_is_said_in_it_and_cited_by_time(spoken: Home, tmp_path: Path) -> None:
    (tmp_path / "talk.mp3").write_bytes(REPORT.read_bytes())
    assert spoken.cli("folders", "add", str(tmp_path)).returncode == 0
    found = spoken.cli("search", "report written last week")
    assert f"{tmp_path}/talk.mp3 at 0:00" in found.stdout
    assert spoken.cli("folders", "rm", str(tmp_path)).returncode == 0


def test_reading_aloud_without_a_voice_says_how_to_get_one(spoken: Home, tmp_path: Path) -> None:
    done = spoken.cli("say", "hello", "-o", str(tmp_path / "nothing.mp3"))
    assert done.returncode == 1
    assert "hint: localmind models pull piper:joe" in done.stderr


def test_eight_uploads_at_once_good_and_bad_a_kill_and_a_hang_up_leave_nothing_stuck(spoken: Home) -> None:
    whole = REPORT.read_bytes()
    silent = wav_head(25 << 20) + bytes(25 << 20)
    files = {
        "report.mp3": (whole, 200, "report"),
        "again.mp3": (whole, 200, "report"),
        "cut.mp3": (whole[: len(whole) * 2 // 3], 200, "report"),
        "silent.wav": (silent, 200, ""),
        "empty.wav": (b"", 400, "empty"),
        "letter.wav": (b"dear all, I am no sound" * 50, 400, "not a sound file"),
        "head.wav": (wav_head(1000), 400, ""),
        "noise.mp3": (bytes(range(256)) * 400, 400, ""),
    }
    with ThreadPoolExecutor(len(files)) as pool:
        hung_up = upload(spoken, "report.mp3", whole, hang_up=True)
        answers = list(pool.map(lambda name: upload(spoken, name, files[name][0]), files))
    assert hung_up is None
    for (name, (_, status, part)), answer in zip(files.items(), answers, strict=True):
        assert answer is not None
        assert (answer[0], part.lower() in answer[1].lower()) == (status, True), (name, answer)
    with spoken.client() as client:
        os.kill(client.get("/voice")["pid"], signal.SIGKILL)
        assert "report" in upload(spoken, "report.mp3", whole)[1].lower()  # type: ignore[index]
        wait_until(lambda: client.get("/voice")["recordings"] == 0, "nobody to be heard")
    # Whoever was answered, or left, may be a moment ahead of the file being removed.
    wait_until(lambda: not list((spoken.paths.cache / "uploads").iterdir()), "no upload to be left")


def wav_head(size: int) -> bytes:
    shape = struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16)
    return struct.pack("<4sI8sI16s4sI", b"RIFF", 36 + size, b"WAVEfmt ", 16, shape, b"data", size)


def upload(home: Home, name: str, data: bytes, *, hang_up: bool = False) -> tuple[int, str] | None:
    """Status and text of a transcription over the unix socket; None for one who goes away after sending."""
    link, headers = connection(home.paths, PATIENCE_S)
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = head.encode() + data + b"\r\n--b--\r\n"
    with contextlib.closing(link):
        headers = headers | {"Content-Type": "multipart/form-data; boundary=b"}
        link.request("POST", "/v1/audio/transcriptions", body, headers)
        if hang_up:
            return None
        reply = link.getresponse()
        return reply.status, reply.read().decode()
