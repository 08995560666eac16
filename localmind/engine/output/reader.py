"""The parser of one answer: reasoning first, then text with calls in it."""

import re
from collections.abc import Sequence
from typing import Protocol

from localmind.engine.output.form import GENERIC, READERS, OutputFormat
from localmind.engine.output.harmony import harmony
from localmind.engine.output.marked_calls import bare
from localmind.engine.output.stream import Delta, NotACall, Steps, Stream
from localmind.messages import ToolUse


class OutputParser(Protocol):
    """Fed with generated text in pieces of any size, on one thread."""

    def feed(self, text: str) -> Sequence[Delta]: ...
    def finish(self) -> Sequence[Delta]:
        """What was held back. Call it once, at the end."""
        ...

    @property
    def called(self) -> bool:
        """At least one call is complete."""
        ...

    @property
    def satisfied(self) -> bool:
        """Only one call may be made, and it is complete: generation may stop."""
        ...


class GeneratorParser:
    """An OutputParser that drives one generator over one Stream."""

    def __init__(self, stream: Stream, steps: Steps[None]) -> None:
        self._stream = stream
        self._steps = steps

    @property
    def called(self) -> bool:
        return self._stream.called

    @property
    def satisfied(self) -> bool:
        return self._stream.satisfied

    def feed(self, text: str) -> Sequence[Delta]:
        self._stream.text += text
        next(self._steps, None)
        return self._stream.take_events()

    def finish(self) -> Sequence[Delta]:
        self._stream.ended = True
        next(self._steps, None)
        self._stream.finish()
        return self._stream.take_events()


def parser(
    form: OutputFormat, tools: ToolUse, *, prompt_end: str = "", reasoning: bool = True, prefilled: bool = False
) -> OutputParser:
    """A parser of one answer to a prompt that ends in `prompt_end`.

    `reasoning` False leaves thoughts in the text. `prefilled`: the prompt ends inside an answer's text. A call to a
    tool that is not among `tools` is text, and so is every call under the choice "none". With `parallel` False, calls
    after the first are dropped.
    """
    offered = [] if tools.choice == "none" else [t for t in tools.tools if tools.name in (None, t.name)]
    stream = Stream(offered, single=not tools.parallel, short_ids=form.short_ids)
    if form.family == "harmony":
        return GeneratorParser(stream, harmony(stream, reasoning=reasoning, prefilled=prefilled))
    return GeneratorParser(stream, _whole(stream, form, opens(form, prompt_end), reasoning, prefilled))


def opens(form: OutputFormat, prompt_end: str) -> bool:
    """The prompt ends with reasoning begun, so the answer starts inside."""
    return prompt_end.rstrip().endswith(form.thought[0])


def _whole(stream: Stream, form: OutputFormat, opened: bool, reasoning: bool, prefilled: bool) -> Steps[None]:
    if reasoning and not (prefilled and not opened):
        yield from _thoughts(stream, form, opened)
    markers = (*READERS.keys() & {*form.markers, *GENERIC},) if stream.offered else ()
    yield from _answer(stream, markers, form.answer or ())


def _thoughts(stream: Stream, form: OutputFormat, opened: bool) -> Steps[None]:
    opening, closing = form.thought
    yield from stream.space()
    if not (yield from stream.one_of((opening,))) and not opened:
        stream.at = 0
        return
    stream.let_go()
    while True:
        end = stream.text.find(closing)
        if end >= 0:
            stream.think(stream.text[:end])
            stream.at = end + len(closing)
            break
        stream.at = len(stream.text) if stream.ended else _undecided(stream.text, (closing,))
        stream.think(stream.text[: stream.at])
        stream.let_go()
        if stream.ended:
            break
        yield
    stream.let_go()
    stream.thought()


def _answer(stream: Stream, markers: Sequence[str], dropped: Sequence[str]) -> Steps[None]:
    """Text, with the calls in it read where they begin. Ends with the stream."""
    words = sorted((*markers, *dropped), key=len, reverse=True)
    pattern = re.compile("|".join([*map(re.escape, words), *([r"[{\[]"] if stream.offered else [])]) or r"(?!)")
    while True:
        found = _first(stream, pattern)
        if found is None:
            stream.at = len(stream.text) if stream.ended else _undecided(stream.text, words)
            stream.say(stream.text[: stream.at])
            stream.let_go()
            if stream.ended:
                return
            yield
            continue
        stream.say(stream.text[: found.start()])
        stream.at = found.start()
        stream.let_go()
        longer = tuple(word for word in words if word.startswith(found[0]))
        marker = (yield from stream.one_of(longer)) or found[0]
        stream.at = len(marker)
        if marker in dropped:
            stream.let_go()
            continue
        before = stream.calls
        try:
            yield from READERS.get(marker, bare)(stream, marker)
        except NotACall:
            stream.at = len(marker) if stream.calls == before else 0
            stream.say(stream.text[: stream.at])
        stream.let_go()


def _first(stream: Stream, pattern: re.Pattern[str]) -> re.Match[str] | None:
    """The first place where a call may begin; a bare one only at the start of a line."""
    for match in pattern.finditer(stream.text):
        before = stream.text[: match.start()]
        line = before.rpartition("\n")[2]
        if match[0] not in ("{", "[") or (not line.strip() and ("\n" in before or stream.fresh)):
            return match
    return None


def _undecided(text: str, words: Sequence[str]) -> int:
    """From where on `text` may be the beginning of one of `words`."""
    longest = max(map(len, words), default=1) - 1
    for start in range(max(0, len(text) - longest), len(text)):
        if any(word.startswith(text[start:]) for word in words):
            return start
    return len(text)
