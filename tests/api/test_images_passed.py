"""Images in every dialect: they reach a server elsewhere whose model sees, as they are, and no other model at all."""

import contextlib
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from api_fakes import FakeEngines, post
from images_made import gif, png
from remote_server import FakeRemote, delta, serving, sse

from localmind.api.cards import remote_card
from localmind.api.lmstudio import entry as lmstudio
from localmind.api.openai_models import entry
from localmind.catalog import ModelSpec
from localmind.events import Event, Progress
from localmind.remotes.remotes import Remotes
from localmind.settings import Remote
from localmind.workers.elsewhere import RemoteModel
from localmind.workers.outside import Outside
from localmind.workers.request import Request

ONE, TWO = b64encode(png()).decode(), b64encode(gif()).decode()
URL = f"data:image/png;base64,{ONE}"
TEXT = sse(delta(role="assistant", content="A "), delta(content="cat."), delta("stop"))


class FakeEnginesElsewhere(FakeEngines):
    """Models of a real server elsewhere, behind what the real engines put before them."""

    def __init__(self, remotes: Remotes) -> None:
        super().__init__()
        self.outside = Outside(remotes)
        self.elsewhere: Any = remotes

    def resolve(self, name: str | None) -> ModelSpec:
        return self.outside.find(name or "") or super().resolve(name)

    async def generate(self, spec: ModelSpec, request: Request) -> AsyncGenerator[Event, None]:
        assert isinstance(spec, RemoteModel)
        async with contextlib.aclosing(self.outside.generate(spec, request)) as events:
            async for event in events:
                if not isinstance(event, Progress):
                    yield event


@contextlib.asynccontextmanager
async def elsewhere(**settings: Any) -> AsyncIterator[tuple[FakeRemote, FakeEnginesElsewhere]]:
    entry = {"id": "eye", "architecture": {"input_modalities": ["text", "image"]}}
    async with serving(FakeRemote(pieces=[TEXT], listed={"data": [entry, {"id": "blind"}]})) as remote:
        remotes = Remotes({"work": Remote(url=remote.url, **settings)})
        try:
            yield remote, FakeEnginesElsewhere(remotes)
        finally:
            await remotes.close()


def shown(url: str = URL, **more: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url} | more}


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


OPENAI = [said("Here "), shown(detail="low"), said("and "), shown(f"data:image/gif;base64,{TWO}"), said(": the same?")]
ANTHROPIC = [
    {"type": "text", "text": "Look:"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": ONE}},
    {"type": "text", "text": "What is it?"},
]
RESPONSES = [{"type": "input_image", "image_url": URL}, {"type": "input_text", "text": "What is it?"}]
WHAT = "What is it?"
CASES = [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": OPENAI}]}, OPENAI),
    (
        "/v1/messages",
        {"max_tokens": 9, "messages": [{"role": "user", "content": ANTHROPIC}]},
        [said("Look:\n"), shown(), said(WHAT)],
    ),
    ("/v1/responses", {"input": [{"role": "user", "content": RESPONSES}]}, [shown(), said(WHAT)]),
    ("/api/chat", {"messages": [{"role": "user", "content": WHAT, "images": [ONE]}]}, [shown(), said(WHAT)]),
    ("/api/generate", {"prompt": WHAT, "images": [ONE]}, [shown(), said(WHAT)]),
]


@pytest.mark.parametrize(("path", "body", "sent"), CASES, ids=[path for path, _, _ in CASES])
async def test_images_reach_a_model_that_sees_where_they_stand_in_the_text(
    path: str, body: dict[str, Any], sent: list[dict[str, Any]]
) -> None:
    async with elsewhere() as (remote, engines):
        reply = await post(engines, body | {"model": "work/eye", "stream": False}, path)
        assert reply.status_code == 200, reply.text
        assert "A cat." in reply.text
        asked = remote.seen[-1].body
    assert (asked["model"], asked["messages"][-1]) == ("eye", {"role": "user", "content": sent})


@pytest.mark.parametrize(("path", "body", "sent"), CASES, ids=[path for path, _, _ in CASES])
async def test_no_model_that_is_not_known_to_see_is_sent_an_image(path: str, body: dict[str, Any], sent: Any) -> None:
    async with elsewhere() as (remote, engines):
        unknown = await post(engines, body | {"model": "work/blind", "stream": True}, path)
        local = await post(engines, body | {"model": "smollm2:135m", "stream": True}, path)
        assert {seen.path for seen in remote.seen} == {"/v1/models"}
    assert (unknown.status_code, local.status_code) == (400, 400)
    assert "work/blind may not see images" in unknown.text
    assert "smollm2:135m cannot see images, as no model on this machine can" in local.text
    if path.startswith("/v1/chat"):
        assert local.json()["error"]["localmind"]["hint"] == "work/eye can: -m work/eye, in the app F3"
    assert engines.asked == []


async def test_the_settings_say_what_sees_where_the_server_does_not() -> None:
    async with elsewhere(sees=("bl*",)) as (remote, engines):
        body = {"model": "work/blind", "messages": [{"role": "user", "content": OPENAI}]}
        assert (await post(engines, body)).status_code == 200
        assert len(remote.seen) == 1  # nobody had to be asked for a list first


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([shown("https://example.com/cat.png")], "nothing is fetched from there"),
        ([shown("data:image/png;base64,aGk=")], "is no PNG, JPEG, WebP or GIF image"),
        ([shown(URL[:-12])], "not in base64|cut short"),
        ([{"type": "input_audio", "input_audio": {}}], "needs a model that hears"),
    ],
)
async def test_what_is_no_image_is_refused_before_anything_is_sent(content: Any, words: str) -> None:
    async with elsewhere() as (remote, engines):
        reply = await post(engines, {"model": "work/eye", "messages": [{"role": "user", "content": content}]})
        assert reply.status_code == 400
        assert any(word in reply.json()["error"]["message"] for word in words.split("|")), reply.text
        assert remote.seen == []


async def test_only_a_user_shows_images() -> None:
    async with elsewhere() as (_, engines):
        body = {"model": "work/eye", "messages": [{"role": "system", "content": OPENAI}]}
        reply = await post(engines, body)
        assert (reply.status_code, "belong to a user's message" in reply.text) == (400, True)


async def test_tokens_of_an_image_are_not_made_up() -> None:
    engines = FakeEngines()
    body = {"model": "x", "messages": [{"role": "user", "content": ANTHROPIC}]}
    for path in ("/v1/messages/count_tokens", "/apply-template"):
        content = ANTHROPIC if "count" in path else OPENAI
        reply = await post(engines, body | {"messages": [{"role": "user", "content": content}]}, path)
        assert (reply.status_code, "cannot see" in reply.text) == (400, True), path


async def test_lists_of_models_say_which_one_sees() -> None:
    async with elsewhere() as (_, engines):
        await engines.elsewhere.list_all()
        eye, blind = (remote_card(model) for model in engines.elsewhere.models())
        assert (eye.capabilities, blind.capabilities) == (["completion", "vision"], ["completion"])
        assert entry(eye)["architecture"]["input_modalities"] == ["text", "image"]
        assert (lmstudio(eye)["type"], lmstudio(blind)["type"]) == ("vlm", "llm")
