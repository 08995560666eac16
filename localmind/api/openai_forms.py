"""The shapes that OpenAI's answers are made of: usage, timings, log probabilities, messages, tool call pieces.

Pure functions, shared by the dialects that are OpenAI's or look like it.
Timings carry our own names and llama-server's, so that its clients find what they look for.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from localmind import __version__
from localmind.api.answers import Answer, new_call_id
from localmind.events import Logprob, Passage, TokenLogprob, ToolCallDelta
from localmind.messages import Timings, Usage

FINGERPRINT = f"localmind-{__version__}"
"""Of the server, as clients log it."""

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


def text_reason(reason: str) -> str:
    """Text completions know "stop" and "length" only."""
    return "stop" if reason == "tool_calls" else _reason(reason, False)


def _reason(reason: str, legacy: bool) -> str:
    """OpenAI knows no "cancelled": such an answer was cut as by a limit."""
    if reason == "tool_calls" and legacy:
        return "function_call"
    return "length" if reason == "cancelled" else reason


def sources_json(passages: Sequence[Passage] | None) -> dict[str, Any]:
    """The field beside an answer from the files; nothing for any other."""
    return {} if passages is None else {"sources": msgspec.to_builtins(passages)}


def choice_json(answer: Answer, index: int, *, legacy: bool = False) -> dict[str, Any]:
    """An element of `choices` of a chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["content"] = answer.text or None
        functions = [{"name": call.name, "arguments": call.arguments} for call in answer.calls]
        if legacy:
            message["function_call"] = functions[0]
        else:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": function}
                for call, function in zip(answer.calls, functions, strict=True)
            ]
    return {
        "index": index,
        "message": message,
        "logprobs": logprobs_json(answer.logprobs),
        "finish_reason": _reason(answer.done.finish_reason, legacy),
    }
