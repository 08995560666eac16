"""OpenAI's Responses over a fake engine: items in, events out in order, and answers that can be gone on from."""

import json
from typing import Any

import pytest
from api_fakes import FakeEngines, post

from localmind.errors import NotFound, WorkerDied
from localmind.events import Done, Event, ReasoningDelta, TextDelta, ToolCallDelta
from localmind.messages import Message, ResponseFormat, ToolCall, Usage
from localmind.store.responses import Responses, StoredResponse
from localmind.workers.request import Request

PATH = "/v1/responses"
HI = {"model": "gpt-4o", "input": "hi"}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": None}
CALLS: tuple[Event, ...] = (
    ReasoningDelta("Hm."),
    TextDelta("Lo"),
    TextDelta("ok:"),
    ToolCallDelta(0, "a", "f", '{"x":'),
    ToolCallDelta(0, arguments="1}"),
    ToolCallDelta(1, "b", "patch", '{"input":"*** Begin"}'),
    Done("tool_calls", Usage(30, 20, 10)),
)


async def asked(body: dict[str, Any]) -> Request:
    engines = FakeEngines()
    reply = await post(engines, HI | body, PATH)
    assert reply.status_code == 200, reply.text
    return engines.asked[0]


async def streamed(*script: Event | Exception, **body: Any) -> list[dict[str, Any]]:
    reply = await post(FakeEngines(*script), HI | {"stream": True, "store": False} | body, PATH)
    blocks = [block.partition("\n") for block in reply.text.strip().split("\n\n")]
    events = [json.loads(data.removeprefix("data: ")) for _, _, data in blocks]
    assert [name.removeprefix("event: ") for name, _, _ in blocks] == [event["type"] for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


async def test_a_whole_response_has_items_and_usage() -> None:
    custom = {"type": "custom", "name": "patch"}
    reply = (await post(FakeEngines(*CALLS), HI | {"tools": [TOOL, custom]}, PATH)).json()
    kinds = [item["type"] for item in reply["output"]]
    assert kinds == ["reasoning", "message", "function_call", "custom_tool_call"]
    assert reply["output"][1]["content"][0]["text"] == "Look:"
    assert reply["output"][2]["arguments"] == '{"x":1}'
    assert reply["output"][3]["input"] == "*** Begin"
    assert [item["id"][:2] for item in reply["output"]] == ["rs", "ms", "fc", "ct"]
    assert reply["status"] == "completed"
    assert reply["usage"]["input_tokens_details"]["cached_tokens"] == 10
    assert reply["usage"]["total_tokens"] == 50


async def test_events_rebuild_the_response_item_by_item() -> None:
    events = await streamed(*CALLS, tools=[TOOL, {"type": "custom", "name": "patch"}])
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1]["type"] == "response.completed"
    output: list[dict[str, Any]] = []
    for event in events:
        if event["type"] == "response.output_item.added":
            assert event["output_index"] == len(output)
            output.append(event["item"])
        elif "item_id" in event:
            assert event["item_id"] == output[event["output_index"]]["id"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == events[-1]["response"]["output"]
    said = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert said == ["Lo", "ok:"]
    arguments = [event["delta"] for event in events if event["type"] == "response.function_call_arguments.delta"]
    assert "".join(arguments) == '{"x":1}'


async def test_an_answer_cut_short_is_incomplete_and_one_that_fails_has_failed() -> None:
    cut = await streamed(TextDelta("x"), Done("length"))
    assert cut[-1]["type"] == "response.incomplete"
    assert cut[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    failed = await streamed(TextDelta("x"), WorkerDied("killed"))
    assert failed[-1]["type"] == "response.failed"
    assert failed[-1]["response"]["error"] == {"code": "server_error", "message": "killed"}


async def test_one_goes_on_from_another_and_a_forgotten_one_is_a_404() -> None:
    engines = FakeEngines()
    first = (await post(engines, HI, PATH)).json()
    second = (await post(engines, {"input": "and?", "previous_response_id": first["id"]}, PATH)).json()
    assert engines.asked[-1].messages == (Message("user", "hi"), Message("assistant", "Hello"), Message("user", "and?"))
    await post(engines, {"input": "so?", "previous_response_id": second["id"]}, PATH)
    assert [each.content for each in engines.asked[-1].messages] == ["hi", "Hello", "and?", "Hello", "so?"]
    kept = await post(engines, b"", f"{PATH}/{second['id']}", method="GET")
    assert kept.json() == second
    assert (await post(engines, b"", f"{PATH}/{first['id']}", method="DELETE")).json()["deleted"] is True
    gone = await post(engines, {"input": "so?", "previous_response_id": second["id"]}, PATH)
    assert gone.status_code == 404


async def test_a_streamed_one_is_kept_too_unless_it_must_not_be() -> None:
    engines = FakeEngines()
    for store, status in ((True, 200), (False, 404)):
        text = (await post(engines, HI | {"stream": True, "store": store}, PATH)).text
        response = json.loads(text.strip().split("data: ")[-1])["response"]
        assert (await post(engines, b"", f"{PATH}/{response['id']}", method="GET")).status_code == status


async def test_items_of_a_turn_are_one_message() -> None:
    request = await asked(
        {
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [],
                    "content": [{"type": "reasoning_text", "text": "Hm."}],
                },
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Look:"}]},
                {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x":1}'},
                {"type": "custom_tool_call", "call_id": "b", "name": "patch", "input": "***"},
                {"type": "function_call_output", "call_id": "a", "output": "rain"},
                {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "ok"}]},
                {"type": "web_search_call", "id": "ws_1", "status": "completed"},
                {"role": "developer", "content": "Hurry."},
            ],
        }
    )
    calls = (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "patch", '{"input": "***"}'))
    assert request.messages == (
        Message("system", "Be brief."),
        Message("user", "Weather?"),
        Message("assistant", "Look:", reasoning="Hm.", tool_calls=calls),
        Message("tool", "rain", tool_call_id="a"),
        Message("tool", "ok", tool_call_id="b"),
        Message("system", "Hurry."),
    )


async def test_form_effort_limit_and_logprobs_reach_the_engine() -> None:
    form = {"type": "json_schema", "name": "x", "schema": {"type": "string"}, "strict": True}
    request = await asked(
        {
            "text": {"format": form},
            "reasoning": {"effort": "low"},
            "max_output_tokens": 9,
            "include": ["message.output_text.logprobs"],
        }
    )
    assert request.format == ResponseFormat({"type": "string"})
    assert (request.thinking, request.template_kwargs) == (True, {"reasoning_effort": "low"})
    assert (request.sampling.max_tokens, request.sampling.logprobs) == (9, 0)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"input": []}, "empty"),
        ({"input": [{"type": "computer_call"}]}, "computer_call"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "not in base64"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "call_id"),
        ({"background": True}, "background"),
        ({"conversation": "c"}, "conversation"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"text": {"format": {"type": "xml"}}}, "xml"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["a", "b"]}]}, "one folder"),
    ],
)
async def test_what_cannot_be_is_a_400_that_names_it(body: dict[str, Any], named: str) -> None:
    reply = await post(FakeEngines(), HI | body, PATH)
    assert reply.status_code == 400, reply.text
    assert named in reply.json()["error"]["message"]


def test_the_oldest_make_room_and_a_chain_with_a_hole_is_told(tmp_path: Any) -> None:
    store = Responses(tmp_path / "responses.db", kept=2)
    for number in range(3):
        store.add(StoredResponse(f"r{number}", f"r{number - 1}" if number else None, [], {"output": []}))
    assert store.get("r2").previous == "r1"
    with pytest.raises(NotFound, match="'r0'"):
        store.chain("r2")
    store.close()
    again = Responses(tmp_path / "responses.db")
    assert again.get("r1").previous == "r0"
    again.close()


def test_an_answer_from_a_file_that_is_gone_leaves_no_byte_and_takes_along_what_went_on_from_it(tmp_path: Any) -> None:
    store = Responses(tmp_path / "responses.db")
    assert store.quoted() == []

    def answer(number: int, previous: int | None, *paths: str) -> StoredResponse:
        sources = [{"path": path, "chunk_id": 7, "text": "the violet ocelot"} for path in paths]
        body = {"id": f"r{number}", "output": "violet ocelot" if paths else "an ocelot, as said", "sources": sources}
        before = None if previous is None else f"r{previous}"
        return StoredResponse(f"r{number}", before, [{"content": f"question {number}"}], body)

    store.add(answer(1, None))
    store.add(answer(2, 1, "/files/a.md", "/files/b.md"))
    store.add(answer(3, 2))
    store.add(answer(4, None, "/files/b.md"))
    assert sorted(store.quoted()) == [("/files/a.md", 7), ("/files/b.md", 7)]
    assert store.forget([]) == 0
    assert store.forget(["/files/a.md"]) == 2
    assert store.get("r4").body["sources"]
    with pytest.raises(NotFound):
        store.chain("r3")
    assert store.forget(["/files/b.md"]) == 1
    assert store.get("r1").id == "r1"
    store.close()
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"violet" not in left
    assert b"question 1" in left
