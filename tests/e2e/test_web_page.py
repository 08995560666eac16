"""A real page in a real browser: whatever a page can try against the daemon, it reads nothing and changes nothing.

The browser runs as this user, so only the rules about pages stand between it and the daemon. A page on another port of
this machine tries fetch in its modes, XMLHttpRequest, forms, pictures, scripts, frames, beacons, event sources and
websockets. Then the name of a page is pointed at the daemon (DNS rebinding), and a page without an origin tries.
"""

import contextlib
import http.server
import json
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from conftest_e2e import PATIENCE_S, Home
from every_route import told
from programs import program

pytestmark = pytest.mark.needs("chromium")

MARK = "made-by-a-web-page"
PAGE = """<!doctype html><title>a page</title><body><pre id=out></pre><script>
const base = "BASE", mark = "MARK", found = {};
const evil = name => JSON.stringify({source: "default", destination: mark + "-" + name});
const note = (name, what) => { found[name] = what; };
const within = (ms, promise) => Promise.race([promise, new Promise(done => setTimeout(() => done("silent"), ms))]);
const tries = {
  "fetch GET": async () => "READ " + (await (await fetch(base + "/v1/models")).text()).slice(0, 80),
  "fetch GET no-cors": async () => (await fetch(base + "/v1/models", {mode: "no-cors"})).type,
  "fetch health": async () => "READ " + await (await fetch(base + "/health")).text(),
  "fetch with a made-up key": async () =>
    "READ " + await (await fetch(base + "/v1/models", {headers: {Authorization: "Bearer x"}})).text(),
  "fetch JSON": async () => "READ " + await (await fetch(base + "/api/copy",
    {method: "POST", headers: {"Content-Type": "application/json"}, body: evil("json")})).text(),
  "fetch as plain text": async () => (await fetch(base + "/api/copy",
    {method: "POST", mode: "no-cors", headers: {"Content-Type": "text/plain"}, body: evil("plain")})).type,
  "fetch DELETE": async () => "READ " + (await fetch(base + "/api/delete", {method: "DELETE", body: "{}"})).status,
  "fetch to localhost": async () => "READ " + await (await fetch("http://localhost:PORT/v1/models")).text(),
  "fetch to ::1": async () => "READ " + await (await fetch("http://[::1]:PORT/v1/models")).text(),
  "fetch to 0.0.0.0": async () => "READ " + await (await fetch("http://0.0.0.0:PORT/v1/models")).text(),
  "XMLHttpRequest": () => new Promise(done => { const x = new XMLHttpRequest(); x.open("GET", base + "/api/tags");
    x.onload = () => done("READ " + x.responseText.slice(0, 80)); x.onerror = () => done("refused"); x.send(); }),
  "beacon": async () => "sent " + navigator.sendBeacon(base + "/api/copy", evil("beacon")),
  "script": () => new Promise(done => { const s = document.createElement("script"); s.src = base + "/v1/models";
    s.onload = () => done("LOADED"); s.onerror = () => done("refused"); document.body.append(s); }),
  "picture": () => new Promise(done => { const i = new Image(); i.onload = () => done("LOADED");
    i.onerror = () => done("refused"); i.src = base + "/v1/models"; }),
  "style": () => new Promise(done => {
    const l = document.createElement("link"); l.rel = "stylesheet";
    l.href = base + "/v1/models"; l.onload = () => done("LOADED"); l.onerror = () => done("refused");
    document.head.append(l); }),
  "event source": () => new Promise(done => { const e = new EventSource(base + "/localmind/v1/folders/follow");
    e.onopen = () => done("OPENED");
    e.onmessage = m => done("READ " + m.data); e.onerror = () => { e.close(); done("refused"); }; }),
  "websocket": () => new Promise(done => { const w = new WebSocket(base.replace("http", "ws") + "/localmind/v1/listen");
    w.onopen = () => done("OPENED"); w.onerror = () => done("refused"); }),
  "websocket to mcp": () => new Promise(done => { const w = new WebSocket(base.replace("http", "ws") + "/mcp");
    w.onopen = () => done("OPENED"); w.onerror = () => done("refused"); }),
  "mcp": async () => "READ " + await (await fetch(base + "/mcp", {method: "POST", body: "{}"})).text(),
  "frame": () => new Promise(done => { const f = document.createElement("iframe"); f.src = base + "/v1/models";
    f.onload = () => { try { done("READ " + f.contentDocument.body.innerText); } catch { done("not to be read"); } };
    document.body.append(f); }),
  "form": () => new Promise(done => { const f = document.createElement("form"), i = document.createElement("input");
    const t = document.createElement("iframe"); t.name = "t"; t.onload = () => done("sent"); document.body.append(t);
    f.action = base + "/api/copy"; f.method = "POST"; f.enctype = "text/plain"; f.target = "t";
    i.name = evil("form").slice(0, -1) + ',"x":"'; i.value = '"}'; f.append(i); document.body.append(f); f.submit(); }),
};
(async () => {
  for (const [name, attempt] of Object.entries(tries)) {
    try { note(name, await within(4000, attempt())); } catch (problem) { note(name, "refused"); }
  }
  await fetch("/found", {method: "POST", body: JSON.stringify(found)});
  document.getElementById("out").textContent = "DONE";
})();
</script>"""


class Page(http.server.BaseHTTPRequestHandler):
    """The page, and where it tells what it found."""

    page = b""
    found: dict[str, str]
    told: threading.Event

    def do_GET(self) -> None:
        self._answer(self.page)

    def do_POST(self) -> None:
        type(self).found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(b"{}")
        self.told.set()

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing to the terminal."""


@contextlib.contextmanager
def browsing(url: str, *more: str) -> Iterator["subprocess.Popen[str]"]:
    """A browser on that page, as long as it is wanted."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", *more, url]
        browser = program("chromium")
        assert browser is not None
        process = subprocess.Popen([browser, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE_S)


def shown(url: str, *more: str) -> str:
    """What the browser makes of a page once it is loaded."""
    with browsing(url, "--dump-dom", *more) as process:
        return process.communicate(timeout=PATIENCE_S)[0]


def names(home: Home) -> list[str]:
    return sorted(model["name"] for model in told(home, "/api/tags")["models"])


@pytest.fixture
def unchanged(strangers: Home) -> Iterator[None]:
    """There is a model, so a page could make a name for one; in the end there are the same names as before."""
    before = names(strangers)
    assert before
    yield
    assert names(strangers) == before


@pytest.mark.usefixtures("unchanged")
def test_a_page_on_another_port_reads_nothing_whatever_it_tries(strangers: Home) -> None:
    base = f"http://127.0.0.1:{strangers.port}"
    text = PAGE.replace("BASE", base).replace("MARK", MARK).replace("PORT", str(strangers.port))

    class Ours(Page):
        page = text.encode()
        told = threading.Event()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ours) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with browsing(f"http://127.0.0.1:{server.server_port}/", "--remote-debugging-port=0"):
            assert Ours.told.wait(PATIENCE_S), "the browser never came back"
        server.shutdown()
    assert len(Ours.found) == 21
    assert {what for what, said in Ours.found.items() if said.startswith(("READ", "LOADED", "OPENED"))} == set()


@pytest.mark.usefixtures("unchanged")
def test_a_name_that_is_pointed_at_the_daemon_reads_a_refusal(strangers: Home) -> None:
    rebound = shown(
        f"http://evil.example:{strangers.port}/v1/models", "--host-resolver-rules=MAP evil.example 127.0.0.1"
    )
    assert "Host header" in rebound
    assert "smollm2" not in rebound


@pytest.mark.usefixtures("unchanged")
def test_a_page_without_an_origin_of_its_own_changes_nothing(strangers: Home) -> None:
    base = f"http://127.0.0.1:{strangers.port}"
    body = json.dumps({"source": "default", "destination": f"{MARK}-null"})
    script = f"fetch('{base}/api/copy',{{method:'POST',mode:'no-cors',body:'{body}'}})"
    lone = shown(f"data:text/html,<iframe src='{base}/v1/models'></iframe><script>{script}</script>")
    assert "iframe" in lone
