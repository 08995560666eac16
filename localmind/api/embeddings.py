"""Vectors and relevance: OpenAI's embeddings, and the rerank form that Cohere, Jina and their clients share.

A BERT-class embedder of the index answers through its own worker, a GGUF through an engine worker;
either way vectors have length 1. Token ids are refused: the clients that send them (LangChain) mean
another model's tokens, and vectors of the wrong words look like any others.
"""

import array
import base64
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from localmind.api.asking import embedder_of
from localmind.api.backend import Backend
from localmind.api.body_route import BodyRoute
from localmind.api.streams import JSON, unless_gone
from localmind.catalog import ModelSpec
from localmind.errors import ContextTooLong, InvalidRequest, ModelNotInstalled

MOST_TEXTS = 2048
MOST_DOCUMENTS = 1000

Text = Annotated[str, Field(max_length=2_000_000)]


class EmbeddingsRequest(BaseModel):
    model_config = ConfigDict(extra="ignore")

    model: str | None = None
    input: Text | list[Text] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(None, ge=1, le=65536)

    def texts(self) -> list[str]:
        """What is to be embedded. Raises InvalidRequest."""
        given = [self.input] if isinstance(self.input, str) else self.input
        if not given or len(given) > MOST_TEXTS:
            raise InvalidRequest(f"input must hold 1 to {MOST_TEXTS} texts")
        texts = [each for each in given if isinstance(each, str)]
        if len(texts) != len(given):
            raise InvalidRequest(
                "input: token ids of another model's vocabulary would give wrong vectors",
                hint="send text; in LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False)",
            )
        if not all(texts):
            raise InvalidRequest("input: a text is empty")
        return texts


class RerankRequest(BaseModel):
    model_config = ConfigDict(extra="ignore")

    model: str | None = None
    query: Annotated[str, Field(min_length=1, max_length=2_000_000)]
    documents: list[Text | dict[str, Any]] = Field(min_length=1, max_length=MOST_DOCUMENTS)
    top_n: int | None = Field(None, ge=1)
    return_documents: bool | None = None

    def texts(self) -> list[str]:
        """Of each document. Raises InvalidRequest."""
        found: list[str] = []
        for document in self.documents:
            text = document if isinstance(document, str) else document.get("text")
            if not isinstance(text, str):
                raise InvalidRequest("documents: each must be a text or an object with a `text`")
            found.append(text)
        return found


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(route_class=BodyRoute)

    @routes.post("/v1/embeddings")
    @routes.post("/embeddings", include_in_schema=False)
    async def embeddings(body: EmbeddingsRequest, request: Request) -> Response:
        """OpenAI embeddings: unit vectors as floats or base64."""
        return await embedded(backend, body, request)

    @routes.post("/v1/rerank")
    @routes.post("/rerank", include_in_schema=False)
    @routes.post("/reranking", include_in_schema=False)
    @routes.post("/v1/reranking", include_in_schema=False)
    async def rerank(body: RerankRequest, request: Request) -> Response:
        """How well each document fits a query, best first."""
        texts = body.texts()
        spec = backend.engines.embedder(body.model)
        if spec.format != "gguf":
            raise InvalidRequest(f"{spec.name} cannot rerank: it reads a query and a document apart from each other")
        scores = await unless_gone(request, backend.engines.rerank(spec, body.query, texts))
        best = sorted(range(len(texts)), key=lambda index: -scores[index])[: body.top_n or len(texts)]
        results: list[dict[str, Any]] = [{"index": index, "relevance_score": scores[index]} for index in best]
        if body.return_documents:
            for result in results:
                result["document"] = {"text": texts[result["index"]]}
        tokens = await backend.engines.ask(spec, "tokenize", text="\n".join([body.query, *texts]))
        usage = {"prompt_tokens": len(tokens), "total_tokens": len(tokens)}
        # Half of the clients read `results` (Cohere, Jina, vLLM), the other half `data` (Voyage, Continue's openai).
        return JSON({"object": "list", "model": spec.name, "results": results, "data": results, "usage": usage})

    return routes


async def embedded(backend: Backend, body: EmbeddingsRequest, request: Request) -> Response:
    """The answer to a request for vectors."""
    texts = body.texts()
    spec = embedder_of(backend, body.model)
    vectors, tokens = await unless_gone(request, vectors_of(backend, spec, texts))
    if body.dimensions is not None:
        vectors = [shortened(vector, body.dimensions) for vector in vectors]
    encode = _base64 if body.encoding_format == "base64" else floats
    return JSON(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": encode(vector)}
                for index, vector in enumerate(vectors)
            ],
            "model": spec.name,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


async def vectors_of(
    backend: Backend, spec: ModelSpec, texts: Sequence[str], *, truncate: bool = False
) -> tuple[list[bytes], int]:
    """A unit vector a text, float32 little-endian, and the tokens of all.

    A text too long for a GGUF is an error unless `truncate`; a BERT-class embedder reads the beginning of it.
    """
    if spec.format != "gguf":
        own = backend.embedder()
        if own is None or own.model.name != spec.name:
            raise ModelNotInstalled(
                f"{spec.name} is not the embedder in use", hint=f"LOCALMIND_EMBED_MODEL={spec.name}"
            )
        return await own.embed(texts, "passage"), await own.count(texts)
    try:
        return await backend.engines.embed(spec, texts)
    except ContextTooLong as problem:
        limit = problem.numbers.get("n_ctx")
        if not truncate or limit is None:
            raise
    ask = backend.engines.ask
    cut = [(await ask(spec, "tokenize", text=text, add_special=True, parse_special=False))[:limit] for text in texts]
    answer = await ask(spec, "embed", tokens=cut)
    return answer["vectors"], int(answer["tokens"])


def shortened(vector: bytes, dimensions: int) -> bytes:
    """The first numbers, brought back to length 1 (Matryoshka). Raises InvalidRequest for more than there are."""
    numbers = array.array("f", vector)
    if dimensions > len(numbers):
        raise InvalidRequest(f"dimensions: {dimensions} is more than the {len(numbers)} of this model")
    first = numbers[:dimensions]
    length = math.sqrt(sum(number * number for number in first)) or 1.0
    return array.array("f", [number / length for number in first]).tobytes()


def floats(vector: bytes) -> list[float]:
    numbers = array.array("f", vector)
    return numbers.tolist()


def _base64(vector: bytes) -> str:
    return base64.b64encode(vector).decode("ascii")
