"""How errors end a command: message and hint on stderr, the exit code from the one table."""

import contextlib
import os
import sys
from collections.abc import Iterator

from localmind.errors import LocalmindError, row

INTERRUPTED = 130


@contextlib.contextmanager
def reporting() -> Iterator[None]:
    """Report what the block raises, and exit. A closed pipe (`| head`) is a quiet end."""
    try:
        yield
        sys.stdout.flush()
    except LocalmindError as problem:
        sys.stderr.write(f"error: {problem.message}\n")
        if problem.hint:
            sys.stderr.write(f"hint: {problem.hint}\n")
        sys.exit(row(problem).exit)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Python would complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
