"""Another machine, as a network namespace: as root, python tests/compat/by_hand/lan_host.py

Two daemons of its own in a temporary home: one as everybody has it, one with `listen` on the address of a virtual wire.
From the far end of the wire each route of the schema is asked without a token, with a wrong one, under other names and
as a page; then with the right token. Needs root and iproute2; nothing stays behind.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

NEAR, FAR, PORT = "10.99.77.1", "10.99.77.2", 11977
SPACE = f"localmind-{os.getpid()}"

ASKER = """
import json, socket, sys
host, port, requests = json.load(sys.stdin)
answers = []
for request in requests:
    try:
        with socket.create_connection((host, port), timeout=10) as sock:
            sock.sendall(request.encode())
            data = b""
            while b"\\r\\n\\r\\n" not in data and (more := sock.recv(65536)):
                data += more
        answers.append(data.decode("latin-1").split(" ")[1] if data else "closed")
    except OSError as problem:
        answers.append(type(problem).__name__)
print(json.dumps(answers))
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def far(host: str, requests: list[str]) -> list[str]:
    """Statuses, or what failed, of raw requests from the other machine."""
    told = json.dumps([host, PORT, requests])
    command = ["ip", "netns", "exec", SPACE, sys.executable, "-c", ASKER]
    done = subprocess.run(command, input=told, capture_output=True, text=True, timeout=300, check=True)
    return list(json.loads(done.stdout))


class Daemon:
    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        environment = os.environ | {"LOCALMIND_HOME": str(home), "LOCALMIND_PORT": str(PORT)} | settings
        command = [sys.executable, "-P", "-m", "localmind", "serve", "--background"]
        self._process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 180
        while not (home / "run" / "port").exists():
            if time.monotonic() > until or self._process.poll() is not None:
                self._process.kill()
                raise SystemExit(f"the daemon did not start, or port {PORT} is taken")
            time.sleep(0.1)
        while self.near("GET", "/health") != "200":
            time.sleep(0.1)

    def near(self, method: str, path: str) -> str:
        told = json.dumps(["127.0.0.1", PORT, [raw(method, path, f"127.0.0.1:{PORT}")]])
        done = subprocess.run([sys.executable, "-c", ASKER], input=told, capture_output=True, text=True, check=True)
        return str(json.loads(done.stdout)[0])

    def routes(self) -> list[tuple[str, str]]:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/openapi.json", timeout=60) as reply:
            paths: dict[str, Any] = json.load(reply)["paths"]
        found = [(method.upper(), path) for path, methods in paths.items() for method in methods]
        more = [("GET", "/nothing"), ("GET", "/docs"), ("GET", "/openapi.json"), ("POST", "/mcp"), ("GET", "/")]
        return [(method, path.replace("{", "").replace("}", "")) for method, path in found] + more

    def udp(self) -> list[str]:
        listing = subprocess.run(["ss", "-lunpH"], capture_output=True, text=True, check=True).stdout
        return [row for row in listing.splitlines() if f"pid={self._process.pid}," in row]

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


def raw(method: str, path: str, host: str, *more: str) -> str:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *more, "Content-Type: application/json"]
    return "\r\n".join([*lines, "Content-Length: 2", "Connection: close", "", "{}"])


def main() -> None:
    bad = good = 0

    def check(what: str, fine: bool, seen: object) -> None:
        nonlocal bad, good
        good, bad = good + fine, bad + (not fine)
        print(f"{'ok  ' if fine else 'HOLE'} {what}: {seen}")

    ip("netns", "add", SPACE)
    try:
        ip("link", "add", "lmnear", "type", "veth", "peer", "name", "lmfar", "netns", SPACE)
        ip("addr", "add", f"{NEAR}/24", "dev", "lmnear")
        ip("link", "set", "lmnear", "up")
        ip("-n", SPACE, "addr", "add", f"{FAR}/24", "dev", "lmfar")
        ip("-n", SPACE, "link", "set", "lmfar", "up")
        with tempfile.TemporaryDirectory() as place:
            daemon = Daemon(Path(place) / "usual")
            usual = set(far(NEAR, [raw("GET", "/health", f"{NEAR}:{PORT}")] * 3))
            check("as installed, nobody beyond this machine", usual == {"ConnectionRefusedError"}, usual)
            check("nothing is announced", daemon.udp() == [], daemon.udp())
            daemon.stop()
            daemon = Daemon(Path(place) / "open", LOCALMIND_LISTEN=json.dumps([NEAR]))
            routes = daemon.routes()
            name = f"{NEAR}:{PORT}"
            for what, host, more, wanted in (
                ("without a token", name, (), {"401"}),
                ("under another name", "evil.example", (), {"421"}),
                ("as loopback", f"127.0.0.1:{PORT}", (), {"401"}),
                ("as a page", name, ("Origin: http://evil.example",), {"403"}),
                ("as this page", name, (f"Origin: http://{name}",), {"403"}),
                ("as somebody's proxy", name, ("X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1"), {"401"}),
            ):
                asked = [raw(method, path, host, *more) for method, path in routes]
                public = ("/health", "/localmind/v1/proof")
                answers = far(NEAR, asked)
                seen = {status for (_, path), status in zip(routes, answers, strict=True) if path not in public}
                check(f"{len(routes)} routes {what}", seen == wanted, seen)
            token = (daemon.home / "config" / "token").read_text().strip()
            answers = far(NEAR, [raw("GET", "/v1/models", name, f"Authorization: Bearer {token}")])
            check("with the token", answers == ["200"], answers)
            guesses = far(NEAR, [raw("GET", "/v1/models", name, "Authorization: Bearer wrong")] * 12)
            check("who guesses is not listened to", set(guesses) == {"401", "429"}, sorted(set(guesses)))
            check("nothing is announced", daemon.udp() == [], daemon.udp())
            check("programs of this user go on", daemon.near("GET", "/v1/models") == "200", "")
            daemon.stop()
    finally:
        subprocess.run(["ip", "netns", "del", SPACE], check=False)
        subprocess.run(["ip", "link", "del", "lmnear"], check=False, stderr=subprocess.DEVNULL)
    print(f"{good} passed, {bad} failed")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
