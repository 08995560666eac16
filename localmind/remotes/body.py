"""A Request as the body that an OpenAI-compatible server takes.

Only what was asked for is sent, so that the server's own defaults for its model hold in all else. What such a server
would silently ignore although it changes the answer is refused here.
"""

import json
from typing import Any

from localmind.errors import InvalidRequest
from localmind.messages import Message, SamplingParams, ToolUse
from localmind.workers.elsewhere import RemoteModel
from localmind.workers.request import Request

READS_GRAMMAR = ("llamacpp", "localmind")
"""Servers, as they name themselves in /v1/models, that take llama.cpp's `grammar`."""

SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "max_tokens": "max_tokens",
    "min_tokens": "min_tokens",
    "ignore_eos": "ignore_eos",
    "typical_p": "typical_p",
    "repeat_penalty": "repeat_penalty",
    "xtc_probability": "xtc_probability",
    "xtc_threshold": "xtc_threshold",
    "mirostat": "mirostat",
    "mirostat_tau": "mirostat_tau",
    "mirostat_eta": "mirostat_eta",
    "dry_multiplier": "dry_multiplier",
}
_defaults = SamplingParams()


def body_of(model: RemoteModel, request: Request) -> tuple[str, dict[str, Any]]:
    """The route below the remote's address, and what to send there. Raises InvalidRequest."""
    if request.adapters:
        raise InvalidRequest(f"{model.name} lives elsewhere: adapters of this machine cannot be used", hint="no `lora`")
    body: dict[str, Any] = {"model": model.model, "stream": True, "stream_options": {"include_usage": True}}
    body |= _sampling(request.sampling)
    body |= _format(model, request)
    if request.messages:
        body["messages"] = [_message(message) for message in request.messages]
        body |= _tools(request.tools) | _thinking(request)
        if request.sampling.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": request.sampling.logprobs}
        return "/chat/completions", body
    if request.infill is not None:
        body |= {"prompt": request.infill.prefix, "suffix": request.infill.suffix}
    elif request.tokens is not None:
        body["prompt"] = list(request.tokens)
    else:
        body["prompt"] = request.prompt or ""
    if request.sampling.logprobs is not None:
        raise InvalidRequest(f"{model.name}: log probabilities of plain completions are not passed on", hint="use chat")
    return "/completions", body


def _sampling(params: SamplingParams) -> dict[str, Any]:
    found = {
        there: value
        for here, there in SAMPLING.items()
        if (value := getattr(params, here)) != getattr(_defaults, here) or here in params.stated
    }
    if params.stop:
        found["stop"] = list(params.stop)
    if params.logit_bias:
        found["logit_bias"] = {str(token): max(-100.0, min(100.0, bias)) for token, bias in params.logit_bias}
    if "repeat_penalty" in found:  # llama.cpp's name, and vLLM's
        found["repetition_penalty"] = params.repeat_penalty
    return found


def _format(model: RemoteModel, request: Request) -> dict[str, Any]:
    wanted = request.format
    if wanted.grammar is not None:
        if model.owner not in READS_GRAMMAR:
            raise InvalidRequest(
                f"{model.name}: its server is not known to read GBNF grammars, and would ignore this one",
                hint="use response_format with a JSON schema",
            )
        return {"grammar": wanted.grammar}
    if wanted.json_schema is None:
        return {}
    if wanted.json_schema == {}:
        return {"response_format": {"type": "json_object"}}
    schema = {"name": "answer", "schema": wanted.json_schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _message(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {"role": message.role, "content": _content(message)}
    if message.name:
        found["name"] = message.name
    if message.reasoning:
        found["reasoning_content"] = message.reasoning
    if message.tool_call_id:
        found["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        found["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
        found["content"] = message.content or None
    return found


def _content(message: Message) -> str | list[dict[str, Any]]:
    """The text, or with images the parts: each image where it stands in the text."""
    if not message.images:
        return message.content
    parts: list[dict[str, Any]] = []
    begun = 0
    for image in sorted(message.images, key=lambda each: each.at):
        if text := message.content[begun : image.at]:
            parts.append({"type": "text", "text": text})
        begun = max(begun, image.at)
        parts.append(
            {"type": "image_url", "image_url": {"url": image.url} | ({"detail": image.detail} if image.detail else {})}
        )
    if text := message.content[begun:]:
        parts.append({"type": "text", "text": text})
    return parts


def _tools(use: ToolUse) -> dict[str, Any]:
    if not use.tools:
        return {}
    tools: list[dict[str, Any]] = []
    for tool in use.tools:
        function: dict[str, Any] = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
        tools.append({"type": "function", "function": function | ({"strict": True} if tool.strict else {})})
    choice: Any = {"type": "function", "function": {"name": use.name}} if use.name else use.choice
    return {"tools": tools, "tool_choice": choice} | ({} if use.parallel else {"parallel_tool_calls": False})


def _thinking(request: Request) -> dict[str, Any]:
    kwargs = dict(request.template_kwargs)
    found: dict[str, Any] = {}
    if "reasoning_effort" in kwargs:
        found["reasoning_effort"] = kwargs.pop("reasoning_effort")
    if request.thinking is not None:
        kwargs["enable_thinking"] = request.thinking
    return found | ({"chat_template_kwargs": json.loads(json.dumps(kwargs))} if kwargs else {})
