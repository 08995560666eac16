"""One generation as it enters: everything an engine worker's "generate" call can be asked.

A value and nothing more, made by the API's dialects and by the assistant, and handed on as builtins.
What is left at its default is not sent, so a worker sees what was asked and no more.
"""

from typing import Any

import msgspec

from localmind.messages import Message, Priority, ResponseFormat, SamplingParams, ToolUse


class Infill(msgspec.Struct, frozen=True):
    """Text with a hole, for models trained to fill it."""

    prefix: str
    suffix: str
    extra: tuple[tuple[str, str], ...] = ()
    """Other files for orientation: (name, text)."""


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """Exactly one of messages, prompt, tokens and infill is what the model continues."""

    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    """Taken as it is, without a template; control tokens in it count as such."""
    tokens: tuple[int, ...] | None = None
    infill: Infill | None = None
    scored: bool = False
    """How likely each token of a prompt was comes before the answer, which may be empty (`max_tokens` 0); of `prompt`
    and `tokens` only. The first has nothing before it: its likelihood is NaN."""
    sampling: SamplingParams = SamplingParams()
    client: str = ""
    priority: Priority = "interactive"
    tools: ToolUse = ToolUse()
    format: ResponseFormat = ResponseFormat()
    adapters: tuple[tuple[str, float], ...] = ()
    """LoRA adapters by name, each with its scale."""
    thinking: bool | None = None
    """None leaves it to the model's template."""
    template_kwargs: dict[str, Any] = {}
    template: str | None = None
    """Jinja that lays the messages out instead of the model's own template."""
    explain: bool = False
    """Done.cache says why so much of the prompt was evaluated."""

    keep_alive: float | None = None
    """Seconds that the model stays in memory afterwards; None: as is set for it. The worker is not told."""

    def params(self) -> dict[str, Any]:
        """As the worker takes it."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        data.pop("keep_alive", None)
        return data

    def choice(self, index: int) -> "Request":
        """The same for the `index`-th of several answers: another seed, so that they differ and can be repeated."""
        if index == 0 or self.sampling.seed is None:
            return self
        seed = (self.sampling.seed + index) % 2**32
        return msgspec.structs.replace(self, sampling=msgspec.structs.replace(self.sampling, seed=seed))
