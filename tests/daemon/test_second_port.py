"""The port for programs that look for Ollama: ours while it is free, and never a reason not to start."""

import os
import socket

import pytest
from ports import reserved_port

from localmind.api.peers import Peer
from localmind.api.security import Gatekeeper
from localmind.daemon.run import _second_port


@pytest.fixture
def free_port() -> int:
    return reserved_port()


def test_a_free_port_is_listened_on_by_both_families_of_loopback(free_port: int) -> None:
    second, listeners = _second_port(free_port, 11411, tcp=True)
    try:
        assert second is not None
        assert (second.port, second.problem) == (free_port, None)
        hosts = {listener.getsockname()[0] for listener in listeners}
        assert "127.0.0.1" in hosts
        assert hosts <= {"127.0.0.1", "::1"}
        assert all(listener.getsockname()[1] == free_port for listener in listeners)
    finally:
        for listener in listeners:
            listener.close()


def test_a_port_that_another_program_has_is_told_and_left_alone() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = int(other.getsockname()[1])
        second, listeners = _second_port(port, 11411, tcp=True)
    assert listeners == []
    assert second is not None
    assert f"port {port} on 127.0.0.1 is taken" in str(second.problem)


def test_nobody_who_did_not_ask_gets_a_second_port(free_port: int) -> None:
    assert _second_port(None, 11411, tcp=True) == (None, [])
    assert _second_port(free_port, free_port, tcp=True) == (None, [])
    assert _second_port(free_port, 11411, tcp=False) == (None, [])


def test_the_gate_knows_both_ports_by_name_and_no_third() -> None:
    keeper = Gatekeeper(11411, "t", also=11434)
    hosts = ("127.0.0.1:11411", "localhost:11434", "[::1]:11434", "localhost:11435", "evil.example:11434")
    us = Peer("tcp", os.getuid())
    refused = [type(keeper.refuse("/api/tags", [(b"host", host.encode())], us)).__name__ for host in hosts]
    assert refused == ["NoneType"] * 3 + ["WrongHost"] * 2
