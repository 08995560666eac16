"""Another program on the daemon's TCP port is told nothing: no token, no question, whatever it answers."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from api_fakes import FakeEngines, app_with

from localmind.client import AsyncClient, Client
from localmind.client.proof import MOST_BYTES, Question, proof_of
from localmind.daemon.server import Server
from localmind.errors import DaemonUnreachable
from localmind.paths import Paths

TOKEN = "a-token-that-nobody-else-may-see"
SECRET = "what only the daemon may read"
NONCE = "ab" * 32


def http(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


ANSWERS: dict[str, Callable[[str], bytes]] = {
    "that says yes to everything": lambda _: http(b'{"status": "ok"}'),
    "without such a page": lambda _: http(b"not found", "404 Not Found"),
    "with a proof under another token": lambda nonce: http(b'{"proof": "%s"}' % proof_of("guess", nonce, 1).encode()),
    "that passes on the proof of a daemon on another port": lambda nonce: http(
        b'{"proof": "%s"}' % proof_of(TOKEN, nonce, 1).encode()
    ),
    "with a number for a proof": lambda _: http(b'{"proof": 1}'),
    "that speaks something else": lambda _: b"SSH-2.0-OpenSSH_9.2\r\n" * 1000,
    "that hangs up": lambda _: b"",
}


class FakeSquatter:
    """Took the port first. Keeps what it is sent and answers as it likes."""

    def __init__(self, answer: Callable[[str], bytes]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.heard = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            with link, contextlib.suppress(OSError):
                while b"\r\n\r\n" not in (more := link.recv(65536)):
                    self.heard += more
                self.heard += more
                link.sendall(self._answer(more.partition(b"nonce=")[2][:64].decode()))
                link.shutdown(socket.SHUT_WR)
                while more := link.recv(65536):
                    self.heard += more

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("LOCALMIND_TRANSPORT", "tcp")
    found = Paths.find({"LOCALMIND_HOME": str(tmp_path)})
    for file, text in ((found.token_file, TOKEN), (found.port_file, "1")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return found


@pytest.fixture(params=ANSWERS.values(), ids=list(ANSWERS))
def squatter(request: pytest.FixtureRequest, paths: Paths) -> Iterator[FakeSquatter]:
    made = FakeSquatter(request.param)
    paths.port_file.write_text(str(made.port))
    yield made
    made.close()


def told_nothing(squatter: FakeSquatter) -> None:
    assert squatter.heard.startswith(b"GET /localmind/v1/proof?nonce=")
    assert TOKEN.encode() not in squatter.heard
    assert SECRET.encode() not in squatter.heard
    assert b"uthorization" not in squatter.heard


def test_the_command_line_tells_a_program_on_the_port_nothing(paths: Paths, squatter: FakeSquatter) -> None:
    client = Client(paths)
    with pytest.raises(DaemonUnreachable, match=f"port {squatter.port} is held by a program") as problem:
        client.post("/search", {"query": SECRET})
    assert "LOCALMIND_PORT" in str(problem.value.hint)
    assert not client.healthy(), "so a daemon of our own is started, and says that the port is taken"
    told_nothing(squatter)


async def test_the_terminal_app_tells_a_program_on_the_port_nothing(paths: Paths, squatter: FakeSquatter) -> None:
    client = AsyncClient(paths)
    with pytest.raises(DaemonUnreachable, match="is held by a program"):
        await client.post("/search", {"query": SECRET})
    await client.close()
    await asyncio.to_thread(told_nothing, squatter)


async def test_a_stale_port_is_no_daemon(paths: Paths) -> None:
    paths.port_file.unlink()
    with pytest.raises(DaemonUnreachable, match="no daemon runs here"):
        Client(paths).get("/status")
    assert not Client(paths).healthy()


@pytest.fixture
async def daemon(paths: Paths) -> AsyncIterator[int]:
    """The application on a real port, under the token `t`."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = int(listener.getsockname()[1])
    engines = FakeEngines()
    server = Server(app_with(engines, port), [listener])
    serving = asyncio.create_task(server.run_until_stopped())
    paths.token_file.write_text("t\n")
    paths.port_file.write_text(f"{port}\n")
    yield port
    server.stop()
    await serving


async def test_the_daemon_proves_itself_and_both_clients_go_on_over_the_same_connection(
    paths: Paths, daemon: int
) -> None:
    client = AsyncClient(paths)
    found = await client.get("/engine/sequences")
    again = await asyncio.to_thread(Client(paths).get, "/engine/sequences")
    await client.close()
    assert found == again == {"engines": []}
    assert await asyncio.to_thread(Client(paths).healthy)


async def test_a_daemon_under_another_token_is_not_ours(paths: Paths, daemon: int) -> None:
    paths.token_file.write_text("another")
    with pytest.raises(DaemonUnreachable, match="is held by a program"):
        await asyncio.to_thread(Client(paths).get, "/engine/sequences")


def test_an_answer_may_come_in_pieces_and_never_grows_without_end() -> None:
    question = Question(TOKEN, 7)
    nonce = question.request.partition(b"nonce=")[2][:64].decode()
    whole = http(b'{"proof": "%s"}' % proof_of(TOKEN, nonce, 7).encode())
    assert [question.take(whole[i : i + 1]) for i in range(len(whole))] == [False] * (len(whole) - 1) + [True]
    with pytest.raises(DaemonUnreachable):
        Question(TOKEN, 7).take(b"x" * (MOST_BYTES + 1))


def test_a_proof_is_of_one_token_one_nonce_and_one_port() -> None:
    given = {proof_of(token, nonce, port) for token in ("a", "b") for nonce in ("c", "d") for port in (1, 11)}
    assert len(given) == 8
    assert TOKEN not in proof_of(TOKEN, NONCE, 1)
