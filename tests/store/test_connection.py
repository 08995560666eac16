"""Opening and migrating a database: nothing is lost, nothing newer is touched, damage is named."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from localmind.errors import DiskFull, StoreBroken, StoreTooNew
from localmind.store.connection import Migration, open_database, schema_version, transaction

ONE = Migration(1, "notes", "CREATE TABLE note (text TEXT NOT NULL);")
TWO = Migration(
    2, "stars", "ALTER TABLE note ADD COLUMN stars INTEGER NOT NULL DEFAULT 0; CREATE INDEX s ON note(stars);"
)
BAD = Migration(2, "bad", "ALTER TABLE note ADD COLUMN stars INTEGER; SELECT no_such_function();")


def test_migrations_are_applied_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    db = open_database(path, [ONE])
    db.execute("INSERT INTO note VALUES ('kept')")
    db.close()
    db = open_database(path, [ONE, TWO])
    assert schema_version(db) == 2
    assert [tuple(row) for row in db.execute("SELECT * FROM note")] == [("kept", 0)]
    db.close()


def test_a_copy_is_kept_before_a_migration(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    open_database(path, [ONE]).close()
    open_database(path, [ONE, TWO]).close()
    copy = sqlite3.connect(tmp_path / "a.db.backup-0001")
    assert schema_version(copy) == 1
    copy.close()


def test_a_migration_that_fails_leaves_the_old_schema_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    open_database(path, [ONE]).close()
    with pytest.raises(StoreBroken, match="no_such_function"):
        open_database(path, [ONE, BAD])
    db = open_database(path, [ONE])
    assert [row[1] for row in db.execute("PRAGMA table_info(note)")] == ["text"]
    db.close()


def test_a_database_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    open_database(path, [ONE, TWO]).close()
    with pytest.raises(StoreTooNew, match="schema 2, this one knows 1"):
        open_database(path, [ONE])
    db = open_database(path, [ONE, TWO])
    db.close()


def test_a_file_that_is_no_database_is_named_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"this is not a database, but it is somebody's file" * 50)
    with pytest.raises(StoreBroken):
        open_database(path, [ONE])
    assert path.read_bytes().startswith(b"this is not a database")


def test_a_transaction_that_fails_changes_nothing(tmp_path: Path) -> None:
    db = open_database(tmp_path / "a.db", [ONE])
    with pytest.raises(ZeroDivisionError), transaction(db):
        db.execute("INSERT INTO note VALUES ('lost')")
        raise ZeroDivisionError
    assert db.execute("SELECT count(*) FROM note").fetchone()[0] == 0
    with transaction(db):
        db.execute("INSERT INTO note VALUES ('kept')")
    assert db.execute("SELECT count(*) FROM note").fetchone()[0] == 1
    db.close()


def test_a_full_disk_is_a_typed_error_and_keeps_what_was_there(tmp_path: Path) -> None:
    db = open_database(tmp_path / "a.db", [ONE])
    db.execute("INSERT INTO note VALUES ('kept')")
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to be out of room
    with pytest.raises(DiskFull, match="no room left"), transaction(db):
        db.execute("INSERT INTO note VALUES (?)", ("too much " * 10_000,))
    assert [row["text"] for row in db.execute("SELECT text FROM note")] == ["kept"]
    db.close()


@pytest.mark.parametrize(("free", "told"), [(4096, DiskFull), (1 << 30, sqlite3.OperationalError)])
def test_a_disk_that_is_full_for_the_memory_beside_a_database_is_told_in_a_transaction_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, told: type[Exception]
) -> None:
    """SQLite calls that an error of the disk, as it does a disk that is broken."""
    db = open_database(tmp_path / "a.db", [ONE])
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))
    with pytest.raises(told), transaction(db):
        raise sqlite3.OperationalError("disk I/O error")
    db.close()


@pytest.mark.parametrize("says", ["database or disk is full", "disk I/O error"])
def test_a_disk_that_is_full_when_a_database_is_opened_is_not_the_databases_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4096))

    def fail(db: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError(says)

    with pytest.raises(DiskFull, match="no room left") as told:
        open_database(tmp_path / "a.db", [ONE], prepare=fail)
    assert told.value.hint == f"df -h {tmp_path}"
    monkeypatch.undo()
    if "I/O" in says:
        with pytest.raises(StoreBroken):
            open_database(tmp_path / "a.db", [ONE], prepare=fail)


def test_deleted_text_is_not_left_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    db = open_database(path, [ONE])
    db.execute("INSERT INTO note VALUES (?)", ("the secret of the blue kettle " * 200,))
    db.execute("DELETE FROM note")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    assert b"blue kettle" not in path.read_bytes()
