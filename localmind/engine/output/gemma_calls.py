"""Gemma's own call form: call:NAME{key:<escape>text<escape>,other:1}, with its quotes as control tokens.

Keys stand without quotes, strings between two quote tokens that cannot occur inside, so nothing is
escaped. It becomes JSON while it streams.
"""

import json
import re

from localmind.engine.output.json_scan import MAX_DEPTH
from localmind.engine.output.stream import NotACall, Steps, Stream

QUOTES = ("<escape>", '<|"|>')
ENDS = {"<start_function_call>": "<end_function_call>", "<|tool_call>": "<tool_call|>"}

_word = re.compile(r"true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def gemma(stream: Stream, marker: str) -> Steps[None]:
    """FunctionGemma behind <start_function_call>, Gemma 4 behind <|tool_call>."""
    yield from stream.space()
    yield from stream.expect("call:", "call ")
    name = yield from stream.name()
    if (yield from stream.peek()) != "{":
        raise NotACall
    stream.begin(name)
    yield from _value(stream, 0)
    stream.end_call()
    yield from stream.closing(ENDS[marker])


def _value(stream: Stream, depth: int) -> Steps[None]:
    if depth > MAX_DEPTH // 2:  # a generator in a generator costs stack
        raise NotACall
    yield from stream.space()
    c = yield from stream.peek()
    if c in ("{", "["):
        yield from _members(stream, depth, "}" if c == "{" else "]")
    elif quote := (yield from stream.one_of(QUOTES)):
        text = yield from stream.until(quote, 10_000_000)
        stream.arguments(json.dumps(text, ensure_ascii=False))
    elif c == '"':
        stream.arguments((yield from stream.value()))
    else:
        start = stream.at
        while (c := (yield from stream.peek())) and c not in ",}]":
            stream.at += 1
        word = stream.text[start : stream.at].strip()
        if not c or not _word.fullmatch(word):
            raise NotACall
        stream.arguments(word)


def _members(stream: Stream, depth: int, end: str) -> Steps[None]:
    stream.at += 1
    stream.arguments("{" if end == "}" else "[")
    before = ""
    while True:
        yield from stream.space()
        if (yield from stream.one_of((end,))):
            stream.arguments(end)
            return
        if before:
            yield from stream.expect(",")
            yield from stream.space()
        opening = before
        if end == "}":
            key = (yield from stream.until(":", 1000)).strip().strip('"')
            for quote in QUOTES:
                key = key.removeprefix(quote).removesuffix(quote)
            opening += json.dumps(key, ensure_ascii=False) + ": "
        stream.arguments(opening)
        yield from _value(stream, depth + 1)
        before = ", "
