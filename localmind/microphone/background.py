"""A Capture for a program that must not block: its pieces as an async iterator, read by a thread of their own."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable

from localmind.errors import LocalmindError
from localmind.microphone.capture import Capture


async def in_background(
    capture: Capture, heard: Callable[[bytes], None] = lambda piece: None
) -> AsyncGenerator[bytes, None]:
    """The pieces of a capture, each shown to `heard` first, on the loop. Closes the capture at the end.

    Raises what the capture raises. `capture.close()` from anywhere ends it, which is how "stop" is said.
    """
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[bytes | LocalmindError | None] = asyncio.Queue()

    def put(value: bytes | LocalmindError | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(waiting.put_nowait, value)

    def read() -> None:
        try:
            for piece in capture.pieces():
                put(piece)
        except LocalmindError as problem:
            put(problem)
        finally:
            put(None)

    threading.Thread(target=read, name="microphone", daemon=True).start()
    try:
        while (value := await waiting.get()) is not None:
            if isinstance(value, LocalmindError):
                raise value
            heard(value)
            yield value
    finally:
        capture.close()
