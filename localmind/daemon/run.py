"""`localmind serve`: put the parts together, serve until a signal, and take them apart in the right order.

At the end streams get their last event first, then connections close, then workers, then databases.
A second signal skips the waiting. Everything that can be wrong with the surroundings (lock, settings,
port, permissions) is found before the first connection is taken.
"""

import asyncio
import contextlib
import functools
import gc
import logging
import logging.handlers
import os
import socket
import sys
from collections.abc import Callable, Sequence

from localmind.api.app import create_app
from localmind.api.backend import SecondPort
from localmind.api.security import Gatekeeper, read_or_make_token
from localmind.daemon.core import Core
from localmind.daemon.lock import only_daemon
from localmind.daemon.server import Server
from localmind.daemon.signals import on_stop
from localmind.daemon.sockets import names_of, other_listeners, tcp_listeners, unix_listener
from localmind.errors import PermissionRefused, PortTaken
from localmind.paths import Paths, private_dir, write_atomic
from localmind.settings import Settings

LOG_BYTES = 10 * 1024 * 1024
LOGS_KEPT = 5
STOP_S = 30.0
"""For streams, jobs, workers and databases to end; each has shorter limits of its own."""

log = logging.getLogger("localmind.daemon")


def run(
    paths: Paths,
    *,
    background: bool = False,
    port: int | None = None,
    ollama_port: int | None = None,
    worker_command: Sequence[str] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Raises LocalmindError for whatever prevents the start.

    In the background a taken TCP port is no reason to fail: the command line uses the unix socket,
    and `localmind status` says what editors miss. A taken second port never is one.
    """
    settings = Settings.load(paths)
    port = port if port is not None else settings.port
    _start_logging(paths, background)
    with only_daemon(paths), contextlib.ExitStack() as closing:
        listeners: list[socket.socket] = []
        if hasattr(socket, "AF_UNIX"):
            listeners.append(unix_listener(paths.socket))
            closing.callback(paths.socket.unlink, missing_ok=True)
        tcp_problem = None
        if settings.tcp:
            try:
                listeners += tcp_listeners(port)
                write_atomic(private_dir(paths.run) / paths.port_file.name, f"{port}\n".encode())
                closing.callback(paths.port_file.unlink, missing_ok=True)
            except PortTaken as problem:
                if not background or not listeners:
                    raise
                tcp_problem = problem.message
                log.warning("%s; editors cannot reach this daemon", problem.message)
        second, more = _second_port(ollama_port or settings.ollama_port, port, tcp=settings.tcp)
        listeners += more
        token = read_or_make_token(paths.token_file)
        also = second.port if second is not None and more else None
        names = names_of(settings.listen, settings.allowed_hosts)
        if settings.listen:
            listeners += other_listeners(settings.listen, port)
            log.warning("other machines can reach this daemon on %s; they need the token", ", ".join(settings.listen))
        keeper = Gatekeeper(port, token, frozenset(settings.allowed_origins), also, names)
        core = functools.partial(
            Core, paths, settings, port=port, tcp_problem=tcp_problem, second=second, worker_command=worker_command
        )
        asyncio.run(_serve(core, keeper, listeners, announce=not background))


def _second_port(wanted: int | None, port: int, *, tcp: bool) -> tuple[SecondPort | None, list[socket.socket]]:
    """What programs that look for Ollama can reach us on, and its sockets; without them the problem says why."""
    if wanted is None or wanted == port or not tcp:
        return None, []
    try:
        return SecondPort(wanted, None), tcp_listeners(wanted)
    except (PortTaken, PermissionRefused) as problem:
        log.warning("%s; programs that look for Ollama there do not find localmind", problem.message)
        return SecondPort(wanted, problem.message), []


async def _serve(
    make_core: Callable[[], Core], keeper: Gatekeeper, listeners: list[socket.socket], *, announce: bool
) -> None:
    core = make_core()
    server = Server(create_app(core.backend, keeper), listeners)
    stopping: asyncio.Task[None] | None = None

    async def stop() -> None:
        try:
            async with asyncio.timeout(STOP_S):
                await core.stop()
        except TimeoutError:
            log.warning("something did not end within %.0f s", STOP_S)
        finally:
            server.stop()

    def on_signal() -> None:
        nonlocal stopping
        if stopping is not None:
            log.warning("second signal: leaving at once")
            os._exit(1)
        log.info("stopping")
        stopping = asyncio.create_task(stop())

    on_stop(asyncio.get_running_loop(), on_signal)
    await core.start()
    gc.freeze()  # modules and routes stay: a collection while tokens stream need not look through them
    log.info("serving port %d", keeper.port)
    if announce:
        also = f" and, as Ollama, http://127.0.0.1:{keeper.also}" if keeper.also else ""
        sys.stderr.write(f"localmind serves http://127.0.0.1:{keeper.port}/v1{also} (Ctrl-C stops it)\n")
    try:
        await server.run_until_stopped()
    finally:
        if stopping is None:
            stopping = asyncio.create_task(stop())
        await stopping
    log.info("stopped")


def _start_logging(paths: Paths, background: bool) -> None:
    """To a rotating file always, and to the terminal when there is one. Prompts and documents are never logged."""
    private_dir(paths.logs)
    handlers: list[logging.Handler] = [
        logging.handlers.RotatingFileHandler(
            paths.log_file, maxBytes=LOG_BYTES, backupCount=LOGS_KEPT, encoding="utf-8"
        )
    ]
    if not background:
        shown = logging.StreamHandler()
        shown.setLevel(logging.WARNING)
        handlers.append(shown)
    logging.basicConfig(level=logging.INFO, handlers=handlers, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "httpx2", "watchdog", "uvicorn.error", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
