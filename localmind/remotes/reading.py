"""What a server elsewhere streams, read into our events. It may be wrong in any way: nothing in it is trusted."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

from localmind.errors import RemoteFailed
from localmind.events import Done, Event, FinishReason, Logprob, ReasoningDelta, TextDelta, TokenLogprob, ToolCallDelta
from localmind.messages import Timings, Usage

MOST_LINE = 4 << 20
"""Bytes of one event; a token with all its alternatives is far below."""
MOST_CALLS = 512

REASONS: dict[str, FinishReason] = {"length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls"}


async def data_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The payload of each server-sent event, in pieces of bytes as they come."""
    left = b""
    async for chunk in chunks:
        left += chunk
        *lines, left = left.split(b"\n")
        if len(left) > MOST_LINE:
            raise RemoteFailed("the server sent a line without an end")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()
    if left.startswith(b"data:"):
        yield left[5:].strip()


class Reader:
    """The answer to one request. Feed it payloads; ask for `end` when the stream is over."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began = time.monotonic()
        self._first = 0.0
        self._reason: FinishReason | None = None
        self._usage = Usage()
        self._over = False
        self._pieces = 0

    def feed(self, payload: bytes) -> Iterator[Event]:
        """The events of one payload. Raises RemoteFailed."""
        if payload == b"[DONE]":
            self._over = True
            return
        if not payload:
            return
        try:
            chunk = msgspec.json.decode(payload)
        except (msgspec.DecodeError, RecursionError) as problem:
            raise RemoteFailed(f"{self._name}: its server sent what is no JSON: {payload[:80]!r}") from problem
        if not isinstance(chunk, dict):
            raise RemoteFailed(f"{self._name}: its server sent an event that is no object")
        if chunk.get("error"):
            raise RemoteFailed(f"{self._name}: {said(chunk)}")
        self._count(chunk.get("usage"))
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                yield from self._choice(choice)

    def end(self) -> Done:
        """Raises RemoteFailed when the answer was cut off."""
        if self._reason is None and not self._over:
            raise RemoteFailed(f"{self._name}: its server broke off in the middle of the answer", hint="ask again")
        now = time.monotonic()
        first = self._first or now
        timings = Timings(prefill_ms=1e3 * (first - self._began), decode_ms=1e3 * (now - first))
        usage = self._usage if self._usage.completion_tokens else Usage(completion_tokens=self._pieces)
        return Done(self._reason or "stop", usage, timings, self._name)

    def _choice(self, choice: dict[str, Any]) -> Iterator[Event]:
        delta = choice.get("delta")
        delta = delta if isinstance(delta, dict) else {"content": choice.get("text")}
        events = [*_reasoning(delta), *_text(delta, choice.get("logprobs")), *_calls(delta)]
        if events:
            self._first = self._first or time.monotonic()
            self._pieces += 1
        yield from events
        if isinstance(reason := choice.get("finish_reason"), str):
            self._reason = REASONS.get(reason, "stop")

    def _count(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        details = usage.get("prompt_tokens_details")
        cached = _number(details.get("cached_tokens")) if isinstance(details, dict) else 0
        self._usage = Usage(_number(usage.get("prompt_tokens")), _number(usage.get("completion_tokens")), cached)


def said(answer: Any) -> str:
    """The message in an error of any dialect, for people."""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    text = (error.get("message") or error.get("detail")) if isinstance(error, dict) else error
    return text[:500] if isinstance(text, str) and text else "its server failed and does not say why"


def _text(delta: dict[str, Any], logprobs: Any) -> Iterator[Event]:
    content = delta.get("content")
    if isinstance(content, str) and content:
        yield TextDelta(content, tuple(_logprobs(logprobs)))


def _reasoning(delta: dict[str, Any]) -> Iterator[Event]:
    for key in ("reasoning_content", "reasoning"):
        if isinstance(text := delta.get(key), str) and text:
            yield ReasoningDelta(text)
            return


def _calls(delta: dict[str, Any]) -> Iterator[Event]:
    calls = delta.get("tool_calls")
    for place, call in enumerate(calls if isinstance(calls, list) else ()):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            continue
        index = call.get("index")
        index = index if isinstance(index, int) and 0 <= index < MOST_CALLS else min(place, MOST_CALLS - 1)
        words = [value if isinstance(value, str) else "" for value in (call.get("id"), function.get("name"))]
        arguments = function.get("arguments")
        yield ToolCallDelta(index, words[0], words[1], arguments if isinstance(arguments, str) else "")


def _logprobs(found: Any) -> Iterator[TokenLogprob]:
    content = found.get("content") if isinstance(found, dict) else None
    for entry in content if isinstance(content, list) else ():
        if not isinstance(entry, dict):
            continue
        top = entry.get("top_logprobs")
        others = [_logprob(each) for each in (top if isinstance(top, list) else ()) if isinstance(each, dict)]
        yield TokenLogprob(_logprob(entry), tuple(others))


def _logprob(entry: dict[str, Any]) -> Logprob:
    token, value = entry.get("token"), entry.get("logprob")
    text = token if isinstance(token, str) else ""
    return Logprob(text, text.encode("utf-8", "replace"), float(value) if isinstance(value, int | float) else -9999.0)


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else 0
