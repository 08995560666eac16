"""The official ollama package: lists, chat, generate, embeddings, tools, schemas, made models, errors."""

import json
from collections.abc import Iterator
from typing import Any

import ollama
import pytest
from images_made import png

MODEL = "smollm2:135m"
HI = [{"role": "user", "content": "Say hi."}]
SHORT = {"num_predict": 6, "temperature": 0, "num_ctx": 4096}


def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: Its name.
    """
    return f"sunny in {city}"


@pytest.fixture
def sdk(base: str) -> Iterator[ollama.Client]:
    client = ollama.Client(host=base)
    yield client
    client._client.close()


def test_the_list_has_what_pickers_need(sdk: ollama.Client) -> None:
    models = {model.model: model for model in sdk.list().models}
    assert {MODEL, f"{MODEL}+files", "all-minilm:l6-v2"} <= models.keys()
    plain = models[MODEL]
    assert plain.details is not None
    assert (plain.details.family, plain.details.parameter_size) == ("llama", "134.52M")
    assert plain.digest is not None
    assert len(plain.digest) == 64
    assert plain.modified_at is not None


def test_show_has_capabilities_and_the_length_of_the_context(sdk: ollama.Client) -> None:
    shown = sdk.show(MODEL)
    info = shown.modelinfo or {}
    assert shown.capabilities == ["completion", "tools"]
    assert info["llama.context_length"] >= 2048
    assert next(key for key in info if "context_length" in key) == "llama.context_length"
    assert shown.details is not None
    assert shown.details.family == info["general.architecture"]
    assert "num_ctx" in (shown.parameters or "")


def test_a_chat_whole_and_streamed_says_the_same(sdk: ollama.Client) -> None:
    whole = sdk.chat(MODEL, HI, options=SHORT)
    assert whole.message.content
    assert whole.done_reason == "length"
    assert whole.eval_count == 6
    assert (whole.total_duration or 0) > (whole.eval_duration or 0) > 0
    # Free text may differ between two runs of the same prompt, of which the second finds its prefix kept.
    said = {"const": "The boiler was serviced on 9 October, and nothing had to be replaced."}
    options = {"num_predict": 60, "temperature": 0}
    assert json.loads(sdk.chat(MODEL, HI, format=said, options=options).message.content or "") == said["const"]
    parts = list(sdk.chat(MODEL, HI, format=said, options=options, stream=True))
    assert json.loads("".join(part.message.content or "" for part in parts)) == said["const"]
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert len(parts) > 2


def test_a_schema_shapes_the_answer(sdk: ollama.Client) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    said = sdk.chat(MODEL, HI, format=schema, options={"num_predict": 60, "temperature": 0}).message.content
    assert isinstance(json.loads(said or "")["n"], int)
    assert sdk.chat(MODEL, HI, format="", options=SHORT).done


def test_a_tool_goes_there_and_back(sdk: ollama.Client) -> None:
    asked: list[Any] = [{"role": "user", "content": "Use get_weather for Paris."}]
    reply = sdk.chat(MODEL, asked, tools=[get_weather], options={"num_predict": 40, "temperature": 0})
    call = {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
    asked += [{"role": "assistant", "content": "", "tool_calls": [call]}]
    asked += [{"role": "tool", "tool_name": "get_weather", "content": get_weather("Paris")}]
    after = sdk.chat(MODEL, asked, tools=[get_weather], options=SHORT)
    assert reply.done
    assert (after.prompt_eval_count or 0) > (reply.prompt_eval_count or 0)


def test_generate_and_the_context_that_goes_on(sdk: ollama.Client) -> None:
    first = sdk.generate(MODEL, "My name is Ada.", options=SHORT)
    assert first.response
    context = first.context
    assert context
    second = sdk.generate(MODEL, "What is my name?", context=context, options=SHORT)
    assert (second.prompt_eval_count or 0) > len(context)
    raw = sdk.generate(MODEL, "Once upon a", raw=True, options=SHORT)
    assert raw.context is None


def test_embeddings_new_and_old(sdk: ollama.Client) -> None:
    found = sdk.embed("all-minilm", ["one", "two"])
    assert [len(vector) for vector in found.embeddings] == [384, 384]
    assert sdk.embeddings("all-minilm", "one").embedding == pytest.approx(found.embeddings[0], abs=1e-5)
    assert sdk.embed("all-minilm", "").embeddings == []


def test_a_made_model_has_its_system_and_is_listed_copied_and_removed(sdk: ollama.Client) -> None:
    few = {"num_predict": 3, "temperature": 0}
    assert sdk.create("pirate", from_=MODEL, system="Talk like a pirate.", parameters=few).status
    plain = sdk.chat(MODEL, HI, options=SHORT)
    made = sdk.chat("pirate", HI)
    assert made.eval_count == 3
    assert made.prompt_eval_count != plain.prompt_eval_count
    sdk.copy("pirate", "corsair")
    assert {"pirate", "corsair"} <= {model.model for model in sdk.list().models}
    assert "SYSTEM" in (sdk.show("corsair").modelfile or "")
    sdk.delete("pirate")
    sdk.delete("corsair")
    with pytest.raises(ollama.ResponseError, match="not found"):
        sdk.show("pirate")


def test_pulling_what_is_here_succeeds(sdk: ollama.Client) -> None:
    assert [step.status for step in sdk.pull(MODEL, stream=True)][-1] == "success"


def test_loading_and_what_is_loaded(sdk: ollama.Client) -> None:
    assert sdk.generate(MODEL, "").done_reason == "load"
    (running,) = [model for model in sdk.ps().models if model.model == MODEL]
    assert running.expires_at is not None
    assert (running.context_length or 0) >= 2048


def test_an_unknown_model_is_ollamas_404(sdk: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'nowhere' not found") as caught:
        sdk.chat("nowhere", HI)
    assert caught.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="not found"):
        list(sdk.pull("nowhere", stream=True))


def test_an_image_is_refused_in_words(sdk: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="cannot see"):
        sdk.chat(MODEL, [{"role": "user", "content": "What is it?", "images": [png()]}])


async def test_the_async_client_streams(base: str) -> None:
    client = ollama.AsyncClient(host=base)
    text = ""
    async for part in await client.chat(MODEL, HI, options=SHORT, stream=True):
        text += part.message.content or ""
    await client._client.aclose()
    assert text
