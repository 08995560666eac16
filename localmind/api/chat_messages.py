"""OpenAI's chat messages, read into ours: text parts joined, images, tool calls and reasoning kept.

Order is not judged here. What a model's template cannot take (a system message in the middle, a tool
before any call) is put right by the engine, which knows the template.
"""

import json
from typing import Any, Literal

from pydantic import BaseModel, Field

from localmind.errors import InvalidRequest
from localmind.images import Image, from_base64
from localmind.messages import Message, Role, ToolCall

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}

TEXT_PARTS = ("text", "input_text", "output_text")
IMAGE_PARTS = ("image_url", "input_image")


class ImageUrl(BaseModel):
    url: str
    detail: str | None = Field(None, max_length=20)


class Part(BaseModel):
    """A piece of content: text or an image. Sound cannot be heard so far."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | str | None = None
    detail: str | None = Field(None, max_length=20)

    def image(self, at: int) -> Image:
        """The image that stands behind `at` characters of text. Raises InvalidRequest."""
        given = self.image_url if isinstance(self.image_url, ImageUrl) else ImageUrl(url=self.image_url or "")
        return from_base64(given.url, f"messages: the {self.type}", at=at, detail=given.detail or self.detail or "")


class CalledFunction(BaseModel):
    name: str = Field(min_length=1, max_length=256)
    arguments: str | dict[str, Any] | None = None
    """JSON text; some clients send the object itself."""

    def text(self) -> str:
        if isinstance(self.arguments, str):
            return self.arguments or "{}"
        return json.dumps(self.arguments or {}, ensure_ascii=False)


class Called(BaseModel):
    """A tool call that an assistant made earlier."""

    id: str | None = Field(None, max_length=256)
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(BaseModel):
    """One message. Keys that are not named here are ignored: editors add their own."""

    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[Called] | None = None
    tool_call_id: str | None = None
    function_call: CalledFunction | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None

    def plain(self) -> Message:
        """As the engine takes it. Raises InvalidRequest."""
        if self.role not in ROLES:
            raise InvalidRequest(f"messages: role {self.role[:40]!r} is not one of {', '.join(ROLES)}")
        role = ROLES[self.role]
        calls = tuple(
            ToolCall(called.id or f"call_{number}", called.function.name, called.function.text())
            for number, called in enumerate(self.tool_calls or ())
        )
        if self.function_call is not None and not calls:
            calls = (ToolCall("call_0", self.function_call.name, self.function_call.text()),)
        if calls and role != "assistant":
            raise InvalidRequest(f"messages: tool_calls belong to an assistant, not to {self.role!r}")
        text, images = self._content()
        if images and role != "user":
            raise InvalidRequest(f"messages: images belong to a user's message, not to {self.role!r}")
        return Message(
            role,
            text,
            reasoning=self.reasoning_content or self.reasoning or "",
            tool_calls=calls,
            tool_call_id=self.tool_call_id,
            name=self.name,
            images=images,
        )

    def _content(self) -> tuple[str, tuple[Image, ...]]:
        if not isinstance(self.content, list):
            return self.content or "", ()
        texts: list[str] = []
        images: list[Image] = []
        for part in self.content:
            if part.type in TEXT_PARTS:
                texts.append(part.text or "")
            elif part.type == "refusal":
                texts.append(part.refusal or "")
            elif part.type in IMAGE_PARTS:
                images.append(part.image(sum(map(len, texts))))
            else:
                raise InvalidRequest(f"messages: content of type {part.type[:40]!r} needs a model that hears")
        return "".join(texts), tuple(images)
