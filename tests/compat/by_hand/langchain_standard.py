"""LangChain's own standard tests of chat models and embedders against a running daemon, for both of its packages.

    LOCALMIND_MODEL=smollm2:135m pytest -o asyncio_mode=auto --noconftest -c /dev/null FILE

Their own environment is made by `run`, beside this. A model that is too weak fails some of them by what it says;
LOCALMIND_WIRE=FILE writes down what went over the wire, which shows whose fault it is.
"""

import json
import os
from typing import Any

import httpx
import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_ollama import ChatOllama, OllamaEmbeddings
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

BASE = os.environ.get("LOCALMIND_BASE", "http://127.0.0.1:11411")
MODEL = os.environ.get("LOCALMIND_MODEL", "smollm2:135m")
EMBEDDER = os.environ.get("LOCALMIND_EMBEDDER", "all-minilm")
MOST_TOKENS = 200


def written(response: httpx.Response) -> None:
    response.read()
    write_down(response)


async def written_later(response: httpx.Response) -> None:
    await response.aread()
    write_down(response)


def write_down(response: httpx.Response) -> None:
    """One line of JSON: which test, what was asked, what was answered."""
    if place := os.environ.get("LOCALMIND_WIRE"):
        test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0].partition("::")[2]
        request = response.request
        row = {"test": test, "path": request.url.path, "status": response.status_code}
        row |= {"asked": json.loads(request.content or b"null"), "answer": response.text}
        with open(place, "a") as log:
            log.write(json.dumps(row) + "\n")


class OfThisDaemon(ChatModelIntegrationTests):
    """What both say of themselves."""

    @property
    def has_tool_calling(self) -> bool:
        return True

    @property
    def has_structured_output(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return False


class TestOpenAI(OfThisDaemon):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        hooks, later = {"response": [written]}, {"response": [written_later]}
        return {
            "base_url": f"{BASE}/v1",
            "api_key": "none",
            "model": MODEL,
            "max_tokens": MOST_TOKENS,
            "max_retries": 0,
            "temperature": 0,
            "stream_usage": True,
            "http_client": httpx.Client(event_hooks=hooks, timeout=120),
            "http_async_client": httpx.AsyncClient(event_hooks=later, timeout=120),
        }


class TestOllama(OfThisDaemon):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOllama

    @property
    def chat_model_params(self) -> dict[str, Any]:
        hooks, later = {"response": [written]}, {"response": [written_later]}
        return {
            "base_url": BASE,
            "model": MODEL,
            "num_predict": MOST_TOKENS,
            "temperature": 0,
            "client_kwargs": {"timeout": 120},
            "async_client_kwargs": {"event_hooks": later},
            "sync_client_kwargs": {"event_hooks": hooks},
        }

    @property
    def has_tool_choice(self) -> bool:
        return False  # there is no such field in Ollama's dialect


class TestOpenAIEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"base_url": f"{BASE}/v1", "api_key": "none", "model": EMBEDDER, "check_embedding_ctx_length": False}


class TestOllamaEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return OllamaEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"base_url": BASE, "model": EMBEDDER}


if __name__ == "__main__":
    pytest.main([__file__])
