"""OpenAI's audio dialect over a hearer that says its script: every format, streaming, forms good and hostile."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from typing import Any, cast

import httpx
import openai
import pytest
from audio_fakes import HELLO, LIMIT, FakeVoice, Served
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localmind.errors import AudioUnreadable, WorkerDied
from localmind.events import Progress


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("audio"), FakeVoice())


@pytest.fixture
def served(application: Served) -> Served:
    """As if new: making an application takes longer than any answer of it."""
    application.voice.begin()
    application.aloud.begin()
    return application


async def test_json_is_the_default_and_the_file_arrives_whole_and_is_gone_afterwards(served: Served) -> None:
    sound = bytes(range(256)) * 2000
    reply = await served.post({"model": "whisper-1", "language": "EN-us"}, file=sound)
    assert reply.status_code == 200
    assert reply.json() == {"text": "Hello there. Bye now.", "usage": {"type": "duration", "seconds": 3661}}
    [(heard, name, options)] = served.voice.heard
    assert (heard, name, options.language) == (sound, "speech.mp3", "en")
    assert served.left() == []


async def test_every_format_has_its_type_and_its_form(served: Served) -> None:
    text = await served.post({"response_format": "text"})
    assert (text.headers["content-type"], text.text) == ("text/plain; charset=utf-8", "Hello there. Bye now.\n")
    srt = await served.post({"response_format": "srt"})
    assert srt.text == (
        "1\n00:00:00,000 --> 00:00:01,250\nHello there.\n\n2\n00:01:01,500 --> 01:01:01,004\nBye --> now.\n\n"
    )
    vtt = await served.post({"response_format": "vtt"})
    assert vtt.text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nHello there.\n\n")
    assert "Bye --&gt; now." in vtt.text
    verbose = (await served.post({"response_format": "verbose_json"})).json()
    assert verbose["duration"] == 3661.0
    assert verbose["task"] == "transcribe"
    assert verbose["segments"][0]["tokens"] == [1, 2]
    assert "words" not in verbose


async def test_granularities_decide_about_words_and_segments(served: Served) -> None:
    form = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    words = (await served.post(form)).json()
    assert words["words"] == [{"word": "Hello", "start": 0.0, "end": 0.5}]
    assert "segments" not in words
    assert served.voice.heard[-1][2].words
    both = (await served.post(form | {"timestamp_granularities[]": ["word", "segment"]})).json()
    assert both["words"]
    assert both["segments"]


async def test_a_stream_has_a_delta_a_segment_and_the_whole_at_the_end(served: Served) -> None:
    reply = await served.post({"stream": "true"})
    assert reply.headers["content-type"].startswith("text/event-stream")
    lines = [line[6:] for line in reply.text.splitlines() if line.startswith("data: ")]
    events = [json.loads(line) for line in lines[:-1]]
    assert lines[-1] == "[DONE]"
    assert [event["type"] for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    assert "".join(event["delta"] for event in events[:2]) == "Hello there. Bye --> now."
    assert served.left() == []


async def test_the_official_sdk_reads_what_we_say(served: Served) -> None:
    transport = httpx.ASGITransport(app=cast(Any, served.app))
    http = httpx.AsyncClient(transport=transport, headers={"host": "localhost:1"})
    async with openai.AsyncOpenAI(
        base_url="http://localhost:1/v1",
        api_key="t",
        max_retries=0,
        http_client=http,
        _strict_response_validation=True,
    ) as client:
        file = ("speech.mp3", b"sound")
        plain = await client.audio.transcriptions.create(model="whisper-1", file=file)
        assert plain.text == "Hello there. Bye now."
        verbose = await client.audio.transcriptions.create(
            model="whisper-1", file=file, response_format="verbose_json", timestamp_granularities=["word", "segment"]
        )
        assert verbose.words is not None
        assert verbose.segments is not None
        assert verbose.words[0].word == "Hello"
        assert verbose.segments[1].end == 3661.004
        assert "WEBVTT" in await client.audio.transcriptions.create(model="x", file=file, response_format="vtt")
        stream = await client.audio.transcriptions.create(model="whisper-1", file=file, stream=True)
        assert [event.type async for event in stream][-1] == "transcript.text.done"


async def test_translations_ask_for_english(served: Served) -> None:
    assert (await served.post(what="translations")).status_code == 200
    assert served.voice.heard[0][2].task == "translate"


async def test_llama_cpp_s_base64_form_is_taken(served: Served) -> None:
    body = {"file": base64.b64encode(b"sound").decode(), "format": "wav", "language": "en"}
    reply = await served.http.post("/v1/audio/transcriptions", json=body)
    assert reply.json()["text"] == "Hello there. Bye now."
    assert served.voice.heard[0][0] == b"sound"


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"response_format": "xml"}, "response_format"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": "3"}, "temperature"),
        ({"timestamp_granularities[]": "word"}, "verbose_json"),
        ({"response_format": "verbose_json", "timestamp_granularities[]": "syllable"}, "syllable"),
        ({"stream": "perhaps"}, "stream"),
        ({"stream": "true", "response_format": "srt"}, "stream"),
        ({"prompt": "x" * 20_000}, "prompt"),
    ],
)
async def test_a_field_out_of_range_is_named(served: Served, form: dict[str, str], says: str) -> None:
    reply = await served.post(form)
    assert reply.status_code == 400
    assert says in reply.json()["error"]["message"]
    assert served.left() == []


async def test_a_form_without_a_file_and_no_form_at_all_are_said_to_be_so(served: Served) -> None:
    without = await served.http.post("/v1/audio/transcriptions", files={"model": (None, "whisper-1")})
    assert (without.status_code, "no `file`" in without.text) == (400, True)
    headers = {"content-type": "audio/mpeg"}
    none = await served.http.post("/v1/audio/transcriptions", content=b"sound", headers=headers)
    assert none.status_code == 400
    assert "multipart" in none.json()["error"]["message"], none.text


async def test_an_upload_beyond_the_limit_is_refused_whether_announced_or_not(served: Served) -> None:
    announced = await served.post(file=b"x" * (LIMIT + 600_000))
    assert announced.status_code == 413
    assert "1 MB" in announced.json()["error"]["message"]

    async def endless() -> AsyncGenerator[bytes, None]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(40):
            yield b"x" * 65536

    headers = {"content-type": "multipart/form-data; boundary=b"}
    unannounced = await served.http.post("/v1/audio/transcriptions", content=endless(), headers=headers)
    assert unannounced.status_code == 413
    assert served.left() == []
    assert served.voice.heard == []


async def test_what_cannot_be_heard_is_a_status_also_when_a_stream_was_asked_for(served: Served) -> None:
    served.voice.begin(AudioUnreadable("speech.mp3 is empty", hint="record it again"))
    for form in ({}, {"stream": "true"}):
        reply = await served.post(form)
        assert reply.status_code == 400
        assert reply.json()["error"]["code"] == "audio_unreadable"
    assert served.left() == []


async def test_a_worker_that_dies_in_the_middle_of_a_stream_ends_it_with_an_error(served: Served) -> None:
    served.voice.begin(Progress("transcribe", 0), HELLO, WorkerDied("it was killed by SIGKILL"))
    reply = await served.post({"stream": "true"})
    assert '"type":"error"' in reply.text
    assert "SIGKILL" in reply.text
    assert reply.text.endswith("data: [DONE]\n\n")
    assert served.left() == []


async def test_a_client_that_hangs_up_stops_the_work_and_leaves_no_file(served: Served) -> None:
    served.voice.waiting = asyncio.Event()
    asked = asyncio.create_task(_hang_up(served))
    await asyncio.wait_for(asked, 120)
    assert served.voice.closed == 1
    assert served.left() == []


async def _hang_up(served: Served) -> None:
    """A raw ASGI request whose client leaves once the file has been heard."""
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nsound\r\n--b--\r\n'
    sent = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if sent:
            return sent.pop()
        await served.voice.started.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        return None

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/audio/transcriptions",
        "raw_path": b"/v1/audio/transcriptions",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "server": ("localhost", 1),
        "client": ("127.0.0.1", 5),
        "headers": [
            (b"host", b"localhost:1"),
            (b"authorization", b"Bearer t"),
            (b"content-type", b"multipart/form-data; boundary=b"),
        ],
    }
    await cast(Any, served.app)(scope, receive, send)


async def test_reading_aloud_is_501_with_a_hint_while_nothing_can_speak(served: Served) -> None:
    reply = await served.http.post("/v1/audio/speech", json={"model": "tts-1", "input": "hi", "voice": "alloy"})
    assert reply.status_code == 501
    assert "localmind models pull piper:joe" in reply.json()["error"]["message"]
    assert (await served.http.get("/v1/audio/voices")).json() == {"voices": []}


@pytest.mark.parametrize(
    ("form", "media"), [("mp3", "audio/mpeg"), ("wav", "audio/wav"), ("opus", "audio/ogg"), ("pcm", "audio/pcm")]
)
async def test_text_is_read_in_the_form_asked_for(served: Served, form: str, media: str) -> None:
    served.aloud.early = None
    body = {"model": "tts-1", "input": "hi", "voice": {"id": "en_US-joe"}, "response_format": form, "speed": 1.5}
    reply = await served.http.post("/v1/audio/speech", json=body)
    assert (reply.status_code, reply.headers["content-type"], reply.content) == (200, media, b"onetwo")
    assert served.aloud.asked == [("hi", form, "en_US-joe", 1.5)]
    [voice] = (await served.http.get("/v1/audio/voices")).json()["voices"]
    assert (voice["id"], voice["language"]) == ("en_US-joe", "en")


async def test_sound_as_events_says_an_error_in_the_middle(served: Served) -> None:
    served.aloud.early, served.aloud.late = None, WorkerDied("the voice died")
    reply = await served.http.post("/v1/audio/speech", json={"input": "hi", "stream_format": "sse"})
    events = [json.loads(line[5:]) for line in reply.text.splitlines() if line.startswith("data:")]
    assert events[0] == {"type": "speech.audio.delta", "audio": base64.b64encode(b"one").decode()}
    assert events[1]["type"] == "error"
    assert "the voice died" in events[1]["error"]["message"]


@pytest.mark.parametrize(
    "body", [{}, {"input": ""}, {"input": "a", "speed": 9}, {"input": "a", "response_format": "midi"}, {"input": 3}]
)
async def test_a_body_that_cannot_be_read_aloud_is_a_400(served: Served, body: dict[str, Any]) -> None:
    served.aloud.early = None
    reply = await served.http.post("/v1/audio/speech", json=body)
    assert reply.status_code == 400
    assert served.aloud.asked == []


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=400), cut=st.integers(0, 200))
async def test_no_form_however_broken_is_more_than_a_refusal(served: Served, body: bytes, cut: int) -> None:
    whole = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + body + b"\r\n--b--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=b"}
    for content in (whole[: len(whole) - cut], body, whole):
        reply = await served.http.post("/v1/audio/transcriptions", content=content, headers=headers)
        assert reply.status_code in (200, 400)
    assert served.left() == []
