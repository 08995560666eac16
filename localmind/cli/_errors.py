"""How errors end a command: message and hint on stderr, the exit code from the one table."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

from click.exceptions import Abort

from localmind.errors import DiskFull, LocalmindError, row

INTERRUPTED = 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextlib.contextmanager
def reporting() -> Iterator[None]:
    """Report what the block raises, and exit. A closed pipe (`| head`) is a quiet end, a full disk is told, and who
    leaves a prompt has interrupted."""
    try:
        yield
        sys.stdout.flush()
    except LocalmindError as problem:
        sys.stderr.write(f"error: {problem.message}\n")
        if problem.hint:
            sys.stderr.write(f"hint: {problem.hint}\n")
        sys.exit(row(problem).exit)
    except (KeyboardInterrupt, Abort):
        sys.stderr.write("\ninterrupted\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _write_no_more()
        sys.exit(1)
    except OSError as problem:
        if problem.errno not in FULL:
            raise
        _write_no_more()
        what = problem.filename or "the output"
        sys.stderr.write(f"error: {what} cannot be written: {problem.strerror}\nhint: make room on that disk: df -h\n")
        sys.exit(row(DiskFull("")).exit)


def _write_no_more() -> None:
    """Python would complain again when it flushes stdout at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
