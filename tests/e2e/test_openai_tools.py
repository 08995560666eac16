"""Tools, schemas, log probabilities and several answers, by the official openai SDK and the weakest model there is."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest
from conftest_e2e import Home

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"type": "string", "enum": ["c", "f"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
TIME: Any = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "The time in a zone.",
        "parameters": {"type": "object", "properties": {"hours": {"type": "integer"}}, "required": ["hours"]},
    },
}
QUESTION: Any = [{"role": "user", "content": "What is the weather in Lyon?"}]
PERSON: Any = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "role": {"enum": ["keeper", "sailor"]},
    },
    "required": ["name", "age", "role"],
    "additionalProperties": False,
}


@pytest.fixture
async def sdk(served: Home) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=served.url, api_key="none", max_retries=0) as client:
        yield client


def checked(name: str, arguments: str) -> None:
    """The call is of one of the tools, and its arguments are what that tool takes."""
    told = json.loads(arguments)
    if name == "get_weather":
        assert set(told) == {"city", "unit"}
        assert isinstance(told["city"], str)
        assert told["unit"] in ("c", "f")
    else:
        assert name == "get_time"
        assert isinstance(told["hours"], int)


@pytest.mark.parametrize("temperature", [0, 1.5])
async def test_a_required_call_is_valid_even_from_a_weak_and_hot_model(
    sdk: openai.AsyncOpenAI, temperature: float
) -> None:
    answer = await sdk.chat.completions.create(
        model="default",
        messages=QUESTION,
        tools=[WEATHER, TIME],
        tool_choice="required",
        temperature=temperature,
        seed=3,
        max_tokens=200,
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    for call in choice.message.tool_calls:
        assert call.type == "function"
        assert call.id
        checked(call.function.name, call.function.arguments)


async def test_a_required_call_is_whole_in_few_tokens_and_refused_in_fewer(sdk: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "default", "messages": QUESTION, "tools": [WEATHER], "tool_choice": "required"}
    with pytest.raises(openai.BadRequestError, match=r"max_tokens 3 is less than the \d+ tokens") as refused:
        await sdk.chat.completions.create(**asked, max_tokens=3)
    least = int(str(refused.value).split("less than the ")[1].split()[0])
    answer = await sdk.chat.completions.create(**asked, max_tokens=least, temperature=1.5, seed=3)
    choice = answer.choices[0]
    (call,) = choice.message.tool_calls or ()
    assert call.type == "function"
    checked(call.function.name, call.function.arguments)
    assert choice.finish_reason == "length", "the model would have said more"
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= least


async def test_a_document_is_whole_in_few_tokens_and_says_that_it_was_cut_short(sdk: openai.AsyncOpenAI) -> None:
    counted = {"type": "object", "properties": {"numbers": {"type": "array", "items": {"type": "integer"}}}}
    answer = await sdk.chat.completions.create(
        model="default",
        messages=[{"role": "user", "content": "Count from 1 to 100: 1, 2, 3, 4, 5, 6, 7, 8 and so on."}],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "counted", "schema": counted | {"required": ["numbers"]}},
        },
        max_tokens=24,
        temperature=0,
    )
    told = json.loads(answer.choices[0].message.content or "")
    assert len(told["numbers"]) > 2
    assert answer.choices[0].finish_reason == "length"


async def test_a_named_function_is_the_one_that_is_called(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(
        model="default",
        messages=QUESTION,
        tools=[WEATHER, TIME],
        tool_choice={"type": "function", "function": {"name": "get_time"}},
        max_tokens=100,
        temperature=0,
    )
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert [call.function.name for call in calls if call.type == "function"] == ["get_time"]
    assert "hours" in json.loads(calls[0].function.arguments)  # type: ignore[union-attr]  # only functions were offered


async def test_the_sdks_own_stream_puts_a_call_together(sdk: openai.AsyncOpenAI) -> None:
    async with sdk.chat.completions.stream(
        model="default", messages=QUESTION, tools=[WEATHER], tool_choice="required", max_tokens=200, temperature=0
    ) as stream:
        async for _ in stream:
            pass
        answer = await stream.get_final_completion()
    assert answer.choices[0].finish_reason == "tool_calls"
    calls = answer.choices[0].message.tool_calls
    assert calls
    checked(calls[0].function.name, calls[0].function.arguments)


async def test_a_tools_answer_goes_back_into_the_conversation(sdk: openai.AsyncOpenAI) -> None:
    first = await sdk.chat.completions.create(
        model="default", messages=QUESTION, tools=[WEATHER], tool_choice="required", max_tokens=100, temperature=0
    )
    message = first.choices[0].message
    assert message.tool_calls
    second = await sdk.chat.completions.create(
        model="default",
        messages=[
            *QUESTION,
            message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": '{"sky": "rain", "degrees": 9}'},
        ],
        tools=[WEATHER],
        tool_choice="none",
        max_tokens=30,
        temperature=0,
    )
    assert second.choices[0].message.content
    assert not second.choices[0].message.tool_calls


@pytest.mark.parametrize("temperature", [0, 1.5])
async def test_a_strict_schema_is_kept_to_the_letter(sdk: openai.AsyncOpenAI, temperature: float) -> None:
    answer = await sdk.chat.completions.create(
        model="default",
        messages=[{"role": "user", "content": "Invent a lighthouse keeper."}],
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}},
        temperature=temperature,
        seed=5,
        max_tokens=200,
    )
    told = json.loads(answer.choices[0].message.content or "")
    assert set(told) == {"name", "age", "role"}
    assert 1 <= len(told["name"]) <= 20
    assert 0 <= told["age"] <= 150
    assert told["role"] in ("keeper", "sailor")
    assert answer.choices[0].finish_reason == "stop"


async def test_a_schema_that_no_grammar_can_express_is_a_400_that_names_the_keyword(sdk: openai.AsyncOpenAI) -> None:
    schema = {"type": "array", "contains": {"type": "string"}}
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="contains"):
            await sdk.chat.completions.create(
                model="default",
                messages=QUESTION,
                response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
                stream=stream,
            )


async def test_a_grammar_is_kept_and_a_broken_one_is_a_400(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(
        model="default", messages=QUESTION, max_tokens=20, extra_body={"grammar": 'root ::= "sun" | "rain"'}
    )
    assert answer.choices[0].message.content in ("sun", "rain")
    with pytest.raises(openai.BadRequestError, match="grammar"):
        await sdk.chat.completions.create(
            model="default", messages=QUESTION, extra_body={"grammar": "root ::= nothing"}
        )


async def test_logprobs_belong_to_the_tokens_of_the_text_and_are_sorted(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(
        model="default", messages=QUESTION, max_tokens=8, temperature=0, logprobs=True, top_logprobs=3
    )
    choice = answer.choices[0]
    assert choice.logprobs is not None
    tokens = choice.logprobs.content or []
    assert len(tokens) == 8
    assert b"".join(bytes(token.bytes or []) for token in tokens).decode() == choice.message.content
    for token in tokens:
        top = [each.logprob for each in token.top_logprobs]
        assert len(top) == 3
        assert top == sorted(top, reverse=True)
        assert token.logprob == top[0] <= 0, "greedy takes the likeliest"


async def test_three_answers_differ_and_pay_for_their_prompt_once(sdk: openai.AsyncOpenAI) -> None:
    body: Any = {"model": "default", "messages": QUESTION, "seed": 11, "temperature": 1.2, "max_tokens": 20}
    answer = await sdk.chat.completions.create(**body, n=3)
    alone = await sdk.chat.completions.create(**body)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) == 3
    assert answer.usage is not None
    assert alone.usage is not None
    assert answer.usage.prompt_tokens == alone.usage.prompt_tokens
    assert answer.usage.completion_tokens > alone.usage.completion_tokens


async def test_a_forbidden_token_does_not_come_and_a_wanted_length_does(sdk: openai.AsyncOpenAI) -> None:
    async def ids(**more: Any) -> list[int]:
        answer = await sdk.chat.completions.create(
            model="default", messages=QUESTION, max_tokens=6, temperature=0, logprobs=True, extra_body=more
        )
        assert answer.choices[0].logprobs is not None
        return [token.id for token in answer.choices[0].logprobs.content or []]  # type: ignore[attr-defined]  # ours

    free = await ids()
    banned = await ids(logit_bias={str(free[0]): -100})
    assert free[0] not in banned
    assert len(await ids(min_tokens=6)) == 6


async def test_the_second_ask_of_a_long_prompt_says_what_was_cached_and_why_not_all(
    sdk: openai.AsyncOpenAI, served: Home
) -> None:
    story = "The keeper of the lighthouse wrote down every ship that passed. " * 20
    body: Any = {"model": "default", "max_tokens": 4, "temperature": 0}
    await sdk.chat.completions.create(**body, messages=[{"role": "user", "content": story + "How many?"}])
    again = await sdk.chat.completions.create(**body, messages=[{"role": "user", "content": story + "Which one?"}])
    assert again.usage is not None
    assert again.usage.prompt_tokens_details is not None
    assert (again.usage.prompt_tokens_details.cached_tokens or 0) > 0.9 * again.usage.prompt_tokens
    with served.client() as client:
        asked = {"messages": [{"role": "user", "content": story + "Who?"}], "max_tokens": 4}
        done = list(client.events("/generate", asked))[-1]
        assert "differs at token" in done.cache.explanation  # type: ignore[union-attr]  # the last event is Done
        sequences = client.get("/engine/sequences")["engines"][0]["sequences"]
    assert {"number", "state", "prompt_tokens", "cells"} <= set(sequences[0])


async def test_text_completions_continue_texts_and_tokens(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.completions.create(
        model="default", prompt=["The sea is", "The moon is"], max_tokens=5, temperature=0, logprobs=1
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.choices[0].text != answer.choices[1].text
    assert answer.choices[0].logprobs is not None
    assert len(answer.choices[0].logprobs.tokens or []) == 5
    with pytest.raises(openai.BadRequestError, match="vocabulary"):
        await sdk.completions.create(model="default", prompt=[10**9], max_tokens=5)


async def test_embeddings_of_the_index_are_there_for_everybody(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.embeddings.create(model="all-minilm", input=["a boat", "a ship", "a tax form"])
    boat, ship, form = (each.embedding for each in answer.data)

    def cosine(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert cosine(boat, boat) == pytest.approx(1, abs=1e-3)
    assert cosine(boat, ship) > cosine(boat, form) + 0.2
    assert answer.usage.prompt_tokens >= 6


async def test_metrics_count_what_was_asked(sdk: openai.AsyncOpenAI, served: Home) -> None:
    asked: Any = {"model": "default", "messages": QUESTION, "max_tokens": 3, "extra_body": {"ignore_eos": True}}
    await sdk.chat.completions.create(**asked)
    page = httpx2.get(served.url.removesuffix("/v1") + "/metrics").text
    assert 'localmind_requests_total{model="smollm2:135m",outcome="length"}' in page
    assert 'localmind_cells_total{model="smollm2:135m"}' in page
    assert 'localmind_first_token_seconds_bucket{model="smollm2:135m",le="+Inf"}' in page
