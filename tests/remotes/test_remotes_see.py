"""Which model elsewhere sees, in the words of each kind of server, and where no words are."""

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from images_made import png
from remote_server import FakeRemote, delta, serving, sse

from localmind.errors import CannotSee
from localmind.events import Done
from localmind.images import Image
from localmind.messages import Message
from localmind.remotes.body import body_of
from localmind.remotes.entries import model_of
from localmind.remotes.remotes import Remotes
from localmind.settings import Remote
from localmind.workers.outside import Outside
from localmind.workers.request import Request

REMOTE = Remote(url="http://box/v1")
PICTURE = Image("image/png", png())


@pytest.mark.parametrize(
    ("told", "sees"),
    [
        ({"architecture": {"input_modalities": ["text", "image"]}}, True),  # OpenRouter
        ({"architecture": {"input_modalities": ["text"], "modality": "text->text"}}, False),
        ({"architecture": {"modality": "text+image->text"}}, True),  # OpenRouter of old
        ({"architecture": {"modality": "text->text+image"}}, False),  # it paints
        ({"supported_input_modalities": ["text", "image", "audio"]}, True),  # GitHub Models
        ({"modalities": {"input": ["text"], "output": ["image"]}}, False),
        ({"modalities": {"vision": True, "audio": False}}, True),  # llama-server's properties
        ({"capabilities": {"completion_chat": True, "vision": True}}, True),  # Mistral
        ({"capabilities": {"completion_chat": True, "vision": False}}, False),
        ({"capabilities": {"image_input": {"supported": True}}}, True),  # Anthropic
        ({"capabilities": ["completion", "multimodal"]}, True),  # llama-server
        ({"capabilities": ["completion", "tools"]}, False),
        ({"meta": {"capabilities": ["completion", "vision"]}}, True),  # localmind
        ({"meta": {"capabilities": ["completion"]}}, False),
        ({"type": "vlm", "capabilities": ["tool_use"]}, True),  # LM Studio
        ({"pipeline_tag": "image-text-to-text"}, True),
        ({"supports_vision": False}, False),  # LiteLLM
        ({"owned_by": "vllm", "max_model_len": 4096}, None),  # it does not say
        ({"capabilities": [], "architecture": "llama", "modalities": 7}, None),
    ],
)
def test_what_a_server_says_of_seeing(told: dict[str, Any], sees: bool | None) -> None:
    assert model_of("box", "box:80", REMOTE, "m", told).sees is sees


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["input", "vision", "x"]), inner),
    max_leaves=6,
)
KEYS = st.sampled_from(["architecture", "input_modalities", "modalities", "capabilities", "meta", "type", "task"])


@given(st.dictionaries(KEYS, JSON, max_size=4))
def test_whatever_a_server_says_is_an_answer(told: dict[str, Any]) -> None:
    assert model_of("box", "box:80", REMOTE, "m", MappingProxyType(told)).sees in (True, False, None)


def test_the_settings_know_better() -> None:
    remote = Remote(url="http://box/v1", sees=("*-vl-*", "eye"))
    assert [model_of("box", "box", remote, name).sees for name in ("qwen2.5-vl-7b", "eye", "eyes")] == [
        True,
        True,
        None,
    ]
    assert model_of("box", "box", remote, "eye", {"capabilities": ["completion"]}).sees is True


async def test_a_server_is_asked_once_before_a_model_of_it_is_called_blind() -> None:
    data = sse(delta(content="A cat."), delta("stop"))
    listed = {"data": [{"id": "eye"}], "models": [{"name": "eye", "capabilities": ["multimodal"]}, 7, {"name": 3}]}
    async with serving(FakeRemote(pieces=[data], listed=listed)) as remote:
        remotes = Remotes({"box": Remote(url=remote.url)})
        outside = Outside(remotes)
        eye, other = (remotes.find(f"box/{name}") for name in ("eye", "other"))
        assert eye is not None
        assert other is not None
        shown = [Message("user", "?", images=(PICTURE,))]
        try:
            await outside.permit_images(other, [Message("user", "no image")])
            assert remote.seen == []
            await outside.permit_images(eye, shown)
            with pytest.raises(CannotSee, match="box/other may not see images"):
                await outside.permit_images(other, shown)
            assert [seen.path for seen in remote.seen] == ["/v1/models"]
            events = [event async for event in outside.generate(eye, Request(messages=tuple(shown)))]
            assert isinstance(events[-1], Done)
        finally:
            await remotes.close()


async def test_a_server_that_does_not_answer_is_not_taken_for_one_that_sees() -> None:
    remotes = Remotes({"box": Remote(url="http://127.0.0.1:9/v1")})
    model = remotes.find("box/eye")
    assert model is not None
    with pytest.raises(CannotSee):
        await Outside(remotes).permit_images(model, [Message("user", "?", images=(PICTURE,))])
    await remotes.close()


@given(st.text(max_size=12), st.lists(st.integers(0, 15), max_size=4))
def test_parts_are_the_text_with_every_image_at_its_place(text: str, places: list[int]) -> None:
    images = tuple(Image("image/png", bytes([number]), at) for number, at in enumerate(places))
    model = model_of("box", "box", REMOTE, "m")
    content = body_of(model, Request(messages=(Message("user", text, images=images),)))[1]["messages"][0]["content"]
    if not places:
        assert content == text
        return
    assert "".join(part["text"] for part in content if part["type"] == "text") == text
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    assert urls == [image.url for image in sorted(images, key=lambda image: image.at)]
    before = 0
    for part in content:
        if part["type"] == "text":
            before += len(part["text"])
        else:
            at = next(image.at for image in images if image.url == part["image_url"]["url"])
            assert before == min(at, len(text))
