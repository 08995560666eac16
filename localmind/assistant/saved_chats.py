"""Saved chats as a watched folder, when the user asks for it: one Markdown file a thread, kept equal to the threads.

The index then treats them like any other folder: search cites the file and line, and what is deleted is forgotten
by the same ways. It owns the files of its directory, which hold copies and nothing else; whether they are
there is whether that directory is watched. A thread that is being answered is written when the answer is there.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from localmind.errors import LocalmindError
from localmind.knowledge.folders import Folder
from localmind.knowledge.knowledge import Knowledge
from localmind.store.export import as_markdown
from localmind.store.threads import Threads

LOOK_S = 1.0
"""Between two looks at whether a thread has changed, which costs nothing while none has."""
PAGE = 200

log = logging.getLogger("localmind.chats")


class SavedChats:
    """`directory` is made when chats are first wanted, and removed when they are not any more."""

    def __init__(self, threads: Threads, knowledge: Knowledge, directory: Path) -> None:
        self._threads = threads
        self._knowledge = knowledge
        self._seen = -1
        self._written: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self.directory = directory

    async def start(self) -> None:
        """After the index has started: go on where chats are watched."""
        if self._wanted(folder.path for folder in await self._knowledge.folders()):
            await self._look()
            self._follow()

    async def add(self) -> Folder:
        """Write down all threads and watch them."""
        await self._look()
        folder = await self._knowledge.add_folder(self.directory)
        self._follow()
        return folder

    async def remove(self) -> None:
        """Forget them in the index, and delete the copies. FolderNotFound when they are not watched."""
        await self._knowledge.remove_folder(self.directory)
        await self.close()
        await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)

    def again(self) -> None:
        """Something was taken out of threads without their being used: look at all of them once more."""
        self._written.clear()

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _wanted(self, paths: Iterable[str]) -> bool:
        return os.path.realpath(self.directory) in paths

    def _follow(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="saved chats")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look()
            except (LocalmindError, OSError) as error:
                log.warning("saved chats are written again later: %s", error)

    async def _look(self) -> None:
        async with self._turn:
            changes = self._threads.changes
            if changes != self._seen:
                await asyncio.to_thread(self.write)
                self._seen = changes

    def write(self) -> None:
        """Make the files say what the threads say. Blocking; a thread that was not used since is not read."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        names, offset = set[str](), 0
        while page := self._threads.recent(limit=PAGE, offset=offset):
            offset += len(page)
            for thread in page:
                names.add(f"{thread.id}.md")
                if self._written.get(thread.id) != thread.updated_at and self._write_one(thread.id):
                    self._written[thread.id] = thread.updated_at
        for entry in self.directory.iterdir():
            if entry.name not in names:
                entry.unlink(missing_ok=True)
                self._written.pop(entry.stem, None)

    def _write_one(self, thread_id: str) -> bool:
        """Whether all of it is written: an answer that is still being made comes later."""
        transcript = self._threads.get(thread_id)
        turns = tuple(turn for turn in transcript.turns if turn.answer is not None and turn.answer.state != "streaming")
        data = as_markdown(replace(transcript, turns=turns)).encode("utf-8", "replace")
        path = self.directory / f"{thread_id}.md"
        if not path.is_file() or path.read_bytes() != data:
            number, half = tempfile.mkstemp(dir=self.directory, prefix=".half-")
            with os.fdopen(number, "wb") as stream:
                stream.write(data)
            os.replace(half, path)
        return len(turns) == len(transcript.turns)
