"""The full-text index says what the table says, whatever was stored, renamed and forgotten."""

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localmind.knowledge import vector_rows
from localmind.knowledge.chunk import Chunk
from localmind.knowledge.index import Index
from localmind.knowledge.keywords import total_chunks
from localmind.knowledge.scan import Entry

WORDS = ["boiler", "October", "keys", "neighbour", "锅炉"]
texts = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join), max_size=4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("store"), st.sampled_from("abc"), texts),
        st.tuples(st.just("rename"), st.sampled_from("abc"), st.sampled_from("def")),
        st.tuples(st.just("forget"), st.sampled_from("abcdef"), st.just(None)),
        st.tuples(st.just("fail"), st.sampled_from("abc"), st.just(None)),
    ),
    max_size=12,
)


def store(index: Index, root_id: int, name: str, pieces: list[str]) -> None:
    chunks = [[*_fields(text)] for text in pieces]
    result = {"skip": None, "mtime_ns": 1, "fresh": False, "size": 1, "content_hash": b"", "chunks": chunks}
    index.replace(root_id, _entry(name), "recipe", result, "")


def _fields(text: str) -> tuple[object, ...]:
    piece = Chunk(text, 0, len(text), 1, 1, None, None, "")
    return tuple(getattr(piece, name) for name in piece.__slots__)


def _entry(name: str) -> Entry:
    return Entry(name, "text", 1, ord(name[0]), 1, 1)


def found(index: Index, word: str) -> list[tuple[str, str]]:
    rows = index.db.execute(
        "SELECT chunk.path, chunk.text FROM chunk_fts JOIN chunk ON chunk.id = chunk_fts.rowid"
        " WHERE chunk_fts MATCH ? ORDER BY 1, 2",
        (f"text : {word}",),
    )
    return [(row["path"], row["text"]) for row in rows]


@settings(max_examples=25, deadline=None)
@given(steps)
def test_words_are_found_exactly_where_they_stand(steps: list[tuple[str, str, object]]) -> None:
    with tempfile.TemporaryDirectory() as place, contextlib.closing(Index(Path(place, "knowledge.db"))) as index:
        root = index.add_root(Path(place), 1)
        held: dict[str, list[str]] = {}
        for what, name, more in steps:
            ids = {row.relpath: row.id for row in index.known(root.id).values()}
            if what == "store" and isinstance(more, list):
                store(index, root.id, name, more)
                held[name] = more
            elif what == "fail":
                index.fail(root.id, _entry(name), "recipe", "broken")
                held[name] = []
            elif what == "forget" and name in ids:
                index.forget([ids[name]])
                held.pop(name)
            elif what == "rename" and name in ids and isinstance(more, str) and more not in ids:
                index.move([(ids[name], _entry(more))])
                held[more] = held.pop(name)
        index.db.execute("INSERT INTO chunk_fts (chunk_fts, rank) VALUES ('integrity-check', 1)")
        for word in WORDS:
            expected = sorted((name, text) for name, pieces in held.items() for text in pieces if word in text.split())
            assert found(index, word) == expected


@pytest.mark.parametrize("others", [False, True])
def test_a_removed_folder_takes_its_words_along_and_no_others(tmp_path: Path, others: bool) -> None:
    with contextlib.closing(Index(tmp_path / "knowledge.db")) as index:
        first, second = index.add_root(tmp_path / "a", 1), index.add_root(tmp_path / "b", 1)
        store(index, first.id, "one.md", ["the boiler", "the keys"])
        if others:
            store(index, second.id, "two.md", ["the boiler"])
        index.remove_root(first.id)
        index.db.execute("INSERT INTO chunk_fts (chunk_fts, rank) VALUES ('integrity-check', 1)")
        assert found(index, "boiler") == ([("two.md", "the boiler")] if others else [])


def test_a_removed_chunk_that_chroma_holds_is_noted_as_stale(tmp_path: Path) -> None:
    with contextlib.closing(Index(tmp_path / "knowledge.db")) as index:
        vector_rows.use_model(index, "m")
        root = index.add_root(tmp_path, 1)
        store(index, root.id, "one.md", ["the boiler", "the keys"])
        ids = [row["id"] for row in index.db.execute("SELECT id FROM chunk ORDER BY id")]
        vector_rows.mark_placed(index, ids[:1], "m")
        index.forget([next(iter(index.known(root.id).values())).id])
        assert vector_rows.stale(index, root.id, 10) == ids[:1]


def plan_of(index: Index, ask: Callable[[], object]) -> str:
    """How SQLite goes about what `ask` asks first."""
    asked: list[str] = []
    index.db.set_trace_callback(asked.append)
    ask()
    index.db.set_trace_callback(None)
    return " ".join(str(row["detail"]) for row in index.db.execute(f"EXPLAIN QUERY PLAN {asked[0]}"))


def test_the_queue_of_vectors_is_read_from_its_index_and_not_sorted(tmp_path: Path) -> None:
    with contextlib.closing(Index(tmp_path / "knowledge.db")) as index:
        plan = plan_of(index, lambda: vector_rows.unembedded(index, 32, 5))
    assert "chunk_waiting" in plan
    assert "TEMP B-TREE" not in plan


def test_a_search_does_not_go_through_all_chunks_to_count_them(tmp_path: Path) -> None:
    with contextlib.closing(Index(tmp_path / "knowledge.db")) as index:
        root = index.add_root(tmp_path, 1)
        assert total_chunks(index) == 0
        store(index, root.id, "one.md", ["the boiler", "the keys", "October"])
        assert total_chunks(index) == 3
        assert "SCAN chunk" not in plan_of(index, lambda: total_chunks(index))


def test_an_index_with_triggers_is_brought_up_to_date(tmp_path: Path) -> None:
    from localmind.knowledge.tables import MIGRATIONS
    from localmind.store.connection import open_database

    old = open_database(tmp_path / "knowledge.db", MIGRATIONS[:3])
    old.execute("INSERT INTO root VALUES (1, '/x', 1, 0, NULL)")
    old.execute(
        "INSERT INTO file (id, root_id, relpath, device, inode, size, mtime_ns, recipe, state, indexed_at)"
        " VALUES (1, 1, 'a.md', 1, 1, 1, 1, '', 'indexed', 0)"
    )
    old.execute(
        "INSERT INTO chunk (file_id, root_id, ordinal, path, text, text_hash, char_start, char_end, line_start,"
        " line_end) VALUES (1, 1, 0, 'a.md', 'the boiler', x'00', 0, 1, 1, 1)"
    )
    old.close()
    with contextlib.closing(Index(tmp_path / "knowledge.db")) as index:
        assert found(index, "boiler") == [("a.md", "the boiler")]
        index.move([(1, _entry("d.md"))])
        assert found(index, "boiler") == [("d.md", "the boiler")]
        index.forget([1])
        assert found(index, "boiler") == []
        index.db.execute("INSERT INTO chunk_fts (chunk_fts, rank) VALUES ('integrity-check', 1)")
        with pytest.raises(sqlite3.OperationalError, match="no such trigger"):
            index.db.execute("DROP TRIGGER chunk_inserted")
