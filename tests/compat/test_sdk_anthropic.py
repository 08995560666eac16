"""The official anthropic package: messages, streams, tools, counting, errors."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from images_made import png

MODEL = "smollm2:135m"
HI: Any = [{"role": "user", "content": "Say hi."}]
GREEDY = {"temperature": 0}
"""No parameter of this SDK any more, but of the API."""

WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def sdk(base: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=base, api_key="none", max_retries=0, _strict_response_validation=True) as client:
        yield client


def test_a_message(sdk: anthropic.Anthropic) -> None:
    answer = sdk.messages.create(model=MODEL, max_tokens=6, messages=HI, extra_body=GREEDY)
    assert answer.content[0].type == "text"
    assert answer.stop_reason == "max_tokens"
    assert answer.usage.output_tokens == 6


def test_a_stream_is_the_same_message(sdk: anthropic.Anthropic) -> None:
    whole = sdk.messages.create(model=MODEL, max_tokens=6, messages=HI, extra_body=GREEDY)
    with sdk.messages.stream(model=MODEL, max_tokens=6, messages=HI, extra_body=GREEDY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert [block.model_dump() for block in final.content] == [block.model_dump() for block in whole.content]
    assert text == getattr(whole.content[0], "text", None)
    assert final.stop_reason == "max_tokens"
    usage = final.usage
    assert usage.input_tokens + (usage.cache_read_input_tokens or 0) > 10


def test_a_tool_goes_there_and_back(sdk: anthropic.Anthropic) -> None:
    asked: Any = [{"role": "user", "content": "The weather in Paris?"}]
    more: Any = {"tools": [WEATHER], "model": MODEL, "max_tokens": 60, "extra_body": GREEDY}
    with sdk.messages.stream(messages=asked, tool_choice={"type": "tool", "name": "get_weather"}, **more) as stream:
        final = stream.get_final_message()
    (call,) = [block for block in final.content if block.type == "tool_use"]
    assert final.stop_reason == "tool_use"
    assert isinstance(call.input, dict)
    assert "city" in call.input
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "sunny"}]}
    asked += [{"role": "assistant", "content": final.content}, {"role": "user", "content": [result]}]
    after = sdk.messages.create(messages=asked, **more | {"max_tokens": 4})
    assert after.stop_reason in ("max_tokens", "end_turn", "tool_use")


def test_a_stop_sequence_is_named(sdk: anthropic.Anthropic) -> None:
    free = sdk.messages.create(model=MODEL, max_tokens=20, messages=HI, extra_body=GREEDY)
    text = str(getattr(free.content[0], "text", ""))
    stop = text[5:8]
    cut = sdk.messages.create(model=MODEL, max_tokens=20, messages=HI, extra_body=GREEDY, stop_sequences=[stop])
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", stop)
    assert getattr(cut.content[0], "text", None) == text[: text.index(stop)]


def test_tokens_are_counted_as_they_are_used(sdk: anthropic.Anthropic) -> None:
    system: Any = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    counted = sdk.messages.count_tokens(model=MODEL, messages=HI, system=system, tools=[WEATHER])
    used = sdk.messages.create(model=MODEL, max_tokens=1, messages=HI, system=system, tools=[WEATHER]).usage
    assert counted.input_tokens == used.input_tokens + (used.cache_read_input_tokens or 0)


def test_a_header_that_changes_with_each_request_does_not_cost_the_cache(sdk: anthropic.Anthropic) -> None:
    def ask(number: int) -> int:
        billing: Any = {"type": "text", "text": f"x-anthropic-billing-header: cc_version=2; cch={number};"}
        rules: Any = {"type": "text", "text": "You are careful. " * 40}
        answer = sdk.messages.create(model="claude-of-tomorrow", max_tokens=1, messages=HI, system=[billing, rules])
        return answer.usage.cache_read_input_tokens or 0

    ask(1)
    assert ask(2) > 100


def test_models_are_listed(sdk: anthropic.Anthropic) -> None:
    assert MODEL in [model.id for model in sdk.models.list()]


def test_errors_have_their_classes(sdk: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        sdk.messages.create(model="nowhere", max_tokens=1, messages=HI)
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "not_found_error"
    image: Any = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": b64encode(png()).decode()},
    }
    with pytest.raises(anthropic.BadRequestError, match="cannot see"):
        sdk.messages.create(model=MODEL, max_tokens=1, messages=[{"role": "user", "content": [image]}])
    with pytest.raises(anthropic.BadRequestError, match="messages"):
        sdk.messages.create(model=MODEL, max_tokens=1, messages=[])


async def test_the_async_client_streams(base: str) -> None:
    async with anthropic.AsyncAnthropic(base_url=base, api_key="none", max_retries=0) as sdk:
        stream = await sdk.messages.create(model=MODEL, max_tokens=3, messages=HI, stream=True)
        kinds = [event.type async for event in stream]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
