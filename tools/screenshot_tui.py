"""Writes docs/tui.svg, the picture of the terminal app in the documentation.

Without an option the conversation is replayed from a real one, so that the picture needs no model. With `--real`
it is had with the running daemon, which has to watch samples/ already (`make demo` sees to that).

    python tools/screenshot_tui.py [--real] [--out FILE] [--size 100x30]
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from localmind.events import Done, Event, Passage, Sources, TextDelta
from localmind.messages import Message, Timings, Usage
from localmind_tui.app import LocalmindApp
from localmind_tui.assistant import Assistant
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
        Done("stop", Usage(0, 26), Timings(0, 11_700, 1000)),
    ),
    "Where was the swarm found?": (
        "The swarm was found in the plum tree of the Hartl sawmill.",
        (passage(1, "hive-scale/notes/meeting-2026-09-17.md", (1, 12), "Meeting of 17 September 2026"),),
        Done("stop", Usage(0, 16), Timings(0, 15_200, 615)),
    ),
    "What is the licence plate of our car?": ("That is not in your files.", (), Done()),
}


class Recording:
    """Gives the recorded answers, as an `Assistant`."""

    async def status(self) -> dict[str, Any]:
        return {
            "models": [{"model": "smollm2:135m", "state": "loaded"}],
            "folders": [{"path": str(SAMPLES), "files": 29, "state": "ready"}],
        }

    async def ask(
        self, question: str, *, folder: str | None = None, model: str | None = None, thread: str | None = None
    ) -> AsyncIterator[Event]:
        answer, passages, done = RECORDED[question]
        yield Sources(passages)
        for word in answer.split(" "):
            yield TextDelta(word + " ")
        yield done

    async def chat(self, messages: Sequence[Message], *, model: str | None = None) -> AsyncIterator[Event]:
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


async def picture(client: Assistant, questions: Sequence[str], size: tuple[int, int]) -> str:
    """The SVG of the app after these questions."""
    app = LocalmindApp(client)
    async with app.run_test(size=size) as pilot:
        app.screen.query_one(Composer).cursor_blink = False
        await converse(pilot, questions)
        await pilot.pause(0.2)
        return app.export_screenshot(title="localmind chat")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--real", action="store_true", help="talk to the running daemon")
    options.add_argument("--out", type=Path, default=ROOT / "docs" / "tui.svg")
    options.add_argument("--size", default="100x30")
    options.add_argument("questions", nargs="*", default=list(RECORDED))
    chosen = options.parse_args()
    client: Assistant = Recording()
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
