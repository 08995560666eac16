"""A response as it grows: the object that is given out at the end, and the events that tell of each step.

The official SDK indexes `output` by each event's output_index and gives up without a first `response.created`, so the
order is fixed: an item is added, filled, done; then the next. Sequence numbers count from 0 without a gap.
"""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import msgspec

from localmind.api.answers import as_object, new_call_id
from localmind.api.error_forms import sentence
from localmind.api.openai_forms import logprobs_json
from localmind.api.streams import named_sse
from localmind.errors import LocalmindError, row
from localmind.events import (
    Done,
    Event,
    Failed,
    Passage,
    ReasoningDelta,
    Sources,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
)

RAN_OUT = ("length", "cancelled")


class ResponseWriter:
    """Fed with events; `response` is whole when Done or Failed has come."""

    def __init__(
        self,
        head: dict[str, Any],
        *,
        custom: frozenset[str] = frozenset(),
        query: str | None = None,
        results: bool = False,
    ) -> None:
        """`head` is the response without output; `query` what `file_search` looked for, whose finds `results` shows."""
        self.response = head
        self._output: list[dict[str, Any]] = head["output"]
        self._custom = custom
        self._query = query
        self._results = results
        self._number = 0
        self._item: dict[str, Any] | None = None
        self._call: int | None = None
        self._sources: tuple[Passage, ...] = ()

    def begin(self) -> bytes:
        out = self._event("response.created", response=self.response)
        out += self._event("response.in_progress", response=self.response)
        if self._query is None:
            return out
        search = {"type": "file_search_call", "status": "in_progress", "queries": [self._query], "results": None}
        out += self._added(search, "fs")
        for step in ("in_progress", "searching"):
            out += self._of_item(f"response.file_search_call.{step}")
        return out

    def event(self, choice: int, event: Event) -> bytes:
        match event:
            case TextDelta(text, logprobs):
                return self._text(text, logprobs)
            case ReasoningDelta(text):
                return self._thought(text)
            case ToolCallDelta():
                return self._called(event)
            case Sources(passages):
                self._sources = passages
                self.response["sources"] = msgspec.to_builtins(passages)
            case Done():
                return self._finished(event)
            case Failed():
                return self._failed(event.exception())
        return b""

    def end(self) -> bytes:
        return b""

    # --- items

    def _text(self, text: str, logprobs: Sequence[TokenLogprob]) -> bytes:
        if not text and not logprobs:
            return b""
        out = self._to("message")
        if self._item is None:
            item = {"type": "message", "status": "in_progress", "role": "assistant", "content": []}
            out += self._added(item, "msg")
            out += self._part({"type": "output_text", "text": "", "annotations": [], "logprobs": []})
        part = self._content()
        found = (logprobs_json(logprobs) or {}).get("content", [])
        part["text"] += text
        part["logprobs"] += found
        return out + self._of_item("response.output_text.delta", content_index=0, delta=text, logprobs=found)

    def _thought(self, text: str) -> bytes:
        out = self._to("reasoning")
        if self._item is None:
            item = {"type": "reasoning", "status": "in_progress", "summary": [], "content": []}
            out += self._added(item, "rs")
            out += self._part({"type": "reasoning_text", "text": ""})
        self._content()["text"] += text
        return out + self._of_item("response.reasoning_text.delta", content_index=0, delta=text)

    def _called(self, piece: ToolCallDelta) -> bytes:
        out = b""
        if self._call != piece.index:
            out = self._closed()
            self._call = piece.index
            call = {"call_id": piece.id or new_call_id(), "name": piece.name, "arguments": "", "status": "in_progress"}
            if piece.name in self._custom:
                out += self._added({"type": "custom_tool_call", **call}, "ctc")
            else:
                out += self._added({"type": "function_call", **call}, "fc")
        assert self._item is not None
        self._item["arguments"] += piece.arguments
        if not piece.arguments or self._item["type"] == "custom_tool_call":
            return out
        return out + self._of_item("response.function_call_arguments.delta", delta=piece.arguments)

    def _to(self, kind: str) -> bytes:
        """Close whatever is open unless it is of that kind."""
        return b"" if self._item is not None and self._item["type"] == kind else self._closed()

    def _added(self, item: dict[str, Any], prefix: str) -> bytes:
        self._item = {"id": f"{prefix}_{len(self._output)}_{self.response['id'].removeprefix('resp_')}", **item}
        self._output.append(self._item)
        return self._event("response.output_item.added", output_index=len(self._output) - 1, item=self._shown())

    def _part(self, part: dict[str, Any]) -> bytes:
        assert self._item is not None
        self._item["content"].append(part)
        return self._of_item("response.content_part.added", content_index=0, part=part)

    def _content(self) -> dict[str, Any]:
        assert self._item is not None
        part: dict[str, Any] = self._item["content"][0]
        return part

    def _closed(self, status: str = "completed") -> bytes:
        """The last events of the open item."""
        item = self._item
        if item is None:
            return b""
        item["status"] = status
        out = b""
        match item["type"]:
            case "message":
                part = self._content()
                done = {"content_index": 0, "text": part["text"], "logprobs": part["logprobs"]}
                out = self._of_item("response.output_text.done", **done) + self._cited(part)
                out += self._of_item("response.content_part.done", content_index=0, part=part)
            case "reasoning":
                part = self._content()
                out = self._of_item("response.reasoning_text.done", content_index=0, text=part["text"])
                out += self._of_item("response.content_part.done", content_index=0, part=part)
            case "function_call":
                item["arguments"] = item["arguments"] or "{}"
                out = self._of_item(
                    "response.function_call_arguments.done", name=item["name"], arguments=item["arguments"]
                )
            case "custom_tool_call":
                item["input"] = str(as_object(item.pop("arguments")).get("input", ""))
                out = self._of_item("response.custom_tool_call_input.delta", delta=item["input"])
                out += self._of_item("response.custom_tool_call_input.done", input=item["input"])
            case "file_search_call":
                out = self._of_item("response.file_search_call.completed")
        out += self._event("response.output_item.done", output_index=len(self._output) - 1, item=item)
        self._item = self._call = None
        return out

    def _cited(self, part: dict[str, Any]) -> bytes:
        """The files behind the text, at its end."""
        out = b""
        for number, passage in enumerate(self._sources):
            cited = {
                "type": "file_citation",
                "file_id": passage.path,
                "filename": PurePath(passage.path).name,
                "index": len(part["text"]),
                "line_start": passage.line_start,
                "line_end": passage.line_end,
                "page": passage.page,
            }
            part["annotations"].append(cited)
            out += self._of_item(
                "response.output_text.annotation.added", content_index=0, annotation_index=number, annotation=cited
            )
        return out

    def _shown(self) -> dict[str, Any]:
        """The open item as it begins; a custom tool's text is its input."""
        assert self._item is not None
        if self._item["type"] != "custom_tool_call":
            return self._item
        return {**{key: value for key, value in self._item.items() if key != "arguments"}, "input": ""}

    # --- the end

    def _finished(self, done: Done) -> bytes:
        short = done.finish_reason in RAN_OUT
        status = "incomplete" if short else "completed"
        if self._query is not None and self._results:
            self._output[0]["results"] = [_result(passage) for passage in self._sources]
        out = self._closed(status)
        usage = done.usage
        self.response |= {
            "status": status,
            "incomplete_details": {"reason": "max_output_tokens"} if short else None,
            "usage": {
                "input_tokens": usage.prompt_tokens,
                "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
                "output_tokens": usage.completion_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            },
        }
        return out + self._event(f"response.{status}", response=self.response)

    def _failed(self, error: LocalmindError) -> bytes:
        status = row(error).status
        code = "rate_limit_exceeded" if status == 429 else "invalid_prompt" if status < 500 else "server_error"
        out = self._closed("incomplete")
        self.response |= {"status": "failed", "error": {"code": code, "message": sentence(error)}}
        return out + self._event("response.failed", response=self.response)

    # --- events

    def _of_item(self, event: str, /, **fields: Any) -> bytes:
        assert self._item is not None
        return self._event(event, item_id=self._item["id"], output_index=len(self._output) - 1, **fields)

    def _event(self, event: str, /, **fields: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        return named_sse(event, {"type": event, "sequence_number": number, **fields})


def _result(passage: Passage) -> dict[str, Any]:
    return {
        "file_id": passage.path,
        "filename": PurePath(passage.path).name,
        "score": max(0.0, min(1.0, passage.score)),
        "text": passage.text,
        "attributes": {"line_start": passage.line_start, "line_end": passage.line_end},
    }
