"""The stopwatch counts what passes, and not what a machine that stands still lets pass."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stopwatch import Stopwatch

WATCH = """
from stopwatch import Stopwatch
with Stopwatch() as watch:
    print("it runs", flush=True)
    input()
print(watch.seconds)
"""


def test_time_that_passes_is_counted() -> None:
    began = time.monotonic()
    with Stopwatch() as watch:
        while watch.seconds < 0.2:
            time.sleep(0.01)
    assert time.monotonic() - began >= 0.2


@pytest.mark.skipif(os.name != "posix", reason="processes are stopped by signals")
def test_a_process_that_is_stopped_does_not_age() -> None:
    command = [sys.executable, "-c", WATCH]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent, text=True
    ) as process:
        assert process.stdout is not None
        began = time.monotonic()
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.0)
        process.send_signal(signal.SIGCONT)
        seconds = float(process.communicate("\n")[0])
        assert seconds <= time.monotonic() - began - 0.9
