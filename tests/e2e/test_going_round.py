"""An answer that goes round in circles, from a model to its reader: ended by a real daemon, and told."""

import asyncio
import json
from pathlib import Path

from conftest_e2e import PATIENCE_S, end, new_home
from remote_server import FakeRemote, delta, serving, sse

SAID = "She represents herself. "
ROUND = sse(*[delta(content=SAID)] * 400)
TOLD = "ended here, since it was repeating itself"


async def test_an_answer_in_circles_is_given_up_kept_and_told(tmp_path: Path) -> None:
    """Whether a small model goes round is for the floats of its host, so this one is scripted, and never ends."""
    home = new_home(tmp_path, None)
    home.paths.config.mkdir(parents=True)
    remote = FakeRemote(pieces=[ROUND, ROUND], listed={"data": [{"id": "bee"}]}, hold=asyncio.Event())
    async with serving(remote):
        home.paths.settings_file.write_text(f'[remotes.box]\nurl = "{remote.url}"\n')
        try:
            await asyncio.to_thread(home.start)
            asked = await asyncio.to_thread(home.cli, "ask", "-m", "box/bee", "--chat", "--json", "Tell of a bee.")
            assert asked.returncode == 0, asked.stderr
            assert f"the answer was {TOLD}\nhint: ask again" in asked.stderr
            said = json.loads(asked.stdout)
            assert (said["finish_reason"], said["answer"]) == ("repetition", SAID * 250)
            await asyncio.wait_for(remote.hung_up.wait(), PATIENCE_S)
            with home.client() as client:
                found = await asyncio.to_thread(client.get, f"/threads/{said['thread']}")
                text = await asyncio.to_thread(client.text, f"/threads/{said['thread']}/export")
            kept = found["messages"][-1]
            assert (kept["content"], kept["state"], kept["finish_reason"]) == (said["answer"], "done", "repetition")
            assert f"*{TOLD}*" in text
        finally:
            await asyncio.to_thread(end, home)
