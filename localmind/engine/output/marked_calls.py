"""How families mark their calls: the text before the JSON, between calls, and after them.

Each reader starts behind its marker. All of them take an end that is missing, none takes a name that was
not offered.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from localmind.engine.output.json_calls import arguments, call_object, objects, whole_call
from localmind.engine.output.pythonic import python_calls
from localmind.engine.output.stream import NotACall, Steps, Stream

DEEPSEEK_CALLS, DEEPSEEK_CALLS_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
DEEPSEEK_CALL, DEEPSEEK_CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
DEEPSEEK_SEPARATOR = "<｜tool▁sep｜>"


def hermes(stream: Stream, marker: str) -> Steps[None]:
    """<tool_call>{"name": …, "arguments": …}</tool_call>, or Qwen3-Coder's tags inside."""
    yield from stream.space()
    if (yield from stream.one_of(("<function=",))):
        yield from tagged(stream, "<function=")
    else:
        yield from objects(stream)
    yield from stream.closing("</tool_call>")


def tagged(stream: Stream, marker: str) -> Steps[None]:
    """<function=NAME>{…}</function>, or <parameter=KEY>value</parameter> inside for every argument."""
    name = yield from stream.name()
    yield from stream.expect(">")
    yield from stream.space()
    if (yield from stream.peek()) == "{":
        yield from arguments(stream, name)
        yield from stream.closing("</function>")
        return
    found = yield from stream.expect("<parameter=", "</function>")
    stream.begin(name)
    before = "{"
    while found == "<parameter=":
        key = yield from stream.until(">", 1000)
        value = yield from stream.until("</parameter>", 10_000_000)
        value = value.removeprefix("\n").removesuffix("\n")
        stream.arguments(before + json.dumps(key, ensure_ascii=False) + ": " + _typed(stream, name, key, value))
        before = ", "
        yield from stream.space()
        found = yield from stream.expect("<parameter=", "</function>")
    stream.arguments("{}" if before == "{" else "}")
    stream.end_call()


def _typed(stream: Stream, name: str, key: str, value: str) -> str:
    """JSON of a value that was written without quotes: what the tool's schema says it is, a string when in doubt."""
    properties = stream.parameters.get(name, {}).get("properties")
    schema: Any = properties.get(key) if isinstance(properties, dict) else None
    wanted = schema.get("type") if isinstance(schema, dict) else None
    if wanted not in ("string", None):
        try:
            return json.dumps(json.loads(value), ensure_ascii=False, allow_nan=False)
        except (ValueError, RecursionError):
            pass  # not what the schema says either: the client's check will tell the model
    return json.dumps(value, ensure_ascii=False)


def array(stream: Stream, marker: str) -> Steps[None]:
    """Granite and Phi: <|tool_call|>[{…}, …], with an end in Phi's case; Llama's <|python_tag|>{…}; {…}."""
    yield from stream.space()
    yield from objects(stream)
    yield from stream.closing(marker.replace("<|", "<|/"))


def mistral(stream: Stream, marker: str) -> Steps[None]:
    """[TOOL_CALLS][{…}, …], or newer: [TOOL_CALLS]NAME[CALL_ID]ID[ARGS]{…}, again for every call."""
    yield from stream.space()
    if (yield from stream.peek()) in ("[", "{"):
        yield from objects(stream)
        return
    name = yield from stream.name()
    if (yield from stream.one_of(("[CALL_ID]",))):
        yield from stream.until("[ARGS]", 100)
    else:
        yield from stream.one_of(("[ARGS]",))
    yield from stream.space()
    yield from arguments(stream, name)


def deepseek(stream: Stream, marker: str) -> Steps[None]:
    """R1: begin, "function", separator, NAME, a fenced object, end. V3.1: begin, NAME, separator, object, end."""
    if marker == DEEPSEEK_CALLS:
        yield from stream.space()
        yield from stream.expect(DEEPSEEK_CALL)
    while True:
        yield from stream.one_of(("function" + DEEPSEEK_SEPARATOR,))
        name = yield from stream.name()
        yield from stream.one_of((DEEPSEEK_SEPARATOR,))
        yield from stream.space()
        yield from stream.one_of(("```json", "```"))
        yield from stream.space()
        yield from arguments(stream, name)
        yield from stream.closing("```")
        yield from stream.closing(DEEPSEEK_CALL_END)
        yield from stream.space()
        if not (yield from stream.one_of((DEEPSEEK_CALL,))):
            stream.at = 0
            break
    yield from stream.closing(DEEPSEEK_CALLS_END)


def write_deepseek(separate: bool, calls: Sequence[Mapping[str, Any]]) -> str:
    """The same in the other direction."""
    written = []
    for call in calls:
        name = call["function"]["name"]
        text = json.dumps(call["function"]["arguments"], ensure_ascii=False)
        inner = f"{name}{DEEPSEEK_SEPARATOR}{text}"
        if not separate:
            inner = f"function{DEEPSEEK_SEPARATOR}{name}\n```json\n{text}\n```"
        written.append(DEEPSEEK_CALL + inner + DEEPSEEK_CALL_END)
    return DEEPSEEK_CALLS + ("" if separate else "\n").join(written) + DEEPSEEK_CALLS_END


def fenced(stream: Stream, marker: str) -> Steps[None]:
    """A Markdown block that holds a call: JSON, or Python in Gemma's tool_code."""
    yield from stream.space()
    if (yield from stream.peek()) == "{":
        yield from objects(stream)
        yield from stream.closing("```")
    elif marker == "```tool_code":
        yield from _python(stream, "```")
    else:
        yield from stream.expect("[")
        stream.at -= 1
        yield from objects(stream)
        yield from stream.closing("```")


def pythonic(stream: Stream, marker: str) -> Steps[None]:
    """LFM2: <|tool_call_start|>[f(a="b"), g()]<|tool_call_end|>."""
    yield from _python(stream, marker.replace("start", "end"))


def _python(stream: Stream, end: str) -> Steps[None]:
    source = yield from stream.until(end, 20_000)
    calls = python_calls(source, stream.offered)
    if not calls:
        raise NotACall
    for name, text in calls:
        whole_call(stream, name, text)


def bare(stream: Stream, marker: str) -> Steps[None]:
    """An object, or an array of them, at the start of a line: what models write that forget the marker."""
    stream.at -= len(marker)
    if marker == "{":
        yield from call_object(stream)
        while True:
            yield from stream.space()
            yield from stream.one_of((";",))
            yield from stream.space()
            if (yield from stream.peek()) != "{":
                stream.at = 0
                return
            yield from call_object(stream)
    yield from objects(stream)
