"""The daemon's Voice on a real worker: recordings beside each other, kill -9 in between, hanging up, idling."""

import asyncio
import os
import signal
import wave
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from voice_fakes import BOILER, REPORT, REPORT_MP3, new_voice, pcm, samples, silence

from localmind.catalog import ModelSpec
from localmind.errors import AudioUnreadable, InvalidRequest, NoRoom, NotFound, WorkerDied
from localmind.events import Done, Event, Progress
from localmind.machine.amounts import RAM
from localmind.models.store import Store
from localmind.speech import SAMPLE_RATE, Heard, Listening, RecognizeOptions, Segment, Transcript
from localmind.voice.voice import Voice

OPTIONS = RecognizeOptions()


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def voice(starter_store: Store) -> AsyncIterator[Voice]:
    made, residence = new_voice(starter_store)
    yield made
    residence.close()
    await made.stop()


async def loaded(voice: Voice) -> ModelSpec:
    spec = voice.resolve()
    async for _ in voice.load(spec):
        pass
    return spec


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording in which nobody speaks."""
    path = tmp_path_factory.mktemp("quiet") / "quiet.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(b"\3\0\xfd\xff" * 16000)
    return path


LONG_REPORT_S = 300


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nearly six minutes, of which eleven seconds are spoken: at the beginning and after five minutes."""
    path = tmp_path_factory.mktemp("long") / "long.wav"
    sound = np.zeros(345 * SAMPLE_RATE, dtype=np.float32)
    for start, clip in ((0, samples(BOILER)), (LONG_REPORT_S, samples(REPORT))):
        sound[start * SAMPLE_RATE : start * SAMPLE_RATE + len(clip)] = clip
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        out.writeframes(pcm(sound))
    return path


async def transcript(voice: Voice, path: Path = REPORT) -> Transcript:
    events = voice.transcribe(path, OPTIONS, voice.resolve())
    found = [event async for event in events if isinstance(event, Transcript)]
    return found[0]


async def test_for_a_file_that_is_not_there_no_model_is_loaded(starter_store: Store, tmp_path: Path) -> None:
    voice, residence = new_voice(starter_store)
    empty = tmp_path / "empty.wav"
    empty.touch()
    for path, says in ((tmp_path / "gone.wav", "does not exist"), (tmp_path, "not a file"), (empty, "is empty")):
        with pytest.raises(AudioUnreadable, match=says):
            await transcript(voice, path)
    assert residence.accounts() == []


async def test_eight_recordings_at_once_are_heard_and_a_broken_one_hurts_none(
    voice: Voice, quiet: Path, tmp_path: Path
) -> None:
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"RIFF" + bytes(range(256)))

    async def broken() -> None:
        with pytest.raises(AudioUnreadable):
            await transcript(voice, noise)

    paths = [REPORT, quiet, REPORT_MP3, quiet, BOILER, quiet, REPORT, quiet]
    *texts, _ = await asyncio.gather(*[transcript(voice, path) for path in paths], broken())
    said = [each.text.lower() for each in texts if each is not None]
    assert said[0] == said[6]
    assert [text[:15] for text in said[:6]] == ["open the report", "", "open the report", "", "the boiler in t", ""]
    assert voice.status()["recordings"] == 0


async def test_a_worker_killed_in_the_middle_is_an_error_and_the_next_recording_is_heard(voice: Voice) -> None:
    await loaded(voice)
    with pytest.raises(WorkerDied, match="SIGKILL"):
        async for event in voice.transcribe(BOILER, OPTIONS, voice.resolve()):
            if not isinstance(event, Done):
                os.kill(voice.status()["pid"], signal.SIGKILL)
    assert (await transcript(voice)).text


async def test_live_sound_becomes_text_while_it_comes_and_the_end_is_said(voice: Voice) -> None:
    events: list[Event] = []
    data = pcm(samples(REPORT)) + pcm(silence(0.3))
    async with aclosing(voice.listen({"silence_s": None}, voice.resolve())) as listening:
        async for event in listening:
            events.append(event)
            if isinstance(event, Listening):
                for start in range(0, len(data), 32000):
                    await voice.hear(event.id, data[start : start + 32000])
                await voice.finish(event.id)
    assert [type(event) for event in events[-2:]] == [Transcript, Done]
    assert "report" in next(event.text for event in events if isinstance(event, Transcript)).lower()
    assert not [event for event in events if isinstance(event, Segment)]
    [begun] = [number for number, event in enumerate(events) if isinstance(event, Listening)]
    assert all(isinstance(event, Progress) for event in events[:begun]), "the model may have to be loaded"
    assert all(isinstance(event, Heard) for event in events[begun + 1 : -2])


async def test_hanging_up_on_live_sound_ends_it_and_later_sound_is_refused(voice: Voice) -> None:
    key = ""
    async with aclosing(voice.listen({}, voice.resolve())) as listening:
        async for event in listening:
            if isinstance(event, Listening):
                key = event.id
                break
    async with asyncio.timeout(60):
        with pytest.raises(NotFound, match="nobody listens"):
            while True:
                await voice.hear(key, bytes(3200))
    assert voice.status()["recordings"] == 0


async def test_the_worker_goes_when_nobody_has_spoken_for_a_while(starter_store: Store) -> None:
    voice, residence = new_voice(starter_store, keep_s=0.05)
    assert voice.status()["pid"] is None
    await loaded(voice)
    [account] = residence.accounts()
    assert account["reserved"][RAM] == voice.status()["memory"], "its bytes are booked like those of every model"
    async with asyncio.timeout(60):
        while residence.devices()[0]["reserved"]:  # noqa: ASYNC110 (a process that ends sets no event of ours)
            await asyncio.sleep(0.02)
    assert voice.status()["pid"] is None
    assert (await transcript(voice)).text, "and comes back for the next one"
    residence.close()
    await voice.stop()


async def test_without_room_for_the_model_nothing_is_started_and_both_numbers_are_said(starter_store: Store) -> None:
    voice, residence = new_voice(starter_store, room=100 << 20)
    with pytest.raises(NoRoom, match="100 MiB"):
        await transcript(voice)
    assert voice.pids() == []
    residence.close()
    await voice.stop()


async def test_parts_of_a_long_recording_follow_each_other_and_go_on_after_a_kill(voice: Voice, long: Path) -> None:
    first = await voice.part(long, 0)
    assert (first.done, first.language) == (False, "en")
    assert 200 < first.until / SAMPLE_RATE < 240
    os.kill(voice.status()["pid"], signal.SIGKILL)
    second = await voice.part(long, first.until)
    last = await voice.part(long, second.until)
    assert (last.done, last.said) == (True, ())
    assert last.until / SAMPLE_RATE == pytest.approx(first.duration, abs=0.2)
    assert [text[:15] for _, text in first.said] == ["The boiler in t"]
    [(at, text)] = second.said
    assert text.lower().startswith("open the report")
    assert at == pytest.approx(LONG_REPORT_S, abs=0.6), "times count from the beginning of the file"


async def test_a_model_at_work_is_not_taken_out_of_memory(voice: Voice) -> None:
    spec = await loaded(voice)
    async with aclosing(voice.transcribe(BOILER, OPTIONS, voice.resolve())) as events:
        await anext(events)
        with pytest.raises(InvalidRequest, match="being heard"):
            await voice.unload(spec)
    assert voice.status()["pid"] is not None
    await voice.unload(spec)
    assert voice.status()["pid"] is None


async def test_while_a_chat_answers_the_worker_is_told_and_still_finishes(voice: Voice, quiet: Path) -> None:
    with voice.hold():
        assert (await transcript(voice, quiet)).silent


@pytest.mark.parametrize("language", ["english", "e", "EN", "../x"])
async def test_a_language_that_is_no_code_is_refused(voice: Voice, language: str) -> None:
    with pytest.raises(InvalidRequest):
        voice.resolve(None, language)
