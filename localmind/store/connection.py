"""How every SQLite database of localmind is opened, migrated and written.

It owns the pragmas, the numbered migrations and the transaction; it knows no table. A database that
a newer localmind wrote is refused, one that was not closed is checked, and a copy is kept before
each migration, because losing what a user typed is the one thing we may not do.
"""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from localmind.errors import DiskFull, PermissionRefused, StoreBroken, StoreTooNew
from localmind.paths import private_dir

BUSY_TIMEOUT_MS = 5000
BACKUPS_KEPT = 3
LEAST_ROOM = 1 << 20
"""Bytes; on a disk that has less left, nothing is the database's fault."""


@dataclass(slots=True, frozen=True)
class Migration:
    """One step of a schema. Numbers start at 1 and have no gaps; a migration never changes once shipped."""

    number: int
    name: str
    sql: str


def open_database(
    path: Path,
    migrations: Sequence[Migration],
    *,
    synchronous: Literal["FULL", "NORMAL"] = "FULL",
    prepare: Callable[[sqlite3.Connection], object] = lambda db: None,
) -> sqlite3.Connection:
    """Open `path`, bring its schema up to date, `prepare` it, and return a connection in autocommit mode.

    Use `transaction` to write. WAL mode; `secure_delete` overwrites what is deleted. Raises
    StoreTooNew, StoreBroken, PermissionRefused or DiskFull.
    """
    private_dir(path.parent)
    unclean = path.with_name(path.name + "-wal").exists()
    try:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_MS / 1000)
    except sqlite3.OperationalError as problem:
        raise PermissionRefused(f"cannot open {path}: {problem}", hint=f"ls -l {path.parent}") from problem
    try:
        path.chmod(0o600)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {synchronous}")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA secure_delete = ON")
        if unclean:
            _check(db, path)
        _migrate(db, path, migrations)
        prepare(db)
    except sqlite3.DatabaseError as problem:
        db.close()
        raise _explain(problem, path) from problem
    except BaseException:
        db.close()
        raise
    return db


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All of the block or nothing of it. Takes the write lock at once, so it cannot fail half way for a reader.

    Raises DiskFull when there is no room; the database is then as it was before.
    """
    try:
        db.execute("BEGIN IMMEDIATE")
        yield db
        db.execute("COMMIT")
    except BaseException as problem:
        if db.in_transaction:  # SQLite has rolled back by itself after some errors
            db.execute("ROLLBACK")
        if isinstance(problem, sqlite3.OperationalError):
            with told_when_full(Path(db.execute("PRAGMA database_list").fetchone()["file"])):
                raise
        raise


@contextlib.contextmanager
def told_when_full(path: Path) -> Iterator[None]:
    """Raises DiskFull where SQLite finds no room for `path` inside, in a transaction or without one."""
    try:
        yield
    except sqlite3.OperationalError as problem:
        if isinstance(told := _explain(problem, path), DiskFull):
            raise told from problem
        raise


def schema_version(db: sqlite3.Connection) -> int:
    """The number of the last migration applied; 0 for an empty database."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _check(db: sqlite3.Connection, path: Path) -> None:
    answer = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if answer != "ok":
        raise StoreBroken(
            f"{path} is damaged: {answer}", hint=f"restore one of {path.name}.backup-* in {path.parent}, newest first"
        )


def _migrate(db: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    newest = migrations[-1].number if migrations else 0
    version = schema_version(db)
    if version > newest:
        raise StoreTooNew(
            f"{path} was written by a newer localmind (schema {version}, this one knows {newest})",
            hint="pip install --upgrade localmind-daemon",
        )
    if version == newest:
        return
    if version:
        _backup(db, path, version)
    for step in migrations[version:]:
        # executescript would commit a transaction of ours first, so the script carries its own.
        script = f"BEGIN IMMEDIATE;\n{step.sql}\n;PRAGMA user_version = {step.number};\nCOMMIT;"
        try:
            db.executescript(script)
        except sqlite3.DatabaseError:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def _backup(db: sqlite3.Connection, path: Path, version: int) -> None:
    copy = path.with_name(f"{path.name}.backup-{version:04d}")
    with contextlib.closing(sqlite3.connect(copy)) as target:
        db.backup(target)
    copy.chmod(0o600)
    for old in sorted(path.parent.glob(f"{path.name}.backup-*"))[:-BACKUPS_KEPT]:
        old.unlink()


def _explain(problem: sqlite3.DatabaseError, path: Path) -> StoreBroken | DiskFull | PermissionRefused:
    text = str(problem)
    # Where the memory beside a database finds no room SQLite says "disk I/O error", and its file is whole.
    if "full" in text or ("disk I/O" in text and shutil.disk_usage(path.parent).free < LEAST_ROOM):
        return DiskFull(f"no room left on the disk for {path}", hint=f"df -h {path.parent}")
    if "readonly" in text or "unable to open" in text:
        return PermissionRefused(f"cannot write {path}: {text}", hint=f"ls -l {path.parent}")
    return StoreBroken(f"{path} cannot be used: {text}", hint=f"move {path} away and start localmind again")
