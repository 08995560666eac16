"""Frameworks against a running daemon: python frameworks.py http://127.0.0.1:11411 MODEL, in their own environment.

Each is asked for a whole answer, a stream, a tool, an answer by schema, vectors, an error and a stream given up, as
far as it has them. Made by `run`: pip install langchain-openai langchain-ollama litellm llm "pydantic-ai-slim[openai]"
llama-index-llms-ollama llama-index-embeddings-ollama
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

BASE, MODEL = sys.argv[1], sys.argv[2]
V1 = f"{BASE}/v1"
CASES: list[Callable[[], None]] = []


class Weather(BaseModel):
    """The weather."""

    sunny: bool = Field(description="whether the sun shines")
    degrees: int = Field(description="how warm it is", ge=-50, le=60)


def case(function: Callable[[], None]) -> Callable[[], None]:
    CASES.append(function)
    return function


def until_free() -> None:
    """The engine is done with what nobody reads any more."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{BASE}/slots", timeout=20) as reply:
            if not any(slot["is_processing"] for slot in json.load(reply)):
                return
        time.sleep(0.1)
    raise AssertionError("the engine goes on although its client has left")


def fails_with(kind: type[Exception], what: Callable[[], Any], words: str = "not") -> None:
    try:
        what()
    except kind as problem:
        if words not in str(problem):
            raise AssertionError(f"{words!r} is not in {problem}") from problem
        return
    raise AssertionError(f"no {kind.__name__}")


# --- LangChain, beside its standard tests


@case
def langchain_openai() -> None:
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(base_url=V1, api_key="none", model=MODEL, max_tokens=6, max_retries=0)
    assert chat.invoke("Say hi.").usage_metadata["total_tokens"] > 6
    assert "".join(str(piece.content) for piece in chat.stream("Say hi."))


@case
def langchain_openai_responses() -> None:
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(base_url=V1, api_key="none", model=MODEL, max_tokens=20, max_retries=0, use_responses_api=True)
    assert chat.invoke("Say hi.").text
    assert "".join(piece.text for piece in chat.stream("Say hi."))


@case
def langchain_error() -> None:
    import openai
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(base_url=V1, api_key="none", model="nowhere")
    fails_with(openai.NotFoundError, lambda: chat.invoke("hi"), "nowhere")


@case
def langchain_cancel() -> None:
    from langchain_ollama import ChatOllama
    from langchain_openai import ChatOpenAI

    endless = {"ignore_eos": True}
    openai = ChatOpenAI(base_url=V1, api_key="none", model=MODEL, max_tokens=4000, extra_body=endless)
    for stream in (openai.stream("Count."), ChatOllama(base_url=BASE, model=MODEL, num_predict=4000).stream("Count.")):
        next(stream)
        stream.close()  # type: ignore[attr-defined]  # it is a generator
        until_free()


# --- LlamaIndex


@case
def llama_index() -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.ollama import Ollama

    chat = Ollama(model=MODEL, base_url=BASE, additional_kwargs={"num_predict": 6}, context_window=2000)
    assert chat.complete("Say hi.").text
    assert chat.chat([ChatMessage(role="user", content="Say hi.")]).message.content
    assert "".join(piece.delta or "" for piece in chat.stream_complete("Say hi."))


@case
def llama_index_schema() -> None:
    from llama_index.core.prompts import PromptTemplate
    from llama_index.llms.ollama import Ollama

    chat = Ollama(model=MODEL, base_url=BASE, context_window=2000, additional_kwargs={"num_predict": 100})
    found = chat.structured_predict(Weather, PromptTemplate("What is the weather in Ulm?"))
    assert -50 <= found.degrees <= 60


@case
def llama_index_embeddings() -> None:
    from llama_index.embeddings.ollama import OllamaEmbedding

    vectors = OllamaEmbedding(model_name="all-minilm", base_url=BASE).get_text_embedding_batch(["a", "b"])
    assert [len(vector) for vector in vectors] == [384, 384]


@case
def llama_index_error() -> None:
    import ollama
    from llama_index.llms.ollama import Ollama

    fails_with(ollama.ResponseError, lambda: Ollama(model="nowhere", base_url=BASE).complete("hi"), "nowhere")


# --- LiteLLM

SAID: Any = [{"role": "user", "content": "What is the weather in Ulm?"}]
WAYS = (
    (f"openai/{MODEL}", V1),
    (f"ollama_chat/{MODEL}", BASE),
    (f"ollama/{MODEL}", BASE),
    (f"anthropic/{MODEL}", BASE),
)


@case
def litellm_whole_and_stream() -> None:
    import litellm

    for name, base in WAYS:
        asked = {"model": name, "messages": SAID, "api_base": base, "api_key": "none", "max_tokens": 6}
        assert litellm.completion(**asked).usage.total_tokens > 6, name
        pieces = litellm.completion(**asked, stream=True)
        assert "".join(piece.choices[0].delta.content or "" for piece in pieces), name


@case
def litellm_tool() -> None:
    import litellm

    tool = {"type": "function", "function": {"name": "weather", "parameters": Weather.model_json_schema()}}
    for name, base in (WAYS[0], WAYS[3]):
        answer = litellm.completion(
            model=name,
            messages=SAID,
            api_base=base,
            api_key="none",
            tools=[tool],
            tool_choice="required",
            max_tokens=200,
        )
        (call,) = answer.choices[0].message.tool_calls[:1]
        assert call.function.name == "weather", name
        Weather.model_validate_json(call.function.arguments)


@case
def litellm_schema() -> None:
    import litellm

    for name, base in WAYS[:2]:
        answer = litellm.completion(
            model=name, messages=SAID, api_base=base, api_key="none", response_format=Weather, max_tokens=100
        )
        Weather.model_validate_json(answer.choices[0].message.content)


@case
def litellm_embeddings() -> None:
    import litellm

    for name, base in (("openai/all-minilm", V1), ("ollama/all-minilm", BASE)):
        found = litellm.embedding(model=name, input=["a", "b"], api_base=base, api_key="none")
        assert [len(row["embedding"]) for row in found.data] == [384, 384], name


@case
def litellm_error() -> None:
    import litellm

    asked = {"model": "openai/nowhere", "messages": SAID, "api_base": V1, "api_key": "none"}
    fails_with(litellm.NotFoundError, lambda: litellm.completion(**asked), "nowhere")


@case
def litellm_cancel() -> None:
    import litellm

    async def leave() -> None:
        asked = {"model": WAYS[0][0], "messages": SAID, "api_base": V1, "api_key": "none", "max_tokens": 4000}
        pieces = await litellm.acompletion(**asked, stream=True, extra_body={"ignore_eos": True})
        await anext(aiter(pieces))
        await pieces.aclose()

    asyncio.run(leave())
    until_free()


# --- Pydantic AI


def agent(name: str = MODEL, **more: Any) -> Any:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel(name, provider=OpenAIProvider(base_url=V1, api_key="none"))
    return Agent(model, **more)


@case
def pydantic_ai() -> None:
    result = agent(model_settings={"max_tokens": 6}).run_sync("Say hi.")
    assert result.output
    assert result.usage.input_tokens > 6


@case
def pydantic_ai_stream() -> None:
    async def read() -> str:
        async with agent(model_settings={"max_tokens": 6}).run_stream("Say hi.") as result:
            return "".join([piece async for piece in result.stream_text(delta=True)])

    assert asyncio.run(read())


@case
def pydantic_ai_tool() -> None:
    """An output by a tool is a call that must be made."""
    found = agent(output_type=Weather, model_settings={"max_tokens": 200}).run_sync("What is the weather in Ulm?")
    assert isinstance(found.output, Weather)


@case
def pydantic_ai_schema() -> None:
    from pydantic_ai import NativeOutput

    wanted = {"output_type": NativeOutput(Weather), "model_settings": {"max_tokens": 200}}
    assert isinstance(agent(**wanted).run_sync("What is the weather in Ulm?").output, Weather)


@case
def pydantic_ai_error() -> None:
    from pydantic_ai.exceptions import ModelHTTPError

    fails_with(ModelHTTPError, lambda: agent("nowhere").run_sync("hi"), "404")


# --- llm


def llm(*arguments: str) -> "subprocess.CompletedProcess[str]":
    with tempfile.TemporaryDirectory() as home:
        entry = f"- model_id: local\n  model_name: {MODEL}\n  api_base: {V1}\n  supports_schema: true\n"
        other = f"- model_id: gone\n  model_name: nowhere\n  api_base: {V1}\n"
        (Path(home) / "extra-openai-models.yaml").write_text(entry + other)
        command = [str(Path(sys.executable).with_name("llm")), *arguments]
        environment = {"LLM_USER_PATH": home, "PATH": "", "OPENAI_API_KEY": "none"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@case
def llm_whole_and_stream() -> None:
    for more in ((), ("--no-stream",)):
        said = llm("-m", "local", "-o", "max_tokens", "6", *more, "Say hi.")
        assert said.returncode == 0, said.stderr
        assert said.stdout.strip()


@case
def llm_schema() -> None:
    said = llm("-m", "local", "--schema", json.dumps(Weather.model_json_schema()), "What is the weather in Ulm?")
    assert said.returncode == 0, said.stderr
    Weather.model_validate_json(said.stdout)


@case
def llm_error() -> None:
    said = llm("-m", "gone", "hi")
    assert said.returncode != 0
    assert "nowhere" in said.stderr


if __name__ == "__main__":
    failed = 0
    for each in CASES:
        try:
            each()
            print(f"ok      {each.__name__}", flush=True)
        except Exception as problem:
            failed += 1
            print(f"FAILED  {each.__name__}: {type(problem).__name__}: {str(problem)[:300]}", flush=True)
    print(f"{len(CASES) - failed} passed, {failed} failed")
    sys.exit(bool(failed))
