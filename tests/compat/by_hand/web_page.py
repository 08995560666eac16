"""A real page in a real browser against a running daemon: python web_page.py http://127.0.0.1:11411 [chromium]

The browser runs as this user, so nothing but the rules about pages stands between it and the daemon. A page on another
port of this machine tries whatever a page can: fetch in its three modes, XMLHttpRequest, forms, pictures, scripts,
frames, beacons, event sources, websockets. Then the name of the page is pointed at the daemon (DNS rebinding), and
so is a page with no origin of its own. Nothing may be read, nothing may have changed. Needs: apt install chromium.
"""

import contextlib
import http.server
import json
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

BASE = sys.argv[1].rstrip("/")
BROWSER = sys.argv[2] if len(sys.argv) > 2 else "chromium"
PORT = urlsplit(BASE).port or 80
MARK = "made-by-a-web-page"

PAGE = """<!doctype html><title>a page</title><body><pre id=out></pre><script>
const base = BASE, mark = MARK, found = {};
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

    found: dict[str, str] | None = None
    told = threading.Event()

    def do_GET(self) -> None:
        text = PAGE.replace("BASE,", json.dumps(BASE) + ",").replace("MARK,", json.dumps(MARK) + ",")
        self._answer(text.replace("PORT", str(PORT)).encode())

    def do_POST(self) -> None:
        Page.found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(b"{}")
        Page.told.set()

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
        process = subprocess.Popen([BROWSER, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


def shown(url: str, *more: str) -> str:
    """What the browser makes of a page once it is loaded."""
    with browsing(url, "--dump-dom", *more) as process:
        return process.communicate(timeout=120)[0]


def names() -> list[str]:
    with urllib.request.urlopen(f"{BASE}/api/tags", timeout=20) as reply:
        return [model["name"] for model in json.load(reply)["models"]]


def main() -> None:
    before = names()
    assert before, "the daemon has no model, so a page could not have made a name for one"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    holes: list[str] = []
    with browsing(f"http://127.0.0.1:{server.server_port}/", "--remote-debugging-port=0"):
        if not Page.told.wait(150):
            raise SystemExit("the browser never came back")
    for name, what in (Page.found or {}).items():
        through = what.startswith(("READ", "LOADED", "OPENED"))
        holes += [name] * through
        print(f"{'HOLE   ' if through else 'ok     '} {name}: {what}")
    rebound = shown(f"http://evil.example:{PORT}/v1/models", "--host-resolver-rules=MAP evil.example 127.0.0.1")
    refused = "Host header" in rebound and '"object"' not in rebound
    print(f"{'ok     ' if refused else 'HOLE   '} a name that was pointed at us")
    lone = shown(
        f"data:text/html,<iframe src='{BASE}/v1/models'></iframe><script>fetch('{BASE}/api/copy',"
        f'{{method:\'POST\',mode:\'no-cors\',body:\'{{"source":"default","destination":"{MARK}-null"}}\'}})</script>'
    )
    print(f"ok      a page with no origin was shown, {len(lone)} bytes")
    changed = sorted(set(names()) ^ set(before))
    print(f"{'HOLE    changed: ' + ', '.join(changed) if changed else 'ok      nothing has changed'}")
    tried = len(Page.found or {}) + 3
    bad = len(holes) + (not refused) + bool(changed)
    print(f"{tried - bad} passed, {bad} failed")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
