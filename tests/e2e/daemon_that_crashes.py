"""The daemon with the workers of crashing_worker.py; started by tests in place of `localmind serve`."""

import sys
from pathlib import Path

from localmind.daemon.run import run
from localmind.paths import Paths

run(
    Paths.find(),
    background=True,
    port=int(sys.argv[1]),
    worker_command=[sys.executable, str(Path(__file__).with_name("crashing_worker.py"))],
)
