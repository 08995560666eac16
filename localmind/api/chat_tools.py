"""OpenAI's tools, tool_choice and the older functions, read into a ToolUse.

Every name is checked here, because tool names end up in prompts, in grammars and in clients' dispatch
tables. Schemas are only required to be objects; what a grammar cannot express the engine refuses.
"""

import re
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field

from localmind.errors import InvalidRequest
from localmind.messages import Tool, ToolUse

NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}\Z")
"""Wider than OpenAI's: MCP servers use dots, colons and slashes."""

MOST_TOOLS = 512


class FunctionSpec(BaseModel):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def tool(self) -> Tool:
        if not NAME.match(self.name):
            raise InvalidRequest(
                f"tools: {self.name[:80]!r} is not a function name", hint="letters, digits and _ . : / -, at most 128"
            )
        return Tool(self.name, self.description or "", self.parameters or {}, bool(self.strict))


class ToolSpec(BaseModel):
    type: str = "function"
    function: FunctionSpec | None = None


class ToolFields(BaseModel):
    """The part of a chat completion's body that is about tools."""

    tools: list[ToolSpec] | None = Field(None, max_length=MOST_TOOLS)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[FunctionSpec] | None = Field(None, max_length=MOST_TOOLS)
    function_call: str | dict[str, Any] | None = None

    @property
    def legacy(self) -> bool:
        """Asked in the form of 2023, and to be answered in it."""
        return self.functions is not None and self.tools is None

    def use(self) -> ToolUse:
        """The tools and how freely the model chooses. Raises InvalidRequest."""
        if self.tools and self.functions:
            raise InvalidRequest("tools and functions exclude each other", hint="leave out 'functions'")
        offered = self._offered()
        names = [tool.name for tool in offered]
        for name in names:
            if names.count(name) > 1:
                raise InvalidRequest(f"tools: {name!r} is there twice")
        asked = self.function_call if self.legacy else self.tool_choice
        chosen = _choice(asked, "function_call" if self.legacy else "tool_choice")
        if chosen.allowed is not None:
            offered = tuple(tool for tool in offered if tool.name in chosen.allowed)
        if chosen.choice == "required" and not offered:
            raise InvalidRequest("tool_choice asks for a call, and there are no tools")
        if chosen.name is not None and chosen.name not in names:
            raise InvalidRequest(f"tool_choice names {chosen.name[:80]!r}, which is not among the tools")
        if not offered:
            return ToolUse()
        # A model that must call cannot end its turn instead: a weak one would repeat the call until its limit.
        default = chosen.choice != "required"
        parallel = not self.legacy and (default if self.parallel_tool_calls is None else self.parallel_tool_calls)
        return ToolUse(offered, chosen.choice, chosen.name, parallel)

    def _offered(self) -> tuple[Tool, ...]:
        if self.legacy:
            return tuple(function.tool() for function in self.functions or ())
        found: list[Tool] = []
        for tool in self.tools or ():
            if tool.type != "function" or tool.function is None:
                raise InvalidRequest(f"tools: type {tool.type[:40]!r} is not supported, only functions are")
            found.append(tool.function.tool())
        return tuple(found)


class _Choice(NamedTuple):
    choice: Literal["auto", "none", "required"]
    name: str | None = None
    allowed: frozenset[str] | None = None


def _choice(asked: str | dict[str, Any] | None, field: str) -> _Choice:
    match asked:
        case None | "auto":
            return _Choice("auto")
        case "none":
            return _Choice("none")
        case "required" | "any":
            return _Choice("required")
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required" as mode, "tools": list(tools)}}:
            return _Choice(mode, None, frozenset(_named(tool) or "" for tool in tools))
        case dict() if (name := _named(asked)) is not None:
            return _Choice("required", name)
    raise InvalidRequest(f"{field} is not one of auto, none, required or the name of a function")


def _named(value: Any) -> str | None:
    """The name in `{"type": "function", "function": {"name"}}`, or in the flat form."""
    match value:
        case {"function": {"name": str(name)}} | {"name": str(name)}:
            return name
    return None
