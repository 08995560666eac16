"""Every request shape of 31 clients, sent as they send it and read by the rules that they read with.

The bodies are those of clients.md §1, with their nulls, their unknown keys, their habits; the engine is a script. What
real programs do with a real model is in tests/compat.
"""

import json
import os

import pytest
from api_fakes import FakeEngines, post
from replays import EDITORS, HI, M, Replay
from replays_more import OTHERS

from localmind.api.peers import Peer
from localmind.api.security import Gatekeeper

REPLAYS = EDITORS + OTHERS


@pytest.mark.parametrize("replay", REPLAYS, ids=[f"{each.client}: {each.what}" for each in REPLAYS])
async def test_a_client_reads_what_it_asked_for(replay: Replay, speaking: tuple[FakeEngines, FakeEngines]) -> None:
    method = replay.method or ("GET" if replay.body is None else "POST")
    body = b"" if replay.body is None else json.dumps(replay.body).encode()
    engines = speaking[replay.calls]
    headers = {name: value for name, value in replay.headers.items() if name != "authorization"}
    answer = await post(engines, body, replay.path, method=method, headers=headers)
    replay.reads(answer)


def test_all_clients_are_here_but_those_of_mcp_which_have_a_suite_of_their_own() -> None:
    assert len({each.client for each in REPLAYS}) == 30


async def test_keys_that_clients_make_up_are_no_reason_to_refuse_a_program_of_this_user() -> None:
    keeper = Gatekeeper(1, "t")
    for key in ("Bearer ", "Bearer undefined", "Bearer ollama", "Bearer xterm-256color", "none"):
        sent = [(b"host", b"localhost:1"), (b"authorization", key.encode())]
        assert keeper.refuse("/v1/models", sent, Peer("tcp", os.getuid())) is None


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_a_head_that_changes_with_every_request_does_not_reach_the_prompt(path: str) -> None:
    engines = FakeEngines()
    system = [{"type": "text", "text": "x-anthropic-billing-header: cch=1"}, {"type": "text", "text": "You help."}]
    await post(engines, {"model": M, "max_tokens": 9, "messages": HI, "system": system}, path)
    said = json.dumps([str(each) for each in engines.asked]) + json.dumps([str(call) for call in engines.calls])
    assert "cch" not in said
    assert "You help." in said
