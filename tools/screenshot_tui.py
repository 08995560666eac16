"""Writes docs/tui.svg, the picture of the terminal app in the documentation.

Without an option the conversation is replayed from a real one, so that the picture needs no model. With `--real`
it is had with the running daemon, which has to watch samples/ already (`make demo` sees to that).

    python tools/screenshot_tui.py [--real] [--out FILE] [--size 120x34]
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from textual.pilot import Pilot

from localmind.errors import NotFound
from localmind.events import Done, Event, Passage, Sources, TextDelta
from localmind.messages import Timings, Usage
from localmind_tui.app import LocalmindApp
from localmind_tui.daemon import Daemon
from localmind_tui.widgets.composer import Composer
from localmind_tui.widgets.transcript import Transcript

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"


def passage(
    number: int, name: str, lines: tuple[int, int], heading: str | None = None, page: int | None = None
) -> Passage:
    return Passage(number, str(SAMPLES / name), *lines, None, heading, "", 0.6)


# What SmolLM2-135M really said, word for word, on two busy cores on 22 November 2026.
RECORDED: dict[str, tuple[str, tuple[Passage, ...], Done]] = {
    "When was the boiler last serviced?": (
        "The boiler was last serviced on 9 October 2026 by Marek Dudek of Dudek Heating.",
        (passage(1, "home/boiler.md", (1, 22), "The boiler"),),
        Done("stop", Usage(957, 26), Timings(0, 11_700, 1000)),
    ),
    "Where was the swarm found?": (
        "The swarm was found in the plum tree of the Hartl sawmill.",
        (passage(1, "hive-scale/notes/meeting-2026-09-17.md", (1, 12), "Meeting of 17 September 2026"),),
        Done("stop", Usage(1210, 16), Timings(0, 15_200, 615)),
    ),
    "What is the licence plate of our car?": ("That is not in your files.", (), Done()),
}


class Recording:
    """Gives the recorded answers, as a `Daemon`."""

    def __init__(self) -> None:
        self._asked: list[str] = []

    async def ensure(self) -> None:
        """It is always there."""

    async def status(self) -> dict[str, Any]:
        return {
            "models": [{"model": "smollm2:135m", "state": "loaded", "load": {"n_ctx_seq": 8192}}],
            "folders": [{"path": str(SAMPLES), "files": 29, "state": "ready"}],
        }

    async def get(self, path: str, /, **query: Any) -> Any:
        if path == "/threads":
            titles = [*self._asked[:1], "Minutes of the hive meeting", "Insurance of the van"]
            return {"threads": [{"id": str(n), "title": title} for n, title in enumerate(titles)]}
        raise NotFound(f"nothing was recorded of {path}")

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        raise NotFound(f"nothing was recorded of {path}")

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        raise NotFound(f"nothing was recorded of {path}")

    async def delete(self, path: str, /, **query: Any) -> Any:
        raise NotFound(f"nothing was recorded of {path}")

    async def text(self, path: str, /, **query: Any) -> str:
        raise NotFound(f"nothing was recorded of {path}")

    async def begin(self, question: str, **more: Any) -> dict[str, Any]:
        self._asked.append(question)
        turn = len(self._asked)
        messages = [
            {"id": 2 * turn, "turn": turn, "role": "user", "content": question},
            {"id": 2 * turn + 1, "turn": turn, "role": "assistant", "content": "", "state": "streaming"},
        ]
        return {"thread": {"id": "0", "title": self._asked[0]}, "messages": messages}

    async def follow(self, message_id: int, after: int = 0) -> AsyncIterator[tuple[int, Event]]:
        answer, passages, done = RECORDED[self._asked[message_id // 2 - 1]]
        events = [Sources(passages), *(TextDelta(word + " ") for word in answer.split(" ")), done]
        for position, event in enumerate(events, start=1):
            yield position, msgspec.structs.replace(event)

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[Event]:
        yield Done()

    async def close(self) -> None:
        """Nothing is open."""


async def converse(pilot: Pilot[None], questions: Sequence[str]) -> None:
    """Ask one question after the other, each when the one before is answered."""
    transcript = pilot.app.screen.query_one(Transcript)
    for number, question in enumerate(questions, start=1):
        pilot.app.screen.query_one(Composer).insert(question)
        await pilot.press("enter")
        while len(transcript.turns) < number or transcript.turns[-1].state == "streaming":
            await pilot.pause(0.02)


async def picture(client: Daemon, questions: Sequence[str], size: tuple[int, int]) -> str:
    """The SVG of the app after these questions."""
    app = LocalmindApp(client, environ={"COLORTERM": "truecolor"})
    app.desk.memory.now.greeted = True
    async with app.run_test(size=size) as pilot:
        app.screen.query_one(Composer).cursor_blink = False
        await pilot.pause(0.3)
        await converse(pilot, questions)
        await pilot.pause(0.3)
        return app.export_screenshot(title="localmind chat")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--real", action="store_true", help="talk to the running daemon")
    options.add_argument("--out", type=Path, default=ROOT / "docs" / "tui.svg")
    options.add_argument("--size", default="120x34")
    options.add_argument("questions", nargs="*", default=list(RECORDED))
    chosen = options.parse_args()
    client: Daemon = Recording()
    if chosen.real:
        from localmind.client import AsyncClient
        from localmind.paths import Paths

        client = AsyncClient(Paths.find())
    width, height = (int(part) for part in chosen.size.split("x"))
    svg = asyncio.run(picture(client, chosen.questions, (width, height)))
    # The paths of whoever takes the picture are nobody's business.
    chosen.out.write_text(svg.replace(str(ROOT), "~"), encoding="utf-8")
    print(chosen.out)


if __name__ == "__main__":
    main()
