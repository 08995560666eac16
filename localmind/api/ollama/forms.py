"""The bodies of Ollama's requests, and the pieces that all its answers share."""

import contextlib
import time
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from localmind.api.cards import Card, timestamp
from localmind.api.chat_messages import ChatMessage
from localmind.api.chat_tools import ToolFields
from localmind.api.fields import GenerationFields
from localmind.durations import seconds
from localmind.errors import InvalidRequest, ModelNotFound, ModelNotInstalled
from localmind.images import Image, from_base64
from localmind.messages import Message, ResponseFormat, Usage
from localmind.messages import Timings as Times

MOST_TEXT = 20_000_000


class Options(GenerationFields):
    """Sampling, in Ollama's names. What tunes another engine (num_gpu, num_ctx, num_thread…) is ignored: a context
    that holds the prompt is right, and one that does not is an error with both numbers."""

    num_predict: int | None = Field(None, ge=-2, le=10_000_000)

    @property
    def limit(self) -> int | None:
        return None if self.num_predict is None or self.num_predict < 0 else self.num_predict


class ModelBody(BaseModel):
    """Whatever names a model, as `model` or by the older `name`."""

    model_config = ConfigDict(extra="ignore")

    model: str = Field("", max_length=400)
    name: str = Field("", max_length=400)

    @property
    def wanted(self) -> str:
        """Raises InvalidRequest where there is none."""
        if not (self.model or self.name):
            raise InvalidRequest("model is required")
        return self.model or self.name


class OllamaMessage(ChatMessage):
    """One message; avante sends OpenAI's parts here too."""

    images: list[str] | None = Field(None, max_length=100)
    thinking: str | None = None
    tool_name: str | None = None

    def plain(self) -> Message:
        self.reasoning_content = self.thinking or self.reasoning_content
        self.name = self.tool_name or self.name
        said = super().plain()
        if not self.images:
            return said
        if said.role != "user":
            raise InvalidRequest(f"messages: images belong to a user's message, not to {self.role!r}")
        return msgspec.structs.replace(said, images=(*images_of(self.images), *said.images))


class AskBody(ModelBody):
    """What chat and generate share."""

    stream: bool | None = None
    format: str | dict[str, Any] | None = None
    options: Options | None = None
    keep_alive: float | str | None = None
    think: bool | str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)

    @property
    def streams(self) -> bool:
        return self.stream is not False

    @property
    def kept_s(self) -> float | None:
        return kept_seconds(self.keep_alive)

    @property
    def constraint(self) -> ResponseFormat:
        """LlamaIndex sends "" for no format."""
        if isinstance(self.format, dict):
            return ResponseFormat(json_schema=self.format)
        if self.format not in (None, "", "json"):
            raise InvalidRequest('format must be "json" or a JSON schema')
        return ResponseFormat(json_schema={}) if self.format else ResponseFormat()

    @property
    def thinking(self) -> tuple[bool | None, dict[str, Any]]:
        """Whether the model shall think, and what its template is told of how much."""
        if isinstance(self.think, str) and self.think:
            return True, {"reasoning_effort": self.think}
        return self.think if isinstance(self.think, bool) else None, {}

    @property
    def logprobs_wanted(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None


class ChatBody(AskBody, ToolFields):
    messages: list[OllamaMessage] | None = None


class GenerateBody(AskBody):
    prompt: str = Field("", max_length=MOST_TEXT)
    suffix: str | None = Field(None, max_length=MOST_TEXT)
    system: str | None = Field(None, max_length=MOST_TEXT)
    template: str | None = Field(None, max_length=1_000_000)
    raw: bool | None = None
    images: list[str] | None = Field(None, max_length=100)
    context: list[Annotated[int, Field(ge=0, lt=2**31)]] | None = Field(None, max_length=10_000_000)


def kept_seconds(keep_alive: float | str | None) -> float | None:
    """How long the model shall stay in memory; None when it was not said. Raises InvalidRequest."""
    if keep_alive is None or keep_alive == "":
        return None
    try:
        return seconds(keep_alive)
    except ValueError as problem:
        raise InvalidRequest(f"keep_alive: {problem}") from problem


def images_of(given: list[str] | None) -> tuple[Image, ...]:
    """Images in base64, which stand before the text. Raises InvalidRequest."""
    return tuple(from_base64(each, f"image {number}") for number, each in enumerate(given or (), start=1))


@contextlib.contextmanager
def as_ollama_says(name: str) -> Iterator[None]:
    """Turn an unknown model into Ollama's own words, which some clients look for."""
    try:
        yield
    except (ModelNotFound, ModelNotInstalled) as problem:
        raise type(problem)(f"model '{name}' not found", hint=problem.hint) from problem


def now() -> str:
    return timestamp(time.time())


def details(card: Card) -> dict[str, Any]:
    """`family` is the architecture: codecompanion looks for `FAMILY.context_length` with it."""
    return {
        "parent_model": card.made.base if card.made else "",
        "format": card.spec.format,
        "family": card.traits.architecture,
        "families": [card.traits.architecture],
        "parameter_size": human(card.traits.parameters) if card.traits.parameters else "",
        "quantization_level": card.traits.quantisation,
    }


def human(count: int) -> str:
    """As Ollama writes it: 134.52M, 1.7B."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if count >= size:
            number = count / size
            return f"{number:.1f}{unit}" if unit in "TB" else f"{number:.2f}{unit}"
    return str(count)


def times(began: float, usage: Usage, timings: Times) -> dict[str, int]:
    """Nanoseconds; what is neither waiting nor work was the model's load. `began` is of time.monotonic."""
    total = time.monotonic() - began
    known = (timings.queue_ms + timings.prefill_ms + timings.decode_ms) / 1e3
    return {
        "total_duration": _ns(total),
        "load_duration": _ns(max(0.0, total - known)),
        "prompt_eval_count": usage.prompt_tokens,
        "prompt_eval_duration": _ns(timings.prefill_ms / 1e3),
        "eval_count": usage.completion_tokens,
        "eval_duration": _ns(timings.decode_ms / 1e3),
    }


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
