"""`localmind ask -a` from the file to a server whose model sees, over a real daemon: sent, kept, exported, refused."""

import asyncio
import base64
import json
import subprocess
import sys
from pathlib import Path

from conftest_e2e import PATIENCE_S, end, new_home
from images_made import gif, png
from remote_server import FakeRemote, delta, serving, sse

TEXT = sse(delta(role="assistant", content="A meter at "), delta(content="4711."), delta("stop"))
LISTED = {
    "data": [{"id": "eye"}, {"id": "blind"}],
    "models": [{"name": "eye", "capabilities": ["completion", "multimodal"]}],  # as llama-server says it
}


def sent(remote: FakeRemote) -> list[str]:
    """The addresses of the images of the last request."""
    content = remote.seen[-1].body["messages"][-1]["content"]
    return [part["image_url"]["url"] for part in content if part["type"] == "image_url"]


def url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


async def test_an_image_is_asked_about_kept_exported_and_gone_on_with(tmp_path: Path) -> None:
    home = new_home(tmp_path, None)
    home.paths.config.mkdir(parents=True)
    (tmp_path / "a meter.png").write_bytes(png(640, 480))
    (tmp_path / "b.gif").write_bytes(gif())
    async with serving(FakeRemote(pieces=[TEXT], listed=LISTED)) as remote:
        home.paths.settings_file.write_text(f'[remotes.box]\nurl = "{remote.url}"\n')
        try:
            await asyncio.to_thread(home.start)

            async def run(*words: str) -> "subprocess.CompletedProcess[str]":
                return await asyncio.to_thread(home.cli, *words)

            asked = await run("ask", "-m", "box/eye", "-a", "*.png", "-a", "b.gif", "--json", "What is it?")
            assert asked.returncode == 0, asked.stderr
            answer = json.loads(asked.stdout)
            assert answer["answer"] == "A meter at 4711."
            assert sent(remote) == [url("png", png(640, 480)), url("gif", gif())]
            assert "leaves this machine" in asked.stderr

            more = await run("ask", "--thread", answer["thread"], "-m", "box/eye", "--chat", "And the date?")
            assert more.returncode == 0, more.stderr
            first = remote.seen[-1].body["messages"][0]["content"]
            assert [part["type"] for part in first] == ["image_url", "image_url", "text"]

            requests = len(remote.seen)
            blind = await run("ask", "-m", "box/blind", "-a", "b.gif", "What is it?")
            assert (blind.returncode, "box/blind may not see images" in blind.stderr) == (2, True)
            assert 'hint: if it does: sees = ["blind"] under [remotes.box]' in blind.stderr
            assert all(each.path == "/v1/models" for each in remote.seen[requests:])
            assert len(json.loads((await run("threads", "list", "--json")).stdout)["threads"]) == 1

            with (tmp_path / "b.gif").open("rb") as piped:
                through = await asyncio.to_thread(
                    subprocess.run,
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "localmind",
                        *("ask", "--no-log", "-m", "box/eye", "-a", "-", "This?"),
                    ],
                    env=home.environment,
                    stdin=piped,
                    capture_output=True,
                    text=True,
                    timeout=PATIENCE_S,
                )
            assert through.returncode == 0, through.stderr
            assert sent(remote) == [url("gif", gif())]

            shown = (await run("threads", "show", answer["thread"])).stdout
            assert "> with the image a meter.png, PNG 640×480, " in shown
            assert "sees images" in (await run("models", "list")).stdout
            written = (await run("threads", "export", answer["thread"])).stdout
            assert f"![a meter.png]({url('png', png(640, 480))})" in written
            exported = json.loads((await run("threads", "export", "--json", answer["thread"])).stdout)
            assert base64.b64decode(exported["messages"][0]["images"][1]["data"]) == gif()
        finally:
            end(home)
