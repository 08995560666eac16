"""What drawing an answer costs: 30 tokens a second of paragraphs, lists, tables and code into the whole app.

Prints, for each kind of text, the share of one core that the process used and how late the event loop ran, and
exits with 1 when a limit is broken: 0.15 of a core, and 50 ms for 99 of 100 looks at the loop. Also: the first
picture, a thread of 5,000 messages, and the time from a key to the screen.

    python benchmarks/tui_stream.py [--seconds 12] [--kind lists]
"""

import argparse
import asyncio
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from localmind.errors import NotFound
from localmind.events import Done, Event, TextDelta
from localmind_tui.app import LocalmindApp
from localmind_tui.widgets.composer import Composer
from localmind_tui.widgets.transcript import Transcript

RATE = 30
LIMIT_CORE = 0.15
LIMIT_LATE_MS = 50.0
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
            return {"thread": {"id": "long", "title": "A long thread"}, "start": start, "messages": said}
        raise NotFound(path)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        raise NotFound(path)

    patch = post

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


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
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


async def open_long(messages: int) -> float:
    """Milliseconds from the call to the last turn in view."""
    app = app_over(Speaking([], messages))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.5)
        began = time.perf_counter()
        await app._chat.open("long")
        await pilot.pause()
        return (time.perf_counter() - began) * 1000


async def key_to_screen(count: int = 40) -> float:
    """Median milliseconds from a key to a composer that has drawn it."""
    app = app_over(Speaking([]))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.5)
        took = []
        for _ in range(count):
            began = time.perf_counter()
            await pilot.press("x")
            took.append((time.perf_counter() - began) * 1000)
        return statistics.median(took)


def first_paint() -> float:
    """Milliseconds from the start of Python to a drawn screen, in a process of its own."""
    code = (
        "import os\n"
        "from localmind.paths import Paths\n"
        "from localmind.client import AsyncClient\n"
        "from localmind_tui.app import LocalmindApp\n"
        "LocalmindApp.on_ready = lambda self: os._exit(0)\n"  # a class below it would look for app.tcss elsewhere
        "LocalmindApp(AsyncClient(Paths.find())).run(headless=True)\n"
    )
    took = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=12.0)
    options.add_argument("--kind", choices=list(KINDS), action="append")
    chosen = options.parse_args()
    broken = False
    for kind in chosen.kind or KINDS:
        share, late, worst = asyncio.run(stream(kind, chosen.seconds))
        broken = broken or share > LIMIT_CORE or late > LIMIT_LATE_MS
        print(f"{kind:<12} {share:5.2f} of a core   loop late p99 {late:5.1f} ms, worst {worst:5.1f} ms", flush=True)
    print(f"first paint {first_paint():.0f} ms")
    print(f"thread of 5,000 messages open in {asyncio.run(open_long(5000)):.0f} ms")
    print(f"key to screen {asyncio.run(key_to_screen()):.1f} ms")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
