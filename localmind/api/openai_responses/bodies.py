"""The body of a response and its input items, read into ours.

A turn of the assistant is spread over items there (thoughts, text, calls) and one message here. Functions and
Codex's custom tools are offered to the model, a custom one as a function of one text; `file_search` means the watched
folders. The service's own other tools (web search, code) are not here and are not offered.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from localmind.api.asking import asker
from localmind.api.chat_messages import ROLES, TEXT_PARTS
from localmind.api.chat_tools import MOST_TOOLS, FunctionSpec, ToolFields, ToolSpec
from localmind.api.fields import GenerationFields
from localmind.errors import InvalidRequest
from localmind.images import Image, from_base64
from localmind.messages import Message, ResponseFormat, ToolCall, ToolUse
from localmind.workers.request import Request as Generation

ONE_TEXT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
MOST_ITEMS = 10_000
CALLS = ("function_call", "custom_tool_call")
RESULTS = ("function_call_output", "custom_tool_call_output")
OF_THE_SERVICE = ("file_search_call", "web_search_call", "code_interpreter_call", "image_generation_call")


class OfferedTool(BaseModel):
    """A tool of any kind; the fields of the kinds that are offered."""

    model_config = ConfigDict(extra="ignore")

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    vector_store_ids: list[str] | None = Field(None, max_length=100)


class Reasoning(BaseModel):
    effort: str | None = Field(None, max_length=20)
    summary: str | None = None


class TextFields(BaseModel):
    format: dict[str, Any] | None = None
    verbosity: str | None = None


class ResponsesBody(GenerationFields):
    """The body of a response. What is not named here is ignored."""

    model: str = "default"
    input: str | list[dict[str, Any]] = Field(default_factory=list, max_length=20_000_000)
    instructions: str | None = None
    previous_response_id: str | None = Field(None, max_length=200)
    store: bool | None = None
    stream: bool | None = None
    background: bool | None = None
    conversation: Any = None
    max_output_tokens: int | None = Field(None, ge=1, le=10_000_000)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    include: list[str] | None = None
    tools: list[OfferedTool] | None = Field(None, max_length=MOST_TOOLS)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    text: TextFields | None = None
    metadata: dict[str, str] | None = None

    @property
    def items(self) -> list[dict[str, Any]]:
        """The input as items. Raises InvalidRequest."""
        if isinstance(self.input, str):
            return [{"type": "message", "role": "user", "content": self.input}]
        if len(self.input) > MOST_ITEMS:
            raise InvalidRequest(f"input has more than {MOST_ITEMS} items")
        return self.input

    @property
    def custom(self) -> frozenset[str]:
        """Names of tools that take a text instead of an object."""
        return frozenset(tool.name for tool in self.tools or () if tool.type == "custom" and tool.name)

    @property
    def search(self) -> list[str] | None:
        """What `file_search` shall look in; None where it was not offered."""
        found = next((tool for tool in self.tools or () if tool.type == "file_search"), None)
        return None if found is None else found.vector_store_ids or []

    @property
    def logprobs_wanted(self) -> int | None:
        wanted = self.top_logprobs is not None or "message.output_text.logprobs" in (self.include or ())
        return (self.top_logprobs or 0) if wanted else None

    def generation(self, request: Request, before: Iterable[dict[str, Any]]) -> Generation:
        """As the engine takes it, with the items of earlier responses in front. Raises InvalidRequest."""
        for field in ("background", "conversation"):
            if getattr(self, field):
                raise InvalidRequest(f"{field} is not supported by localmind", hint=f"leave out {field!r}")
        system = [Message("system", self.instructions)] if self.instructions else []
        effort = self.reasoning.effort if self.reasoning else None
        said = tuple(messages([*before, *self.items]))
        if not said and not system:
            raise InvalidRequest("input is empty")
        return Generation(
            messages=(*system, *said),
            sampling=self.sampling(limit=self.max_output_tokens, logprobs=self.logprobs_wanted),
            client=asker(request),
            priority=self.priority_of(request),
            tools=self._use(),
            format=self._format(),
            adapters=self.adapters(),
            thinking=None if effort is None else effort != "none",
            template_kwargs={} if effort in (None, "none") else {"reasoning_effort": effort},
        )

    def _use(self) -> ToolUse:
        specs = [
            ToolSpec(
                function=FunctionSpec(
                    name=tool.name or "",
                    description=tool.description,
                    parameters=tool.parameters if tool.type == "function" else ONE_TEXT,
                    strict=tool.strict,
                )
            )
            for tool in self.tools or ()
            if tool.type in ("function", "custom")
        ]
        choice = self.tool_choice
        if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
            choice = {"type": "allowed_tools", "allowed_tools": choice}
        if isinstance(choice, dict) and choice.get("type") == "file_search":
            choice = None  # the folders are always searched
        return ToolFields(tools=specs, tool_choice=choice, parallel_tool_calls=self.parallel_tool_calls).use()

    def _format(self) -> ResponseFormat:
        wanted = self.text.format if self.text else None
        if wanted is not None and wanted.get("type") == "json_schema":
            return self.constraint({"type": "json_schema", "json_schema": wanted})
        return self.constraint(wanted)


def messages(items: Iterable[dict[str, Any]]) -> Iterator[Message]:
    """Items as messages: what the assistant thought, said and called in a row is one. Raises InvalidRequest."""
    turn: Message | None = None
    for item in items:
        kind = item.get("type") or "message"
        if kind in OF_THE_SERVICE:
            continue
        part = _of_assistant(kind, item)
        if part is not None and turn is not None and not (turn.tool_calls and part.content):
            turn = _joined(turn, part)
            continue
        if turn is not None:
            yield turn
        turn = part
        if part is None:
            yield _of_others(kind, item)
    if turn is not None:
        yield turn


def _of_assistant(kind: str, item: dict[str, Any]) -> Message | None:
    if kind == "message" and item.get("role") == "assistant":
        return Message("assistant", _words(item.get("content")))
    if kind == "reasoning":
        thoughts = item.get("content") or item.get("summary") or []
        return Message("assistant", "", reasoning=_words(thoughts))
    if kind in CALLS:
        name, call_id = item.get("name"), item.get("call_id")
        if not isinstance(name, str) or not isinstance(call_id, str):
            raise InvalidRequest(f"input: a {kind} needs `name` and `call_id`")
        arguments = item.get("arguments") if kind == "function_call" else json.dumps({"input": item.get("input", "")})
        text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
        return Message("assistant", "", tool_calls=(ToolCall(call_id, name, text or "{}"),))
    return None


def _of_others(kind: str, item: dict[str, Any]) -> Message:
    if kind in RESULTS:
        call_id = item.get("call_id")
        return Message("tool", _words(item.get("output")), tool_call_id=call_id if isinstance(call_id, str) else None)
    role = item.get("role")
    if kind != "message" or role not in ROLES:
        raise InvalidRequest(f"input: an item of type {str(kind)[:40]!r} and role {str(role)[:40]!r} is not supported")
    if role != "user" or not isinstance(content := item.get("content"), list):
        return Message(ROLES[role], _words(item.get("content")))
    texts: list[str] = []
    images: list[Image] = []
    for part in content:
        if isinstance(part, dict) and part.get("type") == "input_image":
            images.append(_image(part, sum(map(len, texts))))
        else:
            texts.append(_words([part]))
    return Message("user", "".join(texts), images=tuple(images))


def _image(part: dict[str, Any], at: int) -> Image:
    url, detail = part.get("image_url"), part.get("detail")
    if not isinstance(url, str):
        raise InvalidRequest(
            "input: an input_image needs an image_url with the image itself, as data:image/png;base64,…"
        )
    return from_base64(url, "input: the input_image", at=at, detail=detail[:20] if isinstance(detail, str) else "")


def _joined(turn: Message, part: Message) -> Message:
    return msgspec.structs.replace(
        turn,
        content=turn.content + part.content,
        reasoning=turn.reasoning + part.reasoning,
        tool_calls=(*turn.tool_calls, *part.tool_calls),
    )


def _words(content: Any) -> str:
    """The text of content parts. Raises InvalidRequest for what cannot be read."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        return json.dumps(content, ensure_ascii=False)
    texts: list[str] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in (*TEXT_PARTS, "reasoning_text", "summary_text") and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind == "refusal":
            texts.append(str(part.get("refusal") or ""))
        else:
            raise InvalidRequest(f"input: content of type {str(kind)[:40]!r} cannot be read here")
    return "".join(texts)
