"""The gate's rules, exhaustively and without a network."""

import os

import pytest

from localmind.api.peers import Peer, tcp_peer
from localmind.api.security import Gatekeeper, read_or_make_token
from localmind.errors import ForbiddenOrigin, Unauthorized, WrongHost

KEEPER = Gatekeeper(11411, "right-token", frozenset({"http://mine.example:3000"}))
US = Peer("tcp", os.getuid())
OTHER = Peer("tcp", os.getuid() + 1)
UNKNOWN = Peer("tcp", None)
UNIX_US = Peer("unix", os.getuid())


def refuse(peer: Peer, path: str = "/v1/models", **headers: str) -> str | None:
    given = {"host": "127.0.0.1:11411"} | {key.replace("_", "-"): value for key, value in headers.items()}
    error = KEEPER.refuse(path, [(k.encode(), v.encode()) for k, v in given.items() if v], peer)
    return type(error).__name__ if error else None


@pytest.mark.parametrize("host", ["127.0.0.1:11411", "localhost:11411", "LOCALHOST:11411", "[::1]:11411"])
def test_loopback_names_with_our_port_pass(host: str) -> None:
    assert refuse(US, host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:11411",
        "localhost.evil.example:11411",
        "127.0.0.1.nip.io:11411",
        "localhost.:11411",
        "127.0.0.1",
        "localhost:80",
        "127.0.0.1:11411 ",
        "127.1:11411",
        "0.0.0.0:11411",
        "2130706433:11411",
        "[::ffff:127.0.0.1]:11411",
        "user@localhost:11411",
        "localhost:11411,evil.example",
    ],
)
def test_any_other_host_is_refused_even_with_the_token(host: str) -> None:
    assert refuse(US, host=host, authorization="Bearer right-token") == WrongHost.__name__


def test_a_missing_or_doubled_host_is_refused() -> None:
    assert isinstance(KEEPER.refuse("/v1/models", [], US), WrongHost)
    twice = [(b"host", b"localhost:11411"), (b"Host", b"localhost:11411")]
    assert isinstance(KEEPER.refuse("/v1/models", twice, US), WrongHost)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:11411", "file://", "http://mine.example"]
)
def test_a_web_page_is_refused_whoever_runs_the_browser(origin: str) -> None:
    for peer in (US, UNIX_US):
        assert refuse(peer, origin=origin, authorization="Bearer right-token") == ForbiddenOrigin.__name__
        assert refuse(peer, "/health", origin=origin) == ForbiddenOrigin.__name__


def test_a_listed_page_passes() -> None:
    assert refuse(US, origin="http://mine.example:3000", sec_fetch_site="cross-site") is None


def test_a_browser_request_without_origin_is_known_by_its_fetch_metadata() -> None:
    assert refuse(US, sec_fetch_site="cross-site") == ForbiddenOrigin.__name__
    assert refuse(US, sec_fetch_site="none") is None


def test_programs_of_this_user_need_no_token() -> None:
    assert refuse(US) is None
    assert refuse(UNIX_US, host="") is None


@pytest.mark.parametrize("peer", [OTHER, UNKNOWN, Peer("unix", os.getuid() + 1)])
def test_everybody_else_needs_the_token(peer: Peer) -> None:
    assert refuse(peer) == Unauthorized.__name__
    assert refuse(peer, authorization="Bearer wrong") == Unauthorized.__name__
    assert refuse(peer, authorization="Basic right-token") == Unauthorized.__name__
    assert refuse(peer, authorization="Bearer right-token") is None
    assert refuse(peer, authorization="bearer right-token") is None


def test_two_authorization_headers_are_none() -> None:
    headers = [(b"host", b"localhost:11411")] + [(b"authorization", b"Bearer right-token")] * 2
    assert isinstance(KEEPER.refuse("/v1/models", headers, OTHER), Unauthorized)


def test_health_is_public_and_nothing_else() -> None:
    assert refuse(OTHER, "/health") is None
    for path in ("/health/", "/healthz", "/openapi.json", "/", "/localmind/v1/status", "//health"):
        assert refuse(OTHER, path) == Unauthorized.__name__, path


def test_the_token_is_made_once_and_private(tmp_path: os.PathLike[str]) -> None:
    from pathlib import Path

    place = Path(tmp_path) / "config" / "token"
    token = read_or_make_token(place)
    assert len(token) >= 43
    assert read_or_make_token(place) == token
    assert place.stat().st_mode & 0o777 == 0o600


TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2C93 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0
   1: 0100007F:D431 0100007F:2C93 01 00000000:00000000 00:00000000 00000000  1001        0 2 1 0
   2: 0100007F:2C93 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0
   3: 0100007F:D432 0100007F:2C93 06 00000000:00000000 00:00000000 00000000  1002        0 0 3 0
   4: 00000000000000000000000001000000:D433 00000000000000000000000001000000:2C93 01 0:0 00:0 0  1003 0 4 1 0
   5: 0000000000000000FFFF00000100007F:D434 0000000000000000FFFF00000100007F:2C93 01 0:0 00:0 0  1004 0 5 1 0
"""


@pytest.mark.parametrize(
    ("theirs", "uid"),
    [
        (("127.0.0.1", 0xD431), 1001),
        (("127.0.0.1", 0xD432), None),
        (("127.0.0.1", 0xD434), 1004),
        (("127.0.0.1", 0xD435), None),
    ],
)
def test_the_kernel_tells_whose_a_connection_is(theirs: tuple[str, int], uid: int | None) -> None:
    assert tcp_peer(("127.0.0.1", 11411), theirs, TABLE.splitlines) == Peer("tcp", uid)


def test_the_kernel_tells_it_for_ipv6_too() -> None:
    assert tcp_peer(("::1", 11411), ("::1", 0xD433), TABLE.splitlines).uid == 1003
