"""SQLite files as tests look into them: closed behind the block, which `with sqlite3.connect()` does not do."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """Committed at the end of the block, undone when it fails, and closed."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        yield db
