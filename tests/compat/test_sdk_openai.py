"""The official openai package with strict validation: every answer must have the very types that it declares."""

from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest

MODEL = "smollm2:135m"
HI: Any = [{"role": "user", "content": "Say hi."}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
FLAT: Any = {"type": "function", **WEATHER["function"]}


class City(pydantic.BaseModel):
    name: str
    big: bool


@pytest.fixture
def lenient(base: str) -> Iterator[openai.OpenAI]:
    """For the two forms that the package's own types do not allow although OpenAI sends them: vectors as base64, and a
    streamed completion without a reason yet."""
    with openai.OpenAI(base_url=f"{base}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def sdk(base: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{base}/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


def test_a_chat_completion(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model=MODEL, messages=HI, max_completion_tokens=6, temperature=0)
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_stream_helper_accumulates_the_whole(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.stream(
        model=MODEL, messages=HI, max_tokens=60, stop=" ", temperature=0, stream_options={"include_usage": True}
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "content.delta" in kinds
    assert final.choices[0].message.content
    assert final.usage is not None


def test_a_forced_tool_call_streams_into_arguments_that_parse(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.stream(
        model=MODEL,
        messages=[{"role": "user", "content": "The weather in Paris?"}],
        tools=[WEATHER],
        tool_choice="required",
        max_tokens=60,
        temperature=0,
    ) as stream:
        final = stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or ()
    assert call.function.name == "get_weather"
    assert '"city"' in call.function.arguments
    assert final.choices[0].finish_reason == "tool_calls"
    told: Any = [
        {"role": "user", "content": "The weather in Paris?"},
        final.choices[0].message.model_dump(exclude_none=True, include={"role", "tool_calls"}),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    after = sdk.chat.completions.create(model=MODEL, messages=told, tools=[WEATHER], max_tokens=4)
    assert after.choices[0].finish_reason in ("stop", "length", "tool_calls")


def test_parse_gives_a_model_of_the_schema(sdk: openai.OpenAI) -> None:
    found = sdk.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": "Describe Paris."}],
        response_format=City,
        max_tokens=60,
        temperature=0,
    )
    assert isinstance(found.choices[0].message.parsed, City)


def test_a_text_completion_with_echo_and_a_stream_of_one(sdk: openai.OpenAI, lenient: openai.OpenAI) -> None:
    whole = sdk.completions.create(model=MODEL, prompt="Once upon", max_tokens=4, temperature=0, echo=True)
    assert whole.choices[0].text.startswith("Once upon")
    assert whole.usage is not None
    pieces = [
        chunk.choices[0].text
        for chunk in lenient.completions.create(
            model=MODEL, prompt="Once upon", max_tokens=4, temperature=0, stream=True
        )
    ]
    assert "Once upon" + "".join(pieces) == whole.choices[0].text


def test_embeddings_come_as_base64_unless_floats_are_asked_for(sdk: openai.OpenAI, lenient: openai.OpenAI) -> None:
    packed = lenient.embeddings.create(model="all-minilm", input=["one", "two"])
    plain = sdk.embeddings.create(model="text-embedding-3-small", input=["one", "two"], encoding_format="float")
    assert [len(each.embedding) for each in packed.data] == [384, 384]
    assert packed.data[1].embedding == pytest.approx(plain.data[1].embedding, abs=1e-6)


def test_a_response_and_one_that_goes_on_from_it(sdk: openai.OpenAI) -> None:
    first = sdk.responses.create(model=MODEL, input="My name is Ada.", max_output_tokens=5, temperature=0)
    assert first.output_text
    assert first.status == "incomplete"
    second = sdk.responses.create(
        model=MODEL, input="What is my name?", previous_response_id=first.id, max_output_tokens=4
    )
    assert second.usage is not None
    assert first.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens + 5
    assert sdk.responses.retrieve(second.id).previous_response_id == first.id
    assert [item.type for item in sdk.responses.input_items.list(second.id)] == ["message"]
    sdk.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        sdk.responses.create(model=MODEL, input="And now?", previous_response_id=first.id)


def test_a_response_streams_in_order_and_without_gaps(sdk: openai.OpenAI) -> None:
    with sdk.responses.stream(model=MODEL, input="Say hi.", max_output_tokens=300, temperature=0) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
    assert final.output_text


def test_a_response_with_a_tool(sdk: openai.OpenAI) -> None:
    with sdk.responses.stream(
        model=MODEL, input="The weather in Paris?", tools=[FLAT], tool_choice="required", temperature=0
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert {"response.function_call_arguments.delta", "response.function_call_arguments.done"} <= kinds
    (call,) = [item for item in final.output if item.type == "function_call"]
    said: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    after = sdk.responses.create(
        model=MODEL, input=[said], previous_response_id=final.id, tools=[FLAT], max_output_tokens=4
    )
    assert after.status in ("completed", "incomplete")


def test_a_response_parsed_into_a_schema(sdk: openai.OpenAI) -> None:
    found = sdk.responses.parse(model=MODEL, input="Describe Paris.", text_format=City, temperature=0)
    assert isinstance(found.output_parsed, City)


def test_models_are_listed_with_their_files_twins(sdk: openai.OpenAI) -> None:
    ids = [model.id for model in sdk.models.list()]
    assert ids[:2] == [MODEL, f"{MODEL}+files"]
    assert sdk.models.retrieve(f"{MODEL}+files").id == f"{MODEL}+files"


def test_a_name_with_files_answers_from_the_watched_folder(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(
        model=f"{MODEL}+files", messages=[{"role": "user", "content": "When was the boiler last serviced?"}]
    )
    text = answer.choices[0].message.content or ""
    assert "\n\nSources:\n[1] " in text
    sources = (answer.model_extra or {})["sources"]
    assert sources[0]["path"] in text
    assert sources[0]["line_start"] >= 1


def test_file_search_cites_instead_of_writing_sources(sdk: openai.OpenAI) -> None:
    answer = sdk.responses.create(
        model=MODEL,
        input="When was the boiler last serviced?",
        tools=[{"type": "file_search", "vector_store_ids": ["files"]}],
        include=["file_search_call.results"],
    )
    assert [item.type for item in answer.output] == ["file_search_call", "message"]
    assert "Sources:" not in answer.output_text
    results = getattr(answer.output[0], "results", None)
    assert results
    assert results[0].filename
    annotations = answer.output[1].content[0].annotations  # type: ignore[union-attr]  # the message of the line above
    assert annotations[0].type == "file_citation"


@pytest.mark.parametrize("name", ["nowhere", "smolm2"])
def test_an_unknown_model_is_not_found_and_not_retried(sdk: openai.OpenAI, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        sdk.chat.completions.create(model=name, messages=HI)
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_a_prompt_too_long_names_both_numbers(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.responses.create(model=MODEL, input="harbor copper lantern " * 20_000, stream=True)
    error: Any = caught.value.body
    assert error["code"] == "context_length_exceeded"
    assert error["n_prompt_tokens"] > error["n_ctx"] > 1000


def test_leaving_a_stream_ends_its_generation(sdk: openai.OpenAI, base: str) -> None:
    stream = sdk.chat.completions.create(
        model=MODEL, messages=HI, max_tokens=4000, stream=True, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    stream.close()
    again = sdk.chat.completions.create(model=MODEL, messages=HI, max_tokens=2, extra_body={"ignore_eos": True})
    assert again.choices[0].finish_reason == "length"
