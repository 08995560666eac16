"""Another machine, as a network namespace: what it gets from every route, and what it hears.

One daemon is as everybody has it, one listens on the address of a virtual wire. From its far end each route is asked
without a token, under other names and as a page, then with wrong tokens and the right one.
"""

import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from conftest_e2e import PATIENCE_S, Home, end, new_home, wait_until
from every_route import Route, every_route

from localmind.api.security import PUBLIC_PATHS

pytestmark = pytest.mark.needs("network namespaces")

BENCHMARKS = ipaddress.ip_network("198.18.0.0/15")
"""For networks that test others (RFC 2544)."""
NEAR, FAR = (str(BENCHMARKS[os.getpid() * 4 % BENCHMARKS.num_addresses + end]) for end in (1, 2))
"""Of this run alone: another's wire with the same addresses would get our answers."""
ASKER = """
import json, socket, sys
host, port, requests = json.load(sys.stdin)
answers = []
for request in requests:
    try:
        with socket.create_connection((host, port), timeout=60) as sock:
            sock.sendall(request.encode())
            data = b""
            while b"\\r\\n\\r\\n" not in data and (more := sock.recv(65536)):
                data += more
        answers.append(data.decode("latin-1").split(" ")[1] if data else "closed")
    except OSError as problem:
        answers.append(type(problem).__name__)
print(json.dumps(answers))
"""


@dataclass(slots=True, frozen=True)
class Wire:
    """To a machine of which we know nothing but the name of its namespace."""

    space: str

    def ask(self, port: int, requests: list[str]) -> list[str]:
        """Statuses, or what failed, of raw requests from the other machine."""
        command = ["ip", "netns", "exec", self.space, sys.executable, "-c", ASKER]
        told = json.dumps([NEAR, port, requests])
        done = subprocess.run(command, input=told, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    made = Wire(f"localmind-{os.getpid()}")
    near, far = f"lma{os.getpid()}", f"lmb{os.getpid()}"
    try:
        for words in (
            f"netns add {made.space}",
            f"link add {near} type veth peer name {far} netns {made.space}",
            f"addr add {NEAR}/30 dev {near}",
            f"link set {near} up",
            f"-n {made.space} addr add {FAR}/30 dev {far}",
            f"-n {made.space} link set {far} up",
        ):
            subprocess.run(["ip", *words.split()], check=True)
        yield made
    finally:
        subprocess.run(["ip", "link", "del", near], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "del", made.space], check=False)


@pytest.fixture(scope="module")
def opened(wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Listens on the wire too."""
    home = new_home(tmp_path_factory.mktemp("opened"), None)
    home.paths.settings_file.parent.mkdir(parents=True, exist_ok=True)
    home.paths.settings_file.write_text(f'listen = ["{NEAR}"]\n')
    try:
        home.start()
        yield home
    finally:
        end(home)


def raw(method: str, path: str, host: str, *more: str) -> str:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *more, "Content-Type: application/json"]
    return "\r\n".join([*lines, "Content-Length: 2", "Connection: close", "", "{}"])


def announced(home: Home) -> list[str]:
    """Its sockets that could tell somebody that it is there."""
    assert home.daemon is not None
    listing = subprocess.run(["ss", "-lunpH"], capture_output=True, text=True, check=True).stdout
    return [row for row in listing.splitlines() if f"pid={home.daemon.pid}," in row]


@pytest.fixture(scope="module")
def routes(opened: Home) -> list[Route]:
    return every_route(opened)


def test_as_it_is_installed_nobody_beyond_this_machine_reaches_it(strangers: Home, wire: Wire) -> None:
    request = raw("GET", "/health", f"{NEAR}:{strangers.port}")
    assert set(wire.ask(strangers.port, [request] * 3)) == {"ConnectionRefusedError"}
    assert announced(strangers) == []


@pytest.mark.parametrize(
    ("host", "more", "status"),
    [
        ("{name}", (), "401"),
        ("evil.example", (), "421"),
        ("127.0.0.1:{port}", (), "401"),
        ("{name}", ("Origin: http://evil.example",), "403"),
        ("{name}", ("Origin: http://{name}",), "403"),
        ("{name}", ("X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1"), "401"),
    ],
    ids=["no token", "another name", "as loopback", "a page", "a page of ours", "as a proxy"],
)
def test_another_machine_gets_nothing_from_any_route(
    opened: Home, wire: Wire, routes: list[Route], host: str, more: tuple[str, ...], status: str
) -> None:
    name = f"{NEAR}:{opened.port}"
    head = [each.replace("{name}", name).replace("{port}", str(opened.port)) for each in (host, *more)]
    answers = wire.ask(opened.port, [raw(method, path, head[0], *head[1:]) for method, path in routes])
    found = {(path, answer) for (_, path), answer in zip(routes, answers, strict=True) if path not in PUBLIC_PATHS}
    assert {answer for _, answer in found} == {status}, found


def test_the_token_opens_it_and_who_guesses_is_not_listened_to(opened: Home, wire: Wire) -> None:
    name = f"{NEAR}:{opened.port}"
    token = opened.paths.token_file.read_text().strip()
    assert wire.ask(opened.port, [raw("GET", "/v1/models", name, f"Authorization: Bearer {token}")]) == ["200"]
    guesses = wire.ask(opened.port, [raw("GET", "/v1/models", name, "Authorization: Bearer wrong")] * 12)
    assert set(guesses) == {"401", "429"}
    assert announced(opened) == []
    with opened.client() as client:
        wait_until(client.healthy, "a daemon that goes on for programs of this user")
