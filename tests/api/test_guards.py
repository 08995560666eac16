"""Guesses of tokens are counted, and bodies beyond the limit are refused in the words of their dialect."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind.api.body_limit import BodyLimit
from localmind.api.peers import Peer
from localmind.api.security import PEER_KEY, Gate, Gatekeeper, Guesses
from localmind.daemon.sockets import names_of
from localmind.errors import ConfigInvalid

STRANGER = Peer("tcp", None, "192.168.1.7")
KEEPER = Gatekeeper(11411, "right", names=frozenset({"mybox.lan", "192.168.1.20"}))


class FakeClock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeApp:
    """Reads the whole body and says how long it was."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        size, more = 0, scope["method"] == "POST"
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(size).encode()})


async def ask(
    app: Any, path: str = "/v1/models", *, peer: Peer = STRANGER, body: tuple[bytes, ...] = (), **headers: str
):
    given = {"host": "192.168.1.20:11411"} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {"type": "http", "method": "POST" if body else "GET", "path": path, PEER_KEY: lambda: peer}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in given.items()]
    pieces = list(body)
    sent: list[Any] = []

    async def receive() -> Any:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}, sent[1]["body"]


async def test_a_machine_that_guesses_is_not_listened_to_for_a_while_and_others_are():
    clock = FakeClock()
    app = FakeApp()
    gate = Gate(app, KEEPER, Guesses(clock))
    for _ in range(Guesses.MOST):
        assert (await ask(gate, authorization="Bearer wrong"))[0] == 401
    status, headers, body = await ask(gate, authorization="Bearer right")
    assert status == 429, "even the right one: that it is right must not show"
    assert 0 < int(headers["retry-after"]) <= 61
    assert json.loads(body)["error"]["code"] == "too_many_guesses"
    assert app.calls == 0
    other = Peer("tcp", None, "192.168.1.8")
    assert (await ask(gate, peer=other, authorization="Bearer right"))[0] == 200
    assert (await ask(gate))[0] == 401, "a request without a token is no guess"
    clock.now += Guesses.WINDOW_S + 1
    assert (await ask(gate, authorization="Bearer right"))[0] == 200


@given(st.lists(st.floats(0, 30), max_size=40))
def test_never_more_than_so_many_guesses_in_a_window(pauses: list[float]):
    clock = FakeClock()
    guesses = Guesses(clock)
    looked_at: list[float] = []
    for pause in pauses:
        clock.now += pause
        if guesses.wait(STRANGER) == 0:
            looked_at.append(clock.now)
            guesses.wrong(STRANGER)
    for start in looked_at:
        assert sum(start <= each < start + Guesses.WINDOW_S for each in looked_at) <= Guesses.MOST


def test_places_are_forgotten_when_there_are_too_many():
    guesses = Guesses(FakeClock())
    for number in range(Guesses.PLACES + 5):
        guesses.wrong(Peer("tcp", None, str(number)))
    assert len(guesses._failed) == Guesses.PLACES


async def test_a_body_beyond_the_limit_is_refused_announced_or_not():
    app = FakeApp()
    limited = BodyLimit(app, most=10)
    status, headers, body = await ask(limited, "/v1/messages", body=(b"x",), content_length="11")
    assert (status, headers["x-should-retry"], app.calls) == (413, "false", 0)
    assert json.loads(body)["type"] == "error"
    with pytest.raises(Exception, match="at most") as refused:
        await ask(limited, body=(b"12345", b"67890", b"1"))
    assert refused.value.status_code == 413
    assert (await ask(limited, body=(b"12345", b"67890")))[2] == b"10"


def test_names_beyond_loopback_are_those_of_the_settings_and_every_address_needs_one():
    assert names_of([], []) == frozenset()
    assert names_of(["192.168.1.20", "fe80::1"], ["mybox.lan"]) == {"192.168.1.20", "[fe80::1]", "mybox.lan"}
    assert names_of(["0.0.0.0"], ["mybox.lan"]) == {"mybox.lan"}
    for wrong in (["0.0.0.0"], ["::"], ["mybox.lan"], ["127.0.0.1:80"]):
        with pytest.raises(ConfigInvalid):
            names_of(wrong, [])


async def test_a_host_of_the_settings_passes_with_the_token_alone():
    gate = Gate(FakeApp(), KEEPER)
    assert (await ask(gate, host="mybox.lan:11411"))[0] == 401
    assert (await ask(gate, host="MYBOX.lan:11411", authorization="Bearer right"))[0] == 200
    assert (await ask(gate, host="otherbox.lan:11411", authorization="Bearer right"))[0] == 421
