"""Frameworks against a running daemon: python frameworks.py http://127.0.0.1:11411 MODEL, in their own environment.

Needs: pip install langchain-openai langchain-ollama litellm llm "pydantic-ai-slim[openai]" llama-index-llms-ollama
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

BASE, MODEL = sys.argv[1], sys.argv[2]
V1 = f"{BASE}/v1"


def langchain_openai() -> None:
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    chat = ChatOpenAI(base_url=V1, api_key="none", model=MODEL, max_tokens=6, max_retries=0)
    assert chat.invoke("Say hi.").usage_metadata["total_tokens"] > 6
    assert "".join(str(piece.content) for piece in chat.stream("Say hi."))
    embedder = OpenAIEmbeddings(
        base_url=V1, api_key="none", model="all-minilm", check_embedding_ctx_length=False, max_retries=0
    )
    assert len(embedder.embed_documents(["a", "b"])) == 2


def langchain_openai_tool() -> None:
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    @tool
    def weather(city: bool) -> str:
        """The weather."""
        return "sunny"

    chat = ChatOpenAI(base_url=V1, api_key="none", model=MODEL, max_tokens=300, max_retries=0)
    (call,) = chat.bind_tools([weather], tool_choice="any").invoke("Weather?").tool_calls
    assert call["name"] == "weather"


def langchain_ollama() -> None:
    from langchain_ollama import ChatOllama, OllamaEmbeddings

    chat = ChatOllama(base_url=BASE, model=MODEL, num_predict=6)
    assert chat.invoke("Say hi.").usage_metadata["total_tokens"] > 6
    assert "".join(str(piece.content) for piece in chat.stream("Say hi."))
    assert len(OllamaEmbeddings(base_url=BASE, model="all-minilm").embed_documents(["a", "b"])) == 2


def llama_index() -> None:
    from llama_index.llms.ollama import Ollama

    chat = Ollama(model=MODEL, base_url=BASE, additional_kwargs={"num_predict": 6}, context_window=2000)
    assert chat.complete("Say hi.").text
    assert "".join(piece.delta or "" for piece in chat.stream_complete("Say hi."))


def litellm() -> None:
    import litellm

    said: Any = [{"role": "user", "content": "Say hi."}]
    for name, base in ((f"openai/{MODEL}", V1), (f"ollama_chat/{MODEL}", BASE), (f"ollama/{MODEL}", BASE)):
        answer = litellm.completion(model=name, messages=said, api_base=base, api_key="none", max_tokens=6)
        assert answer.usage.total_tokens > 6, name
        pieces = litellm.completion(model=name, messages=said, api_base=base, api_key="none", max_tokens=6, stream=True)
        assert "".join(piece.choices[0].delta.content or "" for piece in pieces), name
    answer = litellm.completion(model=f"anthropic/{MODEL}", messages=said, api_base=BASE, api_key="none", max_tokens=6)
    assert answer.usage.completion_tokens == 6


def pydantic_ai() -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=V1, api_key="none"))
    result = Agent(model, model_settings={"max_tokens": 6}).run_sync("Say hi.")
    assert result.output
    assert result.usage().input_tokens > 6


def llm_command() -> None:
    with tempfile.TemporaryDirectory() as home:
        entry = f"- model_id: local\n  model_name: {MODEL}\n  api_base: {V1}\n"
        (Path(home) / "extra-openai-models.yaml").write_text(entry)
        command = [str(Path(sys.executable).with_name("llm")), "-m", "local", "-o", "max_tokens", "6", "Say hi."]
        said = subprocess.run(
            command, env={"LLM_USER_PATH": home, "PATH": ""}, capture_output=True, text=True, timeout=120
        )
        assert said.returncode == 0, said.stderr
        assert said.stdout.strip()


CASES: tuple[Callable[[], None], ...] = (
    langchain_openai,
    langchain_openai_tool,
    langchain_ollama,
    llama_index,
    litellm,
    pydantic_ai,
    llm_command,
)

if __name__ == "__main__":
    failed = 0
    for case in CASES:
        try:
            case()
            print(f"ok      {case.__name__}")
        except Exception as problem:
            failed += 1
            print(f"FAILED  {case.__name__}: {type(problem).__name__}: {str(problem)[:300]}")
    print(f"{len(CASES) - failed} passed, {failed} failed")
    sys.exit(bool(failed))
