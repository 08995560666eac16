"""Anthropic's bodies read into ours: system blocks, content blocks, tools and how they are chosen.

A result of a tool is a block of the user's message there and a message of its own here. What only steers the
service (cache_control, betas, metadata, signatures of thoughts) is accepted and ignored. The
billing header that Claude Code puts in front of its system text changes with every request and would make every
prompt a new one, so it is left out.
"""

import json
from collections.abc import Iterator
from typing import Any, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from localmind.api.asking import asker
from localmind.api.chat_tools import MOST_TOOLS, FunctionSpec, ToolFields, ToolSpec
from localmind.api.fields import GenerationFields, Stop
from localmind.errors import InvalidRequest
from localmind.images import Image, from_base64
from localmind.messages import Message, ResponseFormat, ToolCall, ToolUse
from localmind.workers.request import Request as Generation

BILLING = "x-anthropic-billing-header"


class Block(BaseModel):
    """A piece of content, of whatever kind."""

    model_config = ConfigDict(extra="ignore")

    type: str
    text: str | None = None
    thinking: str | None = None
    id: str | None = Field(None, max_length=256)
    name: str | None = Field(None, max_length=256)
    input: Any = None
    tool_use_id: str | None = Field(None, max_length=256)
    content: "str | list[Block] | None" = None
    is_error: bool | None = None
    source: dict[str, Any] | None = None

    def image(self, at: int) -> Image:
        """The image that stands behind `at` characters of text. Raises InvalidRequest."""
        match self.source:
            case {"type": "base64", "data": str(data)}:
                return from_base64(data, "messages: the image", at=at)
            case {"type": "url", "url": str(url)}:
                return from_base64(url, "messages: the image", at=at)
        raise InvalidRequest("messages: an image needs a source of type base64")

    def words(self) -> str:
        """Its text. Raises InvalidRequest for what has none."""
        match self.type:
            case "text":
                return self.text or ""
            case "document" if self.source and isinstance(data := self.source.get("data"), str):
                if self.source.get("type") == "text":
                    return data
            case "search_result" | "document":
                return said(self.content)
            case "image":
                raise InvalidRequest("messages: an image can be shown to a model in a user's own content only")
        raise InvalidRequest(f"messages: content of type {self.type[:40]!r} is not supported")


def said(content: "str | list[Block] | None") -> str:
    """The text of content that has nothing but text."""
    if isinstance(content, list):
        return "\n".join(block.words() for block in content)
    return content or ""


class AnthropicMessage(BaseModel):
    """One message; the service's own tools leave blocks behind that nobody here can read."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["user", "assistant", "system"]
    content: str | list[Block] | None = None

    def plain(self) -> Iterator[Message]:
        """As the engine takes it: results of tools first come, first served between texts."""
        if not isinstance(self.content, list):
            yield Message(self.role, self.content or "")
        elif self.role == "assistant":
            yield self._assistant(self.content)
        else:
            yield from self._told(self.content)

    def _assistant(self, blocks: list[Block]) -> Message:
        kept = [block for block in blocks if block.type in ("text", "tool_use", "thinking")]
        return Message(
            "assistant",
            "".join(block.text or "" for block in kept if block.type == "text"),
            reasoning="".join(block.thinking or "" for block in kept),
            tool_calls=tuple(
                ToolCall(block.id or f"toolu_{number}", block.name or "", json.dumps(block.input or {}))
                for number, block in enumerate(kept)
                if block.type == "tool_use"
            ),
        )

    def _told(self, blocks: list[Block]) -> Iterator[Message]:
        texts: list[str] = []
        images: list[Image] = []
        for block in blocks:
            if block.type == "image" and self.role == "user":
                images.append(block.image(len("\n".join([*texts, ""]))))
                continue
            if block.type != "tool_result":
                texts.append(block.words())
                continue
            if texts or images:
                yield Message(self.role, "\n".join(texts), images=tuple(images))
                texts, images = [], []
            result = said(block.content)
            yield Message("tool", f"Error: {result}" if block.is_error else result, tool_call_id=block.tool_use_id)
        if texts or images or not blocks:
            yield Message(self.role, "\n".join(texts), images=tuple(images))


class OfferedTool(BaseModel):
    """A tool of the client's; one of the service's own has no schema and is not offered."""

    model_config = ConfigDict(extra="ignore")

    name: str
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class ToolChoice(BaseModel):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(BaseModel):
    type: Literal["enabled", "disabled", "adaptive"]


class CountBody(GenerationFields):
    """What `count_tokens` takes, and the part of a message's body that makes the prompt."""

    model: str = "default"
    messages: list[AnthropicMessage] = Field(min_length=1)
    system: str | list[Block] | None = None
    tools: list[OfferedTool] | None = Field(None, max_length=MOST_TOOLS)
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None

    def conversation(self) -> tuple[Message, ...]:
        """Raises InvalidRequest."""
        blocks = [Block(type="text", text=self.system)] if isinstance(self.system, str) else self.system or []
        texts = [text for text in (block.words() for block in blocks) if not text.startswith(BILLING)]
        system = [Message("system", "\n\n".join(texts))] if any(texts) else []
        return (*system, *(message for each in self.messages for message in each.plain()))

    def use(self) -> ToolUse:
        """Raises InvalidRequest."""
        own = [tool for tool in self.tools or () if tool.input_schema is not None]
        specs = [
            ToolSpec(
                function=FunctionSpec(
                    name=tool.name, description=tool.description, parameters=tool.input_schema, strict=tool.strict
                )
            )
            for tool in own
        ]
        choice = self.tool_choice
        asked: str | dict[str, Any] = "auto"
        if choice is not None:
            asked = {"auto": "auto", "none": "none", "any": "required"}.get(choice.type) or {"name": choice.name or ""}
        parallel = None if choice is None or choice.disable_parallel_tool_use is None else False
        if choice is not None and choice.disable_parallel_tool_use is False:
            parallel = True
        return ToolFields(tools=specs, tool_choice=asked, parallel_tool_calls=parallel).use()

    @property
    def thinks(self) -> bool | None:
        return None if self.thinking is None else {"enabled": True, "disabled": False}.get(self.thinking.type)


class MessagesBody(CountBody):
    """The body of a message."""

    max_tokens: int | None = Field(None, ge=1, le=10_000_000)
    stop_sequences: list[Stop] | None = Field(None, max_length=64)
    stream: bool | None = None
    output_format: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None

    def generation(self, request: Request) -> Generation:
        """As the engine takes it. Raises InvalidRequest."""
        if self.stop_sequences:
            self.stop = self.stop_sequences
        return Generation(
            messages=self.conversation(),
            sampling=self.sampling(limit=self.max_tokens),
            client=asker(request),
            priority=self.priority_of(request),
            tools=self.use(),
            format=self._format(),
            adapters=self.adapters(),
            thinking=self.thinks,
        )

    def _format(self) -> ResponseFormat:
        wanted = self.output_format or (self.output_config or {}).get("format")
        match wanted:
            case None:
                return self.constraint()
            case {"type": "json_schema", "schema": dict(schema)}:
                return ResponseFormat(json_schema=schema)
        raise InvalidRequest("output_format must be of type json_schema and have a schema")
