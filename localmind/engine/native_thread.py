"""The thread that everything native runs on, from the load of a model to its last step.

It must be one: OpenMP keeps a team of helpers for every thread that ever computed, and once there are
more of them than cores, all stop spinning and sleep at each of the hundreds of barriers of a step.
A model loaded on one thread and stepped on another decoded a third slower (measured: 20 ms instead of
15 on two cores).
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


def waited(post: Callable[[Callable[[], None]], object], function: Callable[[], T]) -> T:
    """Run a function where `post` has things run, and wait for what it returns or raises."""
    future: Future[T] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as problem:  # whoever called must hear of it, whatever it is
            future.set_exception(problem)

    post(call)
    return future.result()


class NativeThread:
    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], T]) -> T:
        """Run a function there and wait for what it returns or raises."""
        return waited(self._calls.put, function)

    def post(self, function: Callable[[], None]) -> None:
        """Run a function there after all others. Nothing is waited for."""
        self._calls.put(function)

    def end_with(self, function: Callable[[], None]) -> None:
        """Run a last function; the thread ends with it. Nothing is waited for."""
        self._calls.put(function)
        self._calls.put(None)

    def join(self, timeout: float) -> bool:
        """Wait for its end. False if it still runs then."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
