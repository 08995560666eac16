"""The app in tmux over a real daemon and a real model: it answers, and nothing is lost by closing or killing."""

import importlib.util
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from conftest_e2e import Home, gone, wait_until

TOOL = Path(__file__).parents[2] / "tools" / "screenshot_tui.py"

spec = importlib.util.spec_from_file_location("screenshot_tui", TOOL)
assert spec is not None
assert spec.loader is not None
tool = importlib.util.module_from_spec(spec)
sys.modules["screenshot_tui"] = tool
spec.loader.exec_module(tool)


STORY = {"max_tokens": 200, "temperature": 0}
"""Some seconds of writing, the same each time. Left alone, one story in fifteen goes round in circles until 8,192
tokens are full; and how it ends is looked for on the screen, where Markdown's marks are not."""


def words(text: str) -> str:
    """Letters and figures alone: lines may be broken anywhere, and marks of Markdown are drawn."""
    return " ".join(re.findall(r"\w+", text))


def newest(home: Home) -> dict[str, Any]:
    """The last message of the thread used last, once there is one."""
    with home.client() as client:
        threads = client.get("/threads")["threads"]
        if not threads:
            return {}
        found = client.get(f"/threads/{threads[0]['id']}")
    return {**found["messages"][-1], "thread": threads[0]["id"]}


def test_a_question_to_the_samples_a_closed_terminal_a_signal_and_a_new_daemon(served: Home) -> None:
    assert shutil.which("tmux"), "apt-get install tmux"
    terminal = tool.Tmux(served.environment)
    try:
        terminal.start()
        terminal.wait_for("samples")
        terminal.ask("When was the boiler last serviced?")
        assert "Sources" in terminal.wait_for("boiler.md")
        picture = terminal.svg().replace("&#160;", " ")
        assert "localmind chat" in picture
        assert "boiler.md" in picture
        assert "#e0b36a" in picture.lower()  # our own accent reached the terminal

        # the window is closed in mid-answer; the daemon writes on
        first = newest(served)
        with served.client() as client:
            client.patch(f"/threads/{first['thread']}", {"options": STORY})
        terminal.press("C-t")
        terminal.wait_for("Chat, without your files")
        terminal.type("Tell a story of a bee and a boiler, in three sentences.")
        terminal.press("Enter")
        wait_until(
            lambda: (last := newest(served))["id"] != first["id"] and last["content"],
            "the first words",
            tool.PATIENCE_S,
        )
        terminal.close()
        ended = wait_until(
            lambda: (last := newest(served))["state"] == "done" and last, "the whole answer", tool.PATIENCE_S
        )

        # another terminal has all of it, and what is typed there survives a signal
        terminal.start("--thread", ended["thread"][:8])
        end = words(ended["content"])[-20:]
        terminal.wait_for(lambda shown: end in words(shown))
        terminal.type("half a thought")
        terminal.wait_for("half a thought")
        os.kill(terminal.app(), signal.SIGTERM)
        left = terminal.wait_for("LEFT 0")
        assert " icanon" in terminal.wait_for("icanon")
        assert "Traceback" not in left
        terminal.close()

        # and it survives a daemon that is stopped: the app starts another one, and shows what that one says
        terminal.start("--thread", ended["thread"][:8])
        terminal.wait_for("half a thought")
        assert served.stop() == 0
        with served.client() as client:
            wait_until(client.healthy, "the daemon that the app starts")
            client.patch(f"/threads/{ended['thread']}", {"title": "Told by the new one"})
        terminal.wait_for("Told by the new one")
        assert "half a thought" in terminal.screen()
        app = terminal.app()
        terminal.close()
        wait_until(lambda: gone(app), "the end of the app")  # or it would start a daemon once more
    finally:
        terminal.close()
