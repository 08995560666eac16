"""Starting the daemon as a command, when none answers. Nothing here imports the daemon's code."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from localmind.client.blocking import Client
from localmind.errors import DaemonUnreachable, TimedOut
from localmind.paths import Paths, private_dir

START_TIMEOUT_S = 60.0
"""A daemon is up in under 1.5 s; a cold disk, or a machine with much to do, gets this long before we show its log."""


def ensure_daemon(paths: Paths, *, progress: Callable[[str], None] = lambda text: None) -> Client:
    """A client of a daemon that answers; starts one if need be, telling `progress` what it does.

    Two commands that start at once start one daemon. Raises DaemonUnreachable with the end of the
    daemon's log when it does not come up in time.
    """
    client = Client(paths)
    if client.healthy():
        return client
    import filelock  # only when a daemon must be started

    private_dir(paths.data)
    lock = filelock.FileLock(paths.spawn_lock_file)
    try:
        with lock.acquire(timeout=START_TIMEOUT_S):
            if not client.healthy():
                progress("starting the localmind daemon")
                _wait_until_healthy(client, paths, _spawn(paths))
    except filelock.Timeout as problem:
        raise TimedOut("another command has been starting the daemon for too long", hint="localmind serve") from problem
    return client


def _spawn(paths: Paths) -> "subprocess.Popen[bytes]":
    private_dir(paths.logs)
    with open(paths.logs / "daemon.start.log", "wb") as log:
        return subprocess.Popen(
            # -P: the current directory may hold a file named like a module of ours.
            [sys.executable, "-P", "-m", "localmind", "serve", "--background"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=Path.home() if Path.home().is_dir() else "/",
            start_new_session=True,
        )


def _wait_until_healthy(client: Client, paths: Paths, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if client.healthy():
            process.returncode = 0  # it is meant to outlive us: no warning about a child left running
            return
        try:
            process.wait(timeout=0.03)
        except subprocess.TimeoutExpired:
            continue
        break
    said = (paths.logs / "daemon.start.log").read_text("utf-8", "replace").strip()
    if process.returncode is None:
        raise DaemonUnreachable(f"the daemon did not come up in {START_TIMEOUT_S:.0f} s", hint=f"see {paths.logs}")
    if said.startswith("error: "):  # our own words: message, then hint
        message, _, hint = said.removeprefix("error: ").partition("\nhint: ")
        raise DaemonUnreachable(f"the daemon did not start: {message.strip()}", hint=hint.strip() or None)
    raise DaemonUnreachable(
        f"the daemon ended at once with exit code {process.returncode}: {said[-800:]}", hint="localmind serve shows why"
    )
