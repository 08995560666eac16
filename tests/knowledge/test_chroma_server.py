"""`knowledge.chroma_url`: a real Chroma server on loopback instead of files; it may go and come back."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from knowledge_fakes import Household, eventually
from ports import reserved_port

from localmind.knowledge import embedding
from localmind.knowledge.vector_index import Server
from localmind.workers.supervisor import Supervisor, launcher


@asynccontextmanager
async def chroma(directory: Path, port: int) -> AsyncIterator[None]:
    """The server of the chromadb package, until the block ends: then it is killed."""
    command = str(Path(sys.executable).with_name("chroma"))
    process = await asyncio.create_subprocess_exec(
        *[command, "run", "--path", str(directory), "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    async def listens() -> bool:
        assert process.returncode is None, "the server ended"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    try:
        await eventually(listens)
        yield
    finally:
        process.kill()
        await process.wait()


def held(port: int) -> dict[str, int]:
    """Collections on the server, with their counts."""
    base = f"http://127.0.0.1:{port}/api/v2/tenants/default_tenant/databases/default_database/collections"

    def ask(path: str) -> Any:
        with urllib.request.urlopen(base + path, timeout=120) as reply:
            return json.load(reply)

    return {one["name"]: ask(f"/{one['id']}/count") for one in ask("")}


async def test_a_server_holds_the_vectors_may_go_and_come_back_and_is_left_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "REST_S", 0.3)
    port = reserved_port()
    house = Household(tmp_path, server=Server(f"http://127.0.0.1:{port}", "secret"))
    worker = Supervisor("vectors", launcher("vectors", "vectors"), lifted_after_s=1.0)
    house.vectors = worker  # type: ignore[assignment]

    async def filled() -> bool:
        return house.knowledge._vectors.ready(1) and (await house.status()).vectors_pending == 0

    for number in range(30):
        house.put(f"{number}.md", f"File {number} speaks of plum{number} and quince{number * 7}\n")
    async with chroma(tmp_path / "server", port):
        await house.fresh().start()
        await house.knowledge.add_folder(house.folder)
        await eventually(filled)
        [(name, count)] = (await asyncio.to_thread(held, port)).items()
        assert name.startswith("localmind-")
        assert count == 30
        assert (await house.found("plum7 quince49"))[0] == "7.md"
    assert not list((tmp_path / "state").rglob("*.bin"))

    assert (await house.found("plum7 quince49"))[0] == "7.md", "SQLite answers while the server is away"
    house.put("new.md", "The kumquat arrived in the harbour.\n")

    async def by_keyword() -> bool:
        return await house.found("kumquat") == ["new.md"]

    await eventually(by_keyword)
    async with chroma(tmp_path / "server", port):
        await eventually(filled)
        assert list((await asyncio.to_thread(held, port)).values()) == [31]
        await house.knowledge.remove_folder(house.folder)
        assert await asyncio.to_thread(held, port) == {}
        await house.knowledge.close()
    await worker.stop()
