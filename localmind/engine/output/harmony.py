"""gpt-oss: an answer made of messages on channels, each behind a header.

    <|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…<|return|>
    <|channel|>commentary to=functions.NAME <|constrain|>json<|message|>{…}<|call|>

"analysis" is reasoning; a message to a function is a call; everything else is text. An answer that does
not begin with a header is text up to the first one.
"""

import re

from localmind.engine.output.json_calls import arguments
from localmind.engine.output.stream import NotACall, Steps, Stream

START, CHANNEL, MESSAGE = "<|start|>", "<|channel|>", "<|message|>"
ENDS = ("<|end|>", "<|call|>", "<|return|>")
STARTS = (START, CHANNEL)
MAX_HEADER = 300

_end = re.compile("|".join(map(re.escape, (*ENDS, *STARTS))))
_recipient = re.compile(r"to=functions[.:]([\w.:/-]+)")


def harmony(stream: Stream, *, reasoning: bool, prefilled: bool) -> Steps[None]:
    """Reads the whole answer."""
    if not prefilled:
        yield from stream.space()
        start = yield from stream.one_of((*STARTS, "to=functions"))
        stream.at = 0
        if start:
            yield from _message(stream, reasoning)
        prefilled = not start
    if prefilled:
        yield from _body(stream, thought=False)
    while (yield from stream.peek()):
        yield from _message(stream, reasoning)


def _message(stream: Stream, reasoning: bool) -> Steps[None]:
    """A header and what it announces."""
    try:
        header = yield from stream.until(MESSAGE, MAX_HEADER)
    except NotACall:
        stream.at = len(stream.text)
        stream.say(stream.text)
        stream.let_go()
        return
    called = _recipient.search(header)
    if called is None or called[1] not in stream.offered:
        analysis = "analysis" in header and called is None
        if called is None:
            stream.let_go()
        else:  # a call to what was not offered: its header is text too
            stream.say(stream.text[: stream.at])
            stream.let_go()
        yield from _body(stream, thought=analysis and reasoning)
        return
    before = stream.calls
    try:
        yield from stream.space()
        yield from arguments(stream, called[1])
    except NotACall:
        stream.at = len(header) + len(MESSAGE) if stream.calls == before else 0
        stream.say(stream.text[: stream.at])
        stream.let_go()
        yield from _body(stream, thought=False)
        return
    yield from stream.closing(*ENDS)


def _body(stream: Stream, *, thought: bool) -> Steps[None]:
    """Text up to the next control token; the token that ends a message is dropped."""
    say = stream.think if thought else stream.say
    while True:
        end = _end.search(stream.text, stream.at)
        if end is not None:
            say(stream.text[: end.start()])
            stream.at = end.end() if end[0] in ENDS else end.start()
            stream.let_go()
            break
        hold = 0 if stream.ended else _held(stream.text)
        stream.at = len(stream.text) - hold
        say(stream.text[: stream.at])
        stream.let_go()
        if stream.ended:
            break
        yield
    if thought:
        stream.thought()


def _held(text: str) -> int:
    """Characters at the end that may begin a control token."""
    for size in range(min(len(text), 12), 0, -1):
        if any(word.startswith(text[-size:]) for word in (*ENDS, *STARTS)):
            return size
    return 0
