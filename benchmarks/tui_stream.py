"""What the terminal app costs, against the limits that it was given; exits with 1 when one is broken.

For paragraphs, lists, tables and code at 30 tokens a second into the whole app: the share of one core that the process
used, and how late the event loop ran; beside it Textual's own MarkdownStream with the same text, which is what most
apps use. In a real pseudo-terminal: the first picture of `localmind chat`, beside an app of Textual's that holds one
text field, and the time from a key to its character on the screen. A thread of 5,000 messages. CPU seconds are given
beside times, since a shared machine stretches only the latter.

    python benchmarks/tui_stream.py [--seconds 12] [--kind lists]
"""

import argparse
import asyncio
import fcntl
import gc
import os
import pty
import resource
import select
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Markdown

from localmind.errors import NotFound
from localmind.events import Done, Event, TextDelta
from localmind.paths import Paths
from localmind_tui.app import LocalmindApp
from localmind_tui.widgets.composer import Composer
from localmind_tui.widgets.transcript import Transcript

RATE = 30
LIMIT_CORE = 0.15
LIMIT_LATE_MS = 50.0
LIMIT_PAINT_MS = 600.0
LIMIT_OPEN_MS = 700.0
LIMIT_KEY_MS = 50.0
KINDS = {
    "paragraphs": "The boiler was serviced in October and **the pump** was replaced by Marek, who comes each year. ",
    "lists": "- the pump was checked by *Marek* and then replaced\n- the filter is `clean` again\n",
    "tables": "| part {n} | replaced in October | 148 euros | by Marek |\n",
    "fences": "def service_{n}(boiler: Boiler) -> bool:\n    return boiler.clean() and boiler.check({n})\n\n",
}
HEADS = {"tables": "| part | what | cost | who |\n|---|---|---|---|\n", "fences": "```python\n"}


def text_of(kind: str, tokens: int) -> list[str]:
    """About as many tokens of it: words with their blanks, as a model gives them."""
    text = HEADS.get(kind, "")
    number = 0
    while len(text) < tokens * 5:
        text += KINDS[kind].replace("{n}", str(number))
        number += 1
        if kind == "paragraphs" and number % 6 == 0:
            text += "\n\n"
    pieces = [text[place : place + 5] for place in range(0, len(text), 5)]
    return pieces[:tokens]


class Speaking:
    """A daemon that says one text at the pace of a model, and has one long thread."""

    def __init__(self, pieces: list[str], messages: int = 0) -> None:
        self._pieces = pieces
        self._messages = messages

    async def ensure(self) -> None:
        """It is always there."""

    async def status(self) -> dict[str, Any]:
        return {
            "models": [{"model": "m", "state": "loaded"}],
            "folders": [{"path": "/f", "files": 3, "state": "ready"}],
        }

    async def get(self, path: str, /, **query: Any) -> Any:
        if path == "/threads":
            return {"threads": [{"id": "long", "title": "A long thread"}]}
        if path == "/threads/long":
            total = self._messages // 2
            start = query.get("start")
            start = total - query["limit"] if start is None else start
            said = [message for number in range(start, start + query["limit"]) for message in _turn(number)]
            return {
                "thread": {"id": "long", "title": "A long thread"},
                "start": start,
                "total": total,
                "messages": said,
            }
        raise NotFound(path)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        raise NotFound(path)

    patch = post

    async def content(self, path: str) -> bytes:
        raise NotFound(path)

    async def send(self, path: str, content: bytes) -> None:
        raise NotFound(path)

    async def delete(self, path: str, /, **query: Any) -> Any:
        raise NotFound(path)

    async def text(self, path: str, /, **query: Any) -> str:
        raise NotFound(path)

    async def begin(self, question: str, **more: Any) -> dict[str, Any]:
        return {
            "thread": {"id": "t", "title": question},
            "messages": [
                {"id": 1, "turn": 1, "role": "user", "content": question},
                {"id": 2, "turn": 1, "role": "assistant", "content": "", "state": "streaming"},
            ],
        }

    async def follow(self, message_id: int, after: int = 0) -> AsyncIterator[tuple[int, Event]]:
        began = time.perf_counter()
        for place, piece in enumerate(self._pieces):
            yield place, TextDelta(piece)
            await asyncio.sleep(max(0.0, began + (place + 1) / RATE - time.perf_counter()))
        yield len(self._pieces), Done()

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[Event]:
        yield Done()

    async def close(self) -> None:
        """Nothing is open."""


def _turn(number: int) -> list[dict[str, Any]]:
    answer = f"The answer {number} has **a word** and\n\n- a list\n- of two\n\n```python\nprint({number})\n```\n"
    return [
        {"id": 2 * number, "turn": number, "role": "user", "content": f"Question {number}?"},
        {"id": 2 * number + 1, "turn": number, "role": "assistant", "content": answer, "state": "done"},
    ]


def cpu(whose: int = resource.RUSAGE_SELF) -> float:
    usage = resource.getrusage(whose)
    return usage.ru_utime + usage.ru_stime


async def lateness(found: list[float]) -> None:
    """How much later than asked for the loop wakes us."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.01)
        found.append((time.perf_counter() - before - 0.01) * 1000)


def app_over(daemon: Speaking, **more: Any) -> LocalmindApp:
    app = LocalmindApp(daemon, environ={"COLORTERM": "truecolor"}, **more)
    app.desk.memory.now.greeted = True
    return app


async def stream(kind: str, seconds: float) -> tuple[float, float, float]:
    """Share of a core, 99th percentile and maximum of lateness, over the answer and its end."""
    gc.collect()  # what the one before left is not this one's lateness
    app = app_over(Speaking(text_of(kind, round(seconds * RATE))))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.5)
        app.screen.query_one(Composer).insert("Go")
        transcript = app.screen.query_one(Transcript)
        await pilot.press("enter")
        while not transcript.turns:  # noqa: ASYNC110 widgets are no events
            await asyncio.sleep(0.01)
        late: list[float] = []
        watch = asyncio.create_task(lateness(late))
        used, began = cpu(), time.perf_counter()
        while transcript.turns[-1].state == "streaming":  # noqa: ASYNC110 widgets are no events
            await asyncio.sleep(0.1)
        share = (cpu() - used) / (time.perf_counter() - began)
        watch.cancel()
    return share, statistics.quantiles(late, n=100)[98], max(late)


class Peer(App[None]):
    """One Markdown widget in a scroll, fed through Textual's own MarkdownStream."""

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Markdown()


async def peer_stream(kind: str, seconds: float) -> tuple[float, float, float]:
    """The same as `stream`, without anything of ours."""
    gc.collect()
    app = Peer()
    pieces = text_of(kind, round(seconds * RATE))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.5)
        app.query_one(VerticalScroll).anchor()
        late: list[float] = []
        watch = asyncio.create_task(lateness(late))
        used, began = cpu(), time.perf_counter()
        writing = Markdown.get_stream(app.query_one(Markdown))
        for place, piece in enumerate(pieces):
            await writing.write(piece)
            await asyncio.sleep(max(0.0, began + (place + 1) / RATE - time.perf_counter()))
        await writing.stop()
        share = (cpu() - used) / (time.perf_counter() - began)
        watch.cancel()
    return share, statistics.quantiles(late, n=100)[98], max(late)


async def open_long(messages: int) -> tuple[float, float]:
    """Milliseconds, and those of CPU, from the call to the last turn in view."""
    app = app_over(Speaking([], messages))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.5)
        used, began = cpu(), time.perf_counter()
        await app._chat.open("long")
        await pilot.pause()
        return (time.perf_counter() - began) * 1000, (cpu() - used) * 1000


class Pty:
    """A program in a pseudo-terminal of 120 columns and 40 lines."""

    def __init__(self, argv: list[str], environ: Mapping[str, str]) -> None:
        self._screen, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.began = time.perf_counter()
        self.child = subprocess.Popen(argv, stdin=inside, stdout=inside, stderr=inside, env=environ)
        os.close(inside)

    def wait_for(self, text: str) -> float:
        """Seconds since the start, or since the last key, until a text is written."""
        seen = b""
        while text.encode() not in seen:
            if not select.select([self._screen], [], [], 30)[0]:
                raise TimeoutError(f"{text} does not come after {seen[-2000:]!r}")
            seen += os.read(self._screen, 65536)
        return time.perf_counter() - self.began

    def press(self, keys: str) -> None:
        self.began = time.perf_counter()
        os.write(self._screen, keys.encode())

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()
        os.close(self._screen)


EMPTY = """
from textual.app import App
from textual.widgets import TextArea
class Peer(App[None]):
    def compose(self):
        yield TextArea("Ask your files")
Peer().run()
"""
SCRIPT = "from localmind.__main__ import main; main()"
"""What the command that pip installs does."""
OURS = """
import sys
sys.path.insert(0, sys.argv[1])
import tui_stream
tui_stream.app_over(tui_stream.Speaking([])).run()
"""


def environment(home: str) -> dict[str, str]:
    """Modules are compiled once, as pip does when it installs them."""
    more = {"LOCALMIND_HOME": home, "TERM": "xterm-256color", "COLORTERM": "truecolor", "SSH_TTY": "none"}
    more["PYTHONPYCACHEPREFIX"] = f"{home}/compiled"
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | more


def first_paint(count: int = 12) -> tuple[float, float, float, float, float]:
    """Milliseconds and CPU milliseconds from the start of Python to the drawn question; ours, then the peer's, and the
    median of the quotients of CPU pair by pair, since a shared machine changes its speed between them.

    A socket that takes connections and never answers stands for the daemon: the picture must not wait for it.
    """
    ours = [sys.executable, "-P", "-c", SCRIPT, "chat"]
    peer = [sys.executable, "-P", "-c", EMPTY]
    took: dict[str, list[tuple[float, float]]] = {"ours": [], "peer": []}
    with tempfile.TemporaryDirectory() as home, socket.socket(socket.AF_UNIX) as silent:
        place = Paths.find({"LOCALMIND_HOME": home}).socket
        place.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        silent.bind(str(place))
        silent.listen(64)
        for number in range(count + 1):
            for name, argv in (("ours", ours), ("peer", peer)):
                used = cpu(resource.RUSAGE_CHILDREN)
                terminal = Pty(argv, environment(home))
                wall = terminal.wait_for("your files") * 1000  # the peer's cursor stands on its first letter
                terminal.kill()
                if number:  # the first one compiles
                    took[name].append((wall, (cpu(resource.RUSAGE_CHILDREN) - used) * 1000))
    walls = [statistics.median(wall for wall, _ in took[name]) for name in took]
    cpus = [statistics.median(used for _, used in took[name]) for name in took]
    pairs = [ours[1] / peer[1] for ours, peer in zip(took["ours"], took["peer"], strict=True)]
    return walls[0], cpus[0], walls[1], cpus[1], statistics.median(pairs)


def key_to_screen(count: int = 40) -> tuple[float, float]:
    """Median and 95th percentile of milliseconds from a key to its character, written to the terminal."""
    with tempfile.TemporaryDirectory() as home:
        terminal = Pty([sys.executable, "-P", "-c", OURS, os.path.dirname(__file__)], environment(home))
        terminal.wait_for("ready")
        took = []
        for number in range(count):
            key = chr(0x416 + number % 20)  # Cyrillic: in no escape sequence
            terminal.press(key)
            took.append(terminal.wait_for(key) * 1000)
        terminal.kill()
    return statistics.median(took), statistics.quantiles(took, n=20)[18]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=12.0)
    options.add_argument("--kind", choices=list(KINDS), action="append")
    chosen = options.parse_args()
    broken: list[str] = []

    def held(what: str, value: float, limit: float) -> None:
        if value > limit:
            broken.append(f"{what}: {value:.2f} and not {limit}")

    for kind in chosen.kind or KINDS:
        share, late, worst = asyncio.run(stream(kind, chosen.seconds))
        peer_share, peer_late, peer_worst = asyncio.run(peer_stream(kind, chosen.seconds))
        held(f"{kind}, share of a core", share, LIMIT_CORE)
        held(f"{kind}, loop late p99 in ms", late, LIMIT_LATE_MS)
        print(
            f"{kind:<12} {share:5.3f} of a core   loop late p99 {late:5.1f} ms, worst {worst:5.0f} ms"
            f"   MarkdownStream: {peer_share:5.3f}, {peer_late:5.1f} ms, {peer_worst:5.0f} ms",
            flush=True,
        )
    wall, used, peer_wall, peer_used, quotient = first_paint()
    held("first picture in ms", wall, LIMIT_PAINT_MS)
    print(
        f"first picture {wall:.0f} ms, CPU {used:.0f} ms   one text field: {peer_wall:.0f} ms, CPU {peer_used:.0f} ms"
        f"   {quotient:.2f} times"
    )
    opened, opened_cpu = asyncio.run(open_long(5000))
    held("thread of 5,000 messages in ms", opened, LIMIT_OPEN_MS)
    print(f"thread of 5,000 messages open in {opened:.0f} ms, CPU {opened_cpu:.0f} ms")
    median, slow = key_to_screen()
    held("key to screen in ms, p95", slow, LIMIT_KEY_MS)
    print(f"key to screen {median:.1f} ms, p95 {slow:.1f} ms")
    for each in broken:
        print(f"limit broken: {each}", file=sys.stderr)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
