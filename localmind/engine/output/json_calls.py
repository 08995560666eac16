"""A call written as a JSON object: {"name": …, "arguments": {…}} and its cousins.

Only the keys that such objects have are taken, and only the names of offered tools, each letter by
letter: a JSON answer that is no call is let through at its first other key.
"""

import json
from collections.abc import Sequence

from localmind.engine.output.json_scan import JsonScan
from localmind.engine.output.stream import NotACall, Steps, Stream

NAMES = ('"name"', '"tool_name"')
ARGUMENTS = ('"arguments"', '"parameters"', '"args"')
PASSED_OVER = ('"type"', '"id"', '"call_id"', '"tool_call_id"', '"index"')
FUNCTION = '"function"'
KEYS = tuple(sorted((*NAMES, *ARGUMENTS, *PASSED_OVER, FUNCTION), key=len, reverse=True))


def call_object(stream: Stream, *, depth: int = 0) -> Steps[None]:
    """Reads an object that is a call. At least the name of an offered tool and its arguments must be in it."""
    yield from stream.expect("{")
    name, held, done, first = "", None, False, True
    while True:
        yield from stream.space()
        if (yield from stream.one_of(("}",))):
            break
        if not first:
            yield from stream.expect(",")
            yield from stream.space()
        first = False
        key = yield from stream.expect(*KEYS)
        yield from stream.space()
        yield from stream.expect(":")
        yield from stream.space()
        c = yield from stream.peek()
        if key == FUNCTION and c == "{" and not (name or done or depth):
            yield from call_object(stream, depth=1)
            done = True
        elif (key in NAMES or key == FUNCTION) and not name:
            name = (yield from stream.expect(*(f'"{offered}"' for offered in stream.offered)))[1:-1]
            if held is not None:
                whole_call(stream, name, held)
                done = True
        elif key in ARGUMENTS and not done and held is None:
            if name:
                yield from arguments(stream, name)
                done = True
            else:
                held = _as_object((yield from stream.value()))
        elif key in PASSED_OVER:
            yield from stream.value()
        else:
            raise NotACall
    if not done:
        raise NotACall
    stream.let_go()


def call_array(stream: Stream) -> Steps[None]:
    """Reads `[{…}, …]` of calls."""
    yield from stream.expect("[")
    while True:
        yield from stream.space()
        yield from call_object(stream)
        yield from stream.space()
        if (yield from stream.expect(",", "]")) == "]":
            break
    stream.let_go()


def objects(stream: Stream, separators: Sequence[str] = (";", ",")) -> Steps[None]:
    """Reads an array of calls, or objects one after another."""
    if (yield from stream.peek()) == "[":
        yield from call_array(stream)
        return
    while True:
        yield from call_object(stream)
        yield from stream.space()
        yield from stream.one_of(tuple(separators))
        yield from stream.space()
        if (yield from stream.peek()) != "{":
            stream.at = 0  # separators and space before something else are not ours
            return


def arguments(stream: Stream, name: str) -> Steps[None]:
    """Reads the arguments of a call and passes an object on as it comes."""
    if (yield from stream.peek()) != "{":
        whole_call(stream, name, _as_object((yield from stream.value())))
        return
    stream.begin(name)
    scan = JsonScan()
    while True:
        stream.at, text = scan.feed(stream.text, stream.at)
        stream.arguments(text)
        if scan.done:
            break
        if scan.failed or stream.ended:
            raise NotACall
        yield
    stream.end_call()


def whole_call(stream: Stream, name: str, text: str) -> None:
    stream.begin(name)
    stream.arguments(text)
    stream.end_call()


def _as_object(text: str) -> str:
    """Arguments as the text of an object: some models write them as a string, or null for none."""
    if text.startswith("{"):
        return text
    if text == "null":
        return "{}"
    if text.startswith('"'):
        inner = json.loads(text).encode("utf-8", "replace").decode().strip()
        scan = JsonScan()
        end, clean = scan.feed(inner)
        if inner.startswith("{") and scan.done and end == len(inner):
            return clean
    raise NotACall
