"""A loop's Sink that turns text into events and writes them to a call's reply; it runs on the outbox's thread."""

from collections.abc import Callable, Sequence
from typing import Any

from localmind.engine.generation import Outcome
from localmind.engine.output import OutputParser
from localmind.engine.sequence import Sequence as TokenSequence
from localmind.errors import LocalmindError
from localmind.events import ReasoningDelta, TextDelta, TokenLogprob, ToolCallDelta, encode
from localmind.messages import CacheReport
from localmind.workers.runtime import Reply


class PlainParser:
    """An OutputParser for a completion without a template: all of it is text."""

    called = False
    satisfied = False

    def feed(self, text: str) -> Sequence[TextDelta]:
        return [TextDelta(text)] if text else []

    def finish(self) -> Sequence[TextDelta]:
        return []


class Answer:
    def __init__(
        self,
        reply: Reply,
        parser: OutputParser,
        *,
        end: Callable[[], None],
        forget: Callable[[int], None],
        report: Callable[[TokenSequence], CacheReport] | None,
    ) -> None:
        """`end` stops the generation because the answer is complete; `report` explains the cache, if that was asked."""
        self._reply = reply
        self._parser = parser
        self._end = end
        self._forget = forget
        self._report = report
        self._ending = False

    def text(self, text: str, logprobs: Sequence[TokenLogprob]) -> None:
        self._send(self._parser.feed(text), tuple(logprobs))
        if self._parser.satisfied and not self._ending:
            self._ending = True
            self._end()

    def done(self, outcome: Outcome) -> None:
        self._forget(self._reply.id)
        self._send(self._parser.finish(), ())
        sequence = outcome.sequence
        cache = self._report(sequence) if self._report else CacheReport(sequence.cached or 0, sequence.source)
        # A call that was hurried to its end is valid, but not all that the model wanted to say with it.
        called = self._parser.called and not outcome.hurried
        self._reply.result(
            {
                "finish_reason": "tool_calls" if called else outcome.finish_reason,
                "usage": _plain(outcome.usage),
                "timings": _plain(outcome.timings),
                "cache": _plain(cache),
                "stop": outcome.stop,
            }
        )

    def failed(self, error: LocalmindError) -> None:
        self._forget(self._reply.id)
        self._reply.fail(error)

    def _send(
        self,
        deltas: Sequence[TextDelta | ReasoningDelta | ToolCallDelta],
        logprobs: tuple[TokenLogprob, ...],
    ) -> None:
        if logprobs and not (deltas and isinstance(deltas[0], TextDelta)):
            deltas = (TextDelta(""), *deltas)
        for number, delta in enumerate(deltas):
            if number == 0 and logprobs and isinstance(delta, TextDelta):
                delta = TextDelta(delta.text, logprobs)
            self._reply.item(encode(delta))


def _plain(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}
