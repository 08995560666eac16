"""What the first picture of the app must not wait for. Times are for benchmarks/tui_stream.py; this holds structure."""

import json
import subprocess
import sys

APP = """
import asyncio, json, sys
from localmind_tui.app import LocalmindApp

class Silent:
    "A daemon that never answers."
    def __getattr__(self, name):
        async def call(*given, **more):
            await asyncio.Event().wait()
        return call
    async def close(self):
        pass

async def tell(pilot):
    await pilot.pause()
    screen = pilot.app.screen
    widgets = sorted({type(each).__name__ for each in screen.walk_children()})
    print(json.dumps([sorted(sys.modules), widgets, str(screen.query_one("Composer").border_title)]))
    pilot.app.exit()

app = LocalmindApp(Silent(), environ={"COLORTERM": "truecolor"})
app.run(headless=True, size=(120, 40), auto_pilot=tell)
"""

LATER = {
    *(f"localmind_tui.{name}" for name in ("commands", "completion", "pictures", "said", "following", "attaching")),
    *(
        f"localmind_tui.{name}"
        for name in ("editor", "exporting", "clipboard", "prose", "pulling", "room", "plain", "outgoing")
    ),
    *(f"localmind_tui.widgets.{name}" for name in ("turn", "stream", "thoughts", "sources", "document", "pictures")),
    *(f"localmind_tui.widgets.{name}" for name in ("passages", "dictation", "completions")),
    *(f"localmind_tui.screens.{name}" for name in ("models", "folders", "threads", "help", "first_run", "asking")),
    *("localmind.client", "localmind.images", "localmind.settings", "localmind.microphone", "localmind.templates"),
    *("httpx", "httpx2", "anyio", "click", "pydantic", "markdown_it", "pygments", "tomllib", "psutil", "numpy"),
}
"""Loaded when they are first wanted."""


def test_the_first_picture_loads_and_mounts_only_what_it_shows() -> None:
    ran = subprocess.run([sys.executable, "-c", APP], capture_output=True, text=True, timeout=120)
    line = next((line for line in ran.stdout.splitlines() if line.startswith("[[")), None)
    assert line is not None, ran.stdout + ran.stderr
    modules, widgets, title = json.loads(line)
    assert title == "Ask your files"
    assert LATER.isdisjoint(modules), sorted(LATER.intersection(modules))
    ours = {"Header", "Middle", "Sidebar", "Column", "Transcript", "Turns", "Static", "Composer", "KeyLine", "MicChip"}
    assert set(widgets) == ours | {"Horizontal", "ToastRack", "Tooltip"}
