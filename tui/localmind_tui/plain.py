"""The conversation as plain lines: no colours, no cursor movement, nothing drawn twice.

For screen readers, for dumb terminals and for those who like it. Answers are the daemon's here as well: Ctrl+C stops
one and keeps its text, and leaving ends none.
"""

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from typing import Any

from localmind.clean import Cleaner, clean, clean_line
from localmind.endings import CUT
from localmind.errors import DaemonUnreachable, LocalmindError, NotFound
from localmind.events import Done, Event, Failed, Passage, Progress, Sources, TextDelta
from localmind.paths import typed_path
from localmind_tui import format, versions
from localmind_tui.completion import pasted_path
from localmind_tui.daemon import Daemon
from localmind_tui.pictures import for_daemon, picture_at, with_picture
from localmind_tui.remembered import Picture

HELP = """\
/new             begin a new thread
/threads         the threads used last; /open NUMBER goes to one
/search WORDS    find anything ever said
/files, /chat    ask your files, or the model alone
/image PATH      show an image with the next question, to a model that sees
/again           write another answer to the last question
/quit            leave (or Ctrl+D)
Ctrl+C stops an answer and keeps its text. A line that ends with \\ goes on."""


class Plain:
    """One conversation on stdin and stdout."""

    def __init__(
        self, daemon: Daemon, *, folder: str | None, model: str | None, thread: str | None, goes_on: bool = False
    ) -> None:
        self._daemon = daemon
        self._folder, self._model, self._thread = folder, model, thread
        self._goes_on = goes_on
        self._mode: str | None = None
        self._answer: int | None = None
        self._listed: list[str] = []
        self._pictures: tuple[Picture, ...] = ()
        self._version = ""  # of the daemon

    async def run(self) -> int:
        await self._daemon.ensure()
        say("localmind. Ask your files; /help says what else can be done.")
        await self._tell_version()
        await self._open_first()
        while (line := await asyncio.to_thread(read)) is not None:
            if not line.strip():
                continue
            try:
                await self._ensure()
                if not line.startswith("/"):
                    await self._ask(line)
                elif not await self._command(*line[1:].split(" ", 1)):
                    return 0
            except LocalmindError as problem:
                say(format.failure(problem))
        return 0

    async def _ensure(self) -> None:
        await self._daemon.ensure()
        await self._tell_version()

    async def _tell_version(self) -> None:
        """That the daemon is another version, once."""
        with contextlib.suppress(LocalmindError):  # what cannot be asked now is told by what is asked next
            before, self._version = self._version, str((await self._daemon.status()).get("version") or "")
            if words := versions.news(self._version, before):
                say(words)

    async def _open_first(self) -> None:
        """What was said in the thread that somebody asked for."""
        if self._goes_on:
            newest = (await self._daemon.get("/threads", limit=1))["threads"]
            self._thread = newest[0]["id"] if newest else None
        if self._thread is not None:
            await self._open(self._thread)

    async def _command(self, name: str, rest: str = "") -> bool:
        match name:
            case "quit" | "q":
                return False
            case "new":
                self._thread = None
                say("A new thread.")
            case "files" | "chat":
                self._mode = name
                say("Asking your files." if name == "files" else "Chat, without your files.")
            case "threads":
                self._list((await self._daemon.get("/threads", limit=20))["threads"])
            case "search":
                hits = (await self._daemon.get("/threads/search", q=rest, limit=20))["hits"]
                self._list([hit["thread"] | {"hit": "".join(text for text, _ in hit["snippet"])} for hit in hits])
            case "open":
                await self._open(rest.strip())
            case "image":
                given = rest.strip()
                picture = await asyncio.to_thread(picture_at, pasted_path(given) or typed_path(given))
                self._pictures = with_picture(self._pictures, picture)
                say(f"With the next question: {picture.words}")
            case "again":
                if self._answer is not None:
                    begun = await self._daemon.post(f"/messages/{self._answer}/again", {"model": self._model})
                    await self._show(begun["messages"][-1]["id"])
            case _:
                say(HELP)
        return True

    async def _ask(self, question: str) -> None:
        begun = await self._daemon.begin(
            question,
            thread=self._thread,
            mode=self._mode,
            folder=self._folder,
            model=self._model,
            images=await asyncio.to_thread(for_daemon, self._pictures),
        )
        self._pictures = ()
        self._mode = None if self._mode == "files" else self._mode  # from then on the thread says it
        self._thread = begun["thread"]["id"]
        await self._show(begun["messages"][-1]["id"])

    async def _open(self, wanted: str) -> None:
        known = wanted.isdigit() and 0 < int(wanted) <= len(self._listed)
        found = await self._daemon.get(f"/threads/{self._listed[int(wanted) - 1] if known else wanted}", limit=10)
        self._thread = found["thread"]["id"]
        for message in found["messages"]:
            say(f"{'You' if message['role'] == 'user' else 'Answer'}: {clean(message['content'])}")
            say_cut(message["finish_reason"])
            if message["state"] == "streaming":
                await self._show(message["id"])

    async def _show(self, message: int) -> None:
        """Read an answer aloud as it comes; Ctrl+C stops it in the daemon."""
        self._answer = message
        reading = asyncio.ensure_future(self._read(message))
        with interrupting(reading):
            try:
                await reading
            except asyncio.CancelledError:
                await self._daemon.post(f"/messages/{message}/stop")
                say("\nStopped.")

    async def _read(self, message: int) -> None:
        """To its end, across a daemon that goes away: another is started, and tells the rest."""
        told = _Told()
        while True:
            try:
                async for place, event in self._daemon.follow(message, told.position):
                    told.take(place, event)
                return
            except DaemonUnreachable:
                say("\nThe daemon went away; another is started, and this goes on.")
                await self._ensure()
            except NotFound:  # it ended with that daemon
                (*_, answer) = (await self._daemon.get(f"/messages/{message}"))["messages"]
                told.settle(answer)
                return

    def _list(self, threads: list[dict[str, Any]]) -> None:
        self._listed = [str(thread["id"]) for thread in threads]
        for number, thread in enumerate(threads, start=1):
            found = f": {clean_line(thread['hit'])}" if "hit" in thread else ""
            say(f"{number}. {clean_line(thread['title'])}{found}")
        if not threads:
            say("Nothing.")


class _Told:
    """What of an answer has been written out."""

    def __init__(self) -> None:
        self.position = 0
        self._text = ""
        self._cleaner = Cleaner()
        self._passages: tuple[Passage, ...] = ()

    def take(self, position: int, event: Event) -> None:
        """Raises LocalmindError when the answer failed."""
        self.position = position
        match event:
            case TextDelta(text):
                self._text += text
                write(self._cleaner.feed(text))
            case Sources(found):
                self._passages = found
            case Progress():
                say(format.progress(event))
            case Failed():
                write("\n")
                raise event.exception()
            case Done():
                write(self._cleaner.end() + "\n")
                for passage in self._passages:
                    say(f"Source {passage.number}: {format.place(passage, ())}")
                say_cut(event.finish_reason)

    def settle(self, stored: Mapping[str, Any]) -> None:
        """The answer as the daemon keeps it, from where it was told to."""
        content = str(stored["content"])
        say(clean(content.removeprefix(self._text)) + self._cleaner.end())
        if stored["error"]:
            say(clean(str(stored["error"])))
        say_cut(stored["finish_reason"])


async def converse(
    daemon: Daemon, *, folder: str | None, model: str | None, thread: str | None, goes_on: bool = False
) -> int:
    """Run until the user leaves."""
    try:
        return await Plain(daemon, folder=folder, model=model, thread=thread, goes_on=goes_on).run()
    except KeyboardInterrupt:
        return 130
    finally:
        await daemon.close()


@contextlib.contextmanager
def interrupting(task: "asyncio.Future[None]") -> Any:
    """Ctrl+C cancels `task` and nothing else."""
    import signal

    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, task.cancel)
    except (NotImplementedError, RuntimeError):  # Windows, or not the main thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def read() -> str | None:
    """A question, over several lines while they end with a backslash; None at the end of the input."""
    lines: list[str] = []
    while True:
        try:
            line = input("You: " if not lines else "")
        except (EOFError, KeyboardInterrupt):
            return None
        if not line.endswith("\\"):
            return "\n".join([*lines, line])
        lines.append(line[:-1])


def say_cut(reason: str | None) -> None:
    """That an answer was cut short, and what to do where that is not plain."""
    if reason in CUT:
        say(f"The answer was {CUT[reason]}.")
    if reason == "repetition":
        say("/again writes another; localmind chat --plain -m NAME asks another model.")


def say(text: str) -> None:
    write(text + "\n")


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
