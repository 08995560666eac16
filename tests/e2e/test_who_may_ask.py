"""Every route of a real daemon against who must get nothing: web pages, other names, other users, wrong tokens."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest_e2e import PATIENCE_S, Home, new_home
from every_route import Route, every_route

from localmind.api.security import PUBLIC_PATHS

# Sends each request of stdin on a connection of its own, as the user it is told to be, and prints the status lines.
ASKER = """
import encodings.idna, json, os, socket, sys
uid, port, requests = json.load(sys.stdin)
if uid is not None:
    os.setgid(uid)
    os.setuid(uid)
answers = []
for request in requests:
    with socket.create_connection(("127.0.0.1", port), timeout=120) as sock:
        sock.sendall(request.encode())
        data = b""
        while b"\\r\\n\\r\\n" not in data and (more := sock.recv(65536)):
            data += more
    answers.append(data.decode("latin-1"))
print(json.dumps(answers))
"""
OTHER_USER = 65534


@pytest.fixture(scope="module")
def routes(strangers: Home) -> list[Route]:
    return every_route(strangers)


def ask(home: Home, requests: list[str], uid: int | None = None) -> list[str]:
    asked = [request.replace("{host}", f"127.0.0.1:{home.port}") for request in requests]
    told: Any = json.dumps([uid, home.port, asked])
    done = subprocess.run([sys.executable, "-c", ASKER], input=told, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    answers: list[str] = json.loads(done.stdout)
    return answers


def refusals(home: Home, routes: list[Route], more: str = "", *, uid: int | None = None, host: str = "{host}"):
    head = "Host: " + host + "\r\n" if host else ""
    end = f"{head}{more}Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    answers = ask(home, [f"{method} {path} HTTP/1.1\r\n{end}" for method, path in routes], uid)
    assert all("access-control-allow" not in answer.lower() for answer in answers)
    return {(route, answer.split(" ")[1]) for route, answer in zip(routes, answers, strict=True)}


def statuses(found: set[tuple[Route, str]]) -> set[str]:
    return {status for (_, path), status in found if path not in PUBLIC_PATHS}


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example:{port}", "127.0.0.1.nip.io:{port}", "localhost.:{port}", "127.0.0.1:1"],
)
def test_another_name_gets_nothing_from_any_route(strangers: Home, routes: list[Route], host: str) -> None:
    found = refusals(strangers, routes, host=host.replace("{port}", str(strangers.port)))
    assert {status for _, status in found} == {"421"}


def test_no_name_two_names_and_a_name_in_the_request_line_get_nothing(strangers: Home) -> None:
    port = strangers.port
    absolute = "GET http://evil.example/v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    twice = f"GET /v1/models HTTP/1.1\r\nHost: localhost:{port}\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
    none = "GET /v1/models HTTP/1.0\r\n\r\n"
    for answer in ask(strangers, [absolute, twice, none]):
        assert answer.split(" ")[1] in ("421", "400")


@pytest.mark.parametrize(
    "page",
    ["Origin: http://evil.example", "Origin: null", "Origin: http://{host}", "Sec-Fetch-Site: cross-site"],
)
def test_a_web_page_gets_nothing_from_any_route(strangers: Home, routes: list[Route], page: str) -> None:
    found = refusals(strangers, routes, page + "\r\n")
    assert {status for _, status in found} == {"403"}


def test_a_preflight_allows_nothing_on_any_route(strangers: Home, routes: list[Route]) -> None:
    page = "Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n"
    found = refusals(strangers, [("OPTIONS", path) for _, path in routes], page)
    assert {status for _, status in found} == {"403"}


WEBSOCKET = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


def test_a_websocket_of_a_page_is_opened_by_no_route(strangers: Home, routes: list[Route]) -> None:
    paths = sorted({path for _, path in routes})
    head = "GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example\r\nConnection: Upgrade\r\n" + WEBSOCKET
    answers = ask(strangers, [head.replace("{path}", path) + "\r\n" for path in paths])
    assert {answer.split(" ")[1] for answer in answers} == {"403"}


@pytest.mark.needs("root")
def test_another_user_of_this_machine_gets_nothing_without_the_token(strangers: Home, routes: list[Route]) -> None:
    found = refusals(strangers, routes, uid=OTHER_USER)
    assert statuses(found) == {"401"}
    websockets = refusals(strangers, [("GET", path) for _, path in routes], WEBSOCKET, uid=OTHER_USER)
    assert statuses(websockets) == {"401"}
    wrong = "Authorization: Bearer wrong\r\n"
    first = refusals(strangers, [("GET", "/v1/models")] * 12, wrong, uid=OTHER_USER)
    assert {status for _, status in first} == {"401", "429"}


@pytest.mark.needs("root")
def test_another_user_finds_no_socket_no_token_and_no_database(strangers: Home) -> None:
    places = [strangers.paths.socket, strangers.paths.token_file, strangers.paths.threads_db, strangers.paths.log_file]
    assert all(place.exists() for place in places)
    tried = f"""
import os, socket, sys
os.setgid({OTHER_USER}); os.setuid({OTHER_USER})
for place in sys.argv[1:]:
    try:
        if place.endswith(".sock"):
            socket.socket(socket.AF_UNIX).connect(place)
        else:
            open(place).close()
    except PermissionError:
        continue
    print(place)
"""
    done = subprocess.run(
        [sys.executable, "-c", tried, *map(str, places)], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (done.stdout, done.stderr) == ("", "")
    for place in places:
        assert place.stat().st_mode & 0o077 == 0 or Path(place.parent).stat().st_mode & 0o077 == 0


def test_this_user_gets_an_answer_and_a_squatter_on_the_port_gets_no_token(strangers: Home) -> None:
    [answer] = ask(strangers, ["GET /v1/models HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"])
    assert answer.startswith("HTTP/1.1 200")
    token = strangers.paths.token_file.read_text().strip()
    (strangers.directory / "squatted").mkdir()
    squatted = new_home(strangers.directory / "squatted", None)
    with socket.create_server(("127.0.0.1", squatted.port)) as squatter:
        squatter.settimeout(0.5)
        listed = squatted.cli("folders", "list", "--json")
        assert listed.returncode == 0, listed.stderr
        with pytest.raises(TimeoutError):
            squatter.accept()
    squatted.cli("stop")
    assert token not in strangers.paths.log_file.read_text()
