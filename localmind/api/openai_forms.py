"""The shapes that OpenAI's answers are made of: usage, timings, log probabilities, messages, tool call pieces.

Pure functions and small accumulators over our events, shared by the chat and the completion routes.
Timings carry our own names and llama-server's, so that its clients find what they look for.
"""

import secrets
from collections.abc import Sequence
from typing import Any

from localmind.errors import InternalError
from localmind.events import Done, Event, Logprob, ReasoningDelta, TextDelta, TokenLogprob, ToolCallDelta
from localmind.messages import Timings, Usage

LEAST_LOGPROB = -9999.0
"""OpenAI's own floor; JSON has no infinity."""


def usage_json(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def timings_json(usage: Usage, timings: Timings) -> dict[str, float]:
    """Where the time went, in milliseconds; then the same as llama-server calls it."""
    evaluated = usage.prompt_tokens - usage.cached_tokens
    found = {
        "queue_ms": round(timings.queue_ms, 1),
        "prefill_ms": round(timings.prefill_ms, 1),
        "decode_ms": round(timings.decode_ms, 1),
        "parked_ms": round(timings.parked_ms, 1),
        "cached_tokens": usage.cached_tokens,
        "drafted_tokens": timings.drafted_tokens,
        "accepted_tokens": timings.accepted_tokens,
        "cache_n": usage.cached_tokens,
        "prompt_n": evaluated,
        "prompt_ms": round(timings.prefill_ms, 3),
        "prompt_per_token_ms": _ratio(timings.prefill_ms, evaluated),
        "prompt_per_second": _ratio(1e3 * evaluated, timings.prefill_ms),
        "predicted_n": usage.completion_tokens,
        "predicted_ms": round(timings.decode_ms, 3),
        "predicted_per_token_ms": _ratio(timings.decode_ms, usage.completion_tokens),
        "predicted_per_second": _ratio(1e3 * usage.completion_tokens, timings.decode_ms),
    }
    if timings.drafted_tokens:
        found |= {"draft_n": timings.drafted_tokens, "draft_n_accepted": timings.accepted_tokens}
    return found


def _ratio(part: float, whole: float) -> float:
    return round(part / whole, 3) if whole else 0.0


def logprobs_json(tokens: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    """The chat form. None where there are none, as OpenAI has it."""
    if not tokens:
        return None
    return {
        "content": [{**_token(each.chosen), "top_logprobs": [_token(other) for other in each.top]} for each in tokens],
        "refusal": None,
    }


def _token(token: Logprob) -> dict[str, Any]:
    return {
        "token": token.token,
        "logprob": finite(token.logprob),
        "bytes": list(token.bytes),
        "id": token.id,
    }


def finite(logprob: float) -> float:
    return max(logprob, LEAST_LOGPROB)


class CallChunks:
    """Pieces of tool calls as deltas. `legacy` is the form of 2023 with one nameless function call."""

    def __init__(self, legacy: bool) -> None:
        self._legacy = legacy
        self._known: set[int] = set()

    def delta(self, piece: ToolCallDelta) -> dict[str, Any]:
        first = piece.index not in self._known
        self._known.add(piece.index)
        function = {"arguments": piece.arguments}
        if first:
            function = {"name": piece.name, **function}
        if self._legacy:
            return {"function_call": function}
        call: dict[str, Any] = {"index": piece.index}
        if first:
            call |= {"id": piece.id or new_call_id(), "type": "function"}
        return {"tool_calls": [{**call, "function": function}]}

    def reason(self, reason: str) -> str:
        return _reason(reason, self._legacy)


def new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


def text_reason(reason: str) -> str:
    """Text completions know "stop" and "length" only."""
    return "stop" if reason == "tool_calls" else _reason(reason, False)


def _reason(reason: str, legacy: bool) -> str:
    """OpenAI knows no "cancelled": such an answer was cut as by a limit."""
    if reason == "tool_calls" and legacy:
        return "function_call"
    return "length" if reason == "cancelled" else reason


class Answer:
    """One choice, put together from its events."""

    def __init__(self, legacy: bool = False) -> None:
        self._legacy = legacy
        self._done: Done | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._calls: dict[int, dict[str, Any]] = {}

    def take(self, event: Event) -> None:
        match event:
            case TextDelta(text, logprobs):
                self._text.append(text)
                self._logprobs += logprobs
            case ReasoningDelta(text):
                self._reasoning.append(text)
            case ToolCallDelta(index, call_id, name, arguments):
                if index not in self._calls:
                    self._calls[index] = {"id": call_id or new_call_id(), "name": name, "arguments": []}
                self._calls[index]["arguments"].append(arguments)
            case Done():
                self._done = event

    @property
    def done(self) -> Done:
        if self._done is None:
            raise InternalError("the answer has no end", hint="localmind doctor")
        return self._done

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def logprobs(self) -> list[TokenLogprob]:
        return self._logprobs

    def choice(self, index: int) -> dict[str, Any]:
        """As an element of `choices` of a chat completion."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text, "refusal": None}
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        if self._calls:
            message["content"] = self.text or None
            calls = [call for _, call in sorted(self._calls.items())]
            functions = [{"name": call["name"], "arguments": "".join(call["arguments"])} for call in calls]
            if self._legacy:
                message["function_call"] = functions[0]
            else:
                message["tool_calls"] = [
                    {"id": call["id"], "type": "function", "function": function}
                    for call, function in zip(calls, functions, strict=True)
                ]
        return {
            "index": index,
            "message": message,
            "logprobs": logprobs_json(self._logprobs),
            "finish_reason": _reason(self.done.finish_reason, self._legacy),
        }
