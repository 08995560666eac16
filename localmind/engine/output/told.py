"""Tools told in words, for templates that say nothing of them, and calls written the way we told.

The form is Hermes', the one that most models have met, except where the family has another of its own.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from localmind.engine.output import marked_calls
from localmind.engine.output.form import OutputFormat
from localmind.engine.output.pythonic import write_python

INTRODUCTION = "You may call functions. These are offered, each with a JSON Schema of its arguments:"
ENDING = (
    "Call a function only when it helps, and only one of these. The result comes back inside"
    " <tool_response></tool_response>. Otherwise answer in words."
)


def describe_tools(form: OutputFormat, described: Sequence[Mapping[str, Any]]) -> str:
    """What a system message says of the functions."""
    functions = [json.dumps(tool["function"], ensure_ascii=False) for tool in described]
    example = {"id": "", "function": {"name": "NAME", "arguments": {"ARGUMENT": "VALUE"}}}
    call = write_calls(form, [example])
    return "\n".join(
        (INTRODUCTION, "<tools>", *functions, "</tools>", "", "To call one, write exactly this:", call, "", ENDING)
    )


def write_calls(form: OutputFormat, calls: Sequence[Mapping[str, Any]]) -> str:
    """Calls as the model itself would write them."""
    objects = [
        json.dumps({"name": call["function"]["name"], "arguments": call["function"]["arguments"]}, ensure_ascii=False)
        for call in calls
    ]
    if form.family == "array":
        return "<|tool_call|>[" + ", ".join(objects) + "]" + ("<|/tool_call|>" if form.closes else "")
    if form.family == "pythonic":
        return write_python([(call["function"]["name"], call["function"]["arguments"]) for call in calls])
    if form.family == "deepseek":
        return marked_calls.write_deepseek(form.separate_calls, calls)
    return "\n".join(f"<tool_call>\n{text}\n</tool_call>" for text in objects)
