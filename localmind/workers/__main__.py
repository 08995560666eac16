"""Entry of a worker process: `python -m localmind.workers KIND SOCKET PARENT_PID`. Started by the supervisor only."""

import logging
import os
import sys

from localmind.workers.handing import received
from localmind.workers.kinds import create
from localmind.workers.runtime import prepare_process, serve


def main(arguments: list[str]) -> None:
    kind, handed, parent = arguments[0], arguments[1], int(arguments[2])
    prepare_process(parent)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=f"{kind}: %(message)s")
    serve(received(handed, sys.stdin.buffer), create(kind))
    # Native libraries may hang or crash in their destructors; nothing of ours is left to be saved here.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
