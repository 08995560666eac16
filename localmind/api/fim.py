"""`/v1/fim/completions`: fill in the middle in Mistral's words, as Continue and minuet ask Codestral for it.

The body is a text completion's with a suffix; the answer is a chat completion's.
"""

import secrets
import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from localmind.api.answers import collected, written
from localmind.api.asking import answers, asker, target_of
from localmind.api.backend import Backend
from localmind.api.body_route import BodyRoute
from localmind.api.fields import GenerationFields
from localmind.api.native.engine import MOST_TEXT
from localmind.api.openai_chat import ChatWriter, nothing_more, whole
from localmind.api.openai_forms import FINGERPRINT
from localmind.api.streams import JSON, EventStream, unless_gone
from localmind.workers.request import Infill
from localmind.workers.request import Request as Generation


class FimBody(GenerationFields):
    """Without a suffix the prompt is continued, also by a model that was not trained to fill gaps."""

    model: str = "default"
    prompt: str = Field(min_length=1, max_length=MOST_TEXT)
    suffix: str | None = Field(None, max_length=MOST_TEXT)
    max_tokens: int | None = Field(None, ge=-1, le=10_000_000)
    random_seed: int | None = Field(None, ge=-(2**63), le=2**64)
    stream: bool | None = None

    def generation(self, request: Request) -> Generation:
        """As the engine takes it. Raises InvalidRequest."""
        self.seed = self.random_seed if self.seed is None else self.seed
        holed = Infill(self.prompt, self.suffix) if self.suffix else None
        return Generation(
            prompt=None if holed else self.prompt,
            infill=holed,
            sampling=self.sampling(limit=self.max_tokens),
            client=asker(request),
            priority=self.priority_of(request),
            adapters=self.adapters(),
        )


def router(backend: Backend) -> APIRouter:
    routes = APIRouter(route_class=BodyRoute)

    @routes.post("/v1/fim/completions")
    async def fim(body: FimBody, request: Request) -> Response:
        """Mistral's fill in the middle: `stream=true` for server-sent events."""
        target = await target_of(backend, body.model, body)
        events = await answers(request, backend, target, [body.generation(request)], stream=bool(body.stream))
        head: dict[str, Any] = {"id": f"cmpl-{secrets.token_hex(12)}", "created": int(time.time())}
        head |= {"model": target.name, "system_fingerprint": FINGERPRINT}
        if body.stream:
            writer = ChatWriter(head, 1, with_usage=True, legacy=False, more=nothing_more)
            return EventStream(written(events, writer))
        return JSON(whole(await unless_gone(request, collected(events)), head))

    return routes
