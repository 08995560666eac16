"""Embeddings and rerank over a fake engine."""

import base64
import struct
from typing import Any

import pytest
from api_fakes import FakeEngines, post

from localmind.api.embeddings import shortened

PATH = "/v1/embeddings"


async def test_vectors_come_as_floats_or_as_base64_in_the_order_of_the_texts() -> None:
    reply = (await post(FakeEngines(), {"model": "tiny-embed", "input": ["a", "b"]}, PATH)).json()
    assert [each["index"] for each in reply["data"]] == [0, 1]
    assert reply["data"][0]["embedding"] == [0.5, 0.5, 0.5, 0.5]
    assert reply["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    coded = (await post(FakeEngines(), {"input": "a", "encoding_format": "base64"}, PATH)).json()
    assert struct.unpack("<4f", base64.b64decode(coded["data"][0]["embedding"])) == (0.5, 0.5, 0.5, 0.5)


async def test_fewer_dimensions_still_have_length_one() -> None:
    reply = (await post(FakeEngines(), {"input": "a", "dimensions": 1}, PATH)).json()
    assert reply["data"][0]["embedding"] == [1.0]
    assert shortened(struct.pack("<3f", 0, 0, 0), 2) == struct.pack("<2f", 0, 0)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"input": []}, "1 to 2048"),
        ({"input": ""}, "empty"),
        ({"input": [1, 2, 3]}, "check_embedding_ctx_length=False"),
        ({"input": [[1], [2]]}, "check_embedding_ctx_length=False"),
        ({"input": "a", "dimensions": 9}, "9 is more than the 4"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
    ],
)
async def test_what_cannot_be_embedded_is_a_400_that_says_why(body: dict[str, Any], named: str) -> None:
    reply = await post(FakeEngines(), body, PATH)
    assert reply.status_code == 400
    assert named in reply.json()["error"]["message"]


async def test_an_embedder_that_is_not_in_use_is_named() -> None:
    reply = await post(FakeEngines(), {"model": "all-minilm:l6-v2", "input": "a"}, PATH)
    assert reply.status_code == 404
    assert "LOCALMIND_EMBED_MODEL" in reply.json()["error"]["message"]


async def test_rerank_gives_the_best_first_under_both_names() -> None:
    body = {"query": "q", "documents": ["aa", {"text": "aaaa"}, "a"], "top_n": 2, "return_documents": True}
    reply = (await post(FakeEngines(), body, "/v1/rerank")).json()
    assert reply["results"] == reply["data"]
    assert reply["results"] == [
        {"index": 1, "relevance_score": 4.0, "document": {"text": "aaaa"}},
        {"index": 0, "relevance_score": 2.0, "document": {"text": "aa"}},
    ]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"query": "q", "documents": []}, "documents"),
        ({"query": "", "documents": ["a"]}, "query"),
        ({"query": "q", "documents": [{"title": "x"}]}, "text"),
        ({"query": "q", "documents": ["a"], "model": "all-minilm:l6-v2"}, "cannot rerank"),
    ],
)
async def test_what_cannot_be_reranked_is_a_400(body: dict[str, Any], named: str) -> None:
    reply = await post(FakeEngines(), body, "/v1/rerank")
    assert reply.status_code == 400
    assert named in reply.json()["error"]["message"]
