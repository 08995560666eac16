"""Chroma itself, in this process: what the vectors worker promises."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from knowledge_fakes import FakeReply

from localmind.errors import InvalidRequest
from localmind.knowledge import exact, vector_rows
from localmind.knowledge.chroma_worker import VectorCalls
from localmind.knowledge.exact import Exact
from localmind.knowledge.index import Index

REPLY = FakeReply()


def unit(count: int, dim: int = 8, seed: int = 0) -> Any:
    matrix = numpy.random.default_rng(seed).normal(size=(count, dim)).astype("<f4")
    return matrix / numpy.linalg.norm(matrix, axis=1, keepdims=True)


@pytest.fixture
def calls() -> Iterator[VectorCalls]:
    calls = VectorCalls()
    yield calls
    calls.close()


def place(tmp_path: Path, collection: str = "root-1-abc") -> dict[str, Any]:
    return {"dir": str(tmp_path / "g0001"), "collection": collection, "dim": 8}


def test_vectors_are_found_by_cosine_after_a_reopen(calls: VectorCalls, tmp_path: Path) -> None:
    where, vectors = place(tmp_path), unit(300)
    assert calls.open(where, REPLY) == {"count": 0}
    assert calls.add(where | {"ids": list(range(300)), "vectors": vectors.tobytes()}, REPLY) == 300
    for _ in range(2):
        nearest = calls.query(where | {"vector": vectors[7].tobytes(), "k": 3}, REPLY)
        assert nearest[0][0] == 7
        assert nearest[0][1] == pytest.approx(1.0, abs=1e-4)
        true = sorted(((float(vectors[7] @ other), n) for n, other in enumerate(vectors)), reverse=True)
        assert [number for number, _ in nearest] == [number for _, number in true[:3]]
        calls.close()


def test_ids_that_are_there_are_left_alone(calls: VectorCalls, tmp_path: Path) -> None:
    where, vectors = place(tmp_path), unit(4)
    calls.add(where | {"ids": [1, 2], "vectors": vectors[:2].tobytes()}, REPLY)
    assert calls.add(where | {"ids": [2, 3], "vectors": vectors[2:].tobytes()}, REPLY) == 1
    assert calls.query(where | {"vector": vectors[1].tobytes(), "k": 1}, REPLY)[0][0] == 2
    assert sorted(calls.ids(where, REPLY)) == [1, 2, 3]


def test_deleted_ids_are_gone_and_unknown_ones_no_error(calls: VectorCalls, tmp_path: Path) -> None:
    where, vectors = place(tmp_path), unit(3)
    calls.add(where | {"ids": [1, 2, 3], "vectors": vectors.tobytes()}, REPLY)
    calls.delete(where | {"ids": [2, 77]}, REPLY)
    assert calls.count(where, REPLY) == 2
    assert 2 not in [number for number, _ in calls.query(where | {"vector": vectors[1].tobytes(), "k": 9}, REPLY)]


def test_an_empty_collection_answers_nothing(calls: VectorCalls, tmp_path: Path) -> None:
    assert calls.query(place(tmp_path) | {"vector": unit(1).tobytes(), "k": 5}, REPLY) == []


def test_a_wrong_number_of_numbers_is_an_invalid_request(calls: VectorCalls, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        calls.add(place(tmp_path) | {"ids": [1, 2], "vectors": unit(1).tobytes()}, REPLY)


def test_dropping_removes_collections_and_the_files_chroma_forgets(calls: VectorCalls, tmp_path: Path) -> None:
    keep, drop = place(tmp_path, "root-1-abc"), place(tmp_path, "root-2-abc")
    for where in (keep, drop):
        calls.add(where | {"ids": list(range(1200)), "vectors": unit(1200).tobytes()}, REPLY)
    directory = Path(keep["dir"])
    assert len([entry for entry in directory.iterdir() if entry.is_dir()]) == 2
    calls.drop({"dir": keep["dir"], "keep": ["root-1-abc"]}, REPLY)
    assert len([entry for entry in directory.iterdir() if entry.is_dir()]) == 1
    assert calls.count(keep, REPLY) == 1200
    assert calls.count(drop, REPLY) == 0


@pytest.mark.parametrize(("which", "read_each_time"), [("stored", 2000), ("unplaced", 2000), ("unplaced", 10)])
def test_exact_search_reads_the_same_vectors_from_sqlite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str, read_each_time: int
) -> None:
    monkeypatch.setattr(exact, "READ_EACH_TIME", read_each_time)
    index = Index(tmp_path / "knowledge.db")
    vector_rows.use_model(index, "m")
    root = index.add_root(tmp_path, 1)
    vectors = unit(50)
    for number, vector in enumerate(vectors):
        index.db.execute(
            "INSERT INTO file (id, root_id, relpath, device, inode, size, mtime_ns, recipe, state, indexed_at)"
            " VALUES (?, ?, ?, 0, 0, 0, 0, '', 'indexed', 0)",
            (number + 1, root.id, f"{number}.md"),
        )
        index.db.execute(
            "INSERT INTO chunk (id, file_id, root_id, ordinal, path, text, text_hash, char_start, char_end, line_start,"
            " line_end) VALUES (?, ?, ?, 0, '', 'x', ?, 0, 1, 1, 1)",
            (number + 1, number + 1, root.id, bytes([number])),
        )
        vector_rows.store_vectors(index, [(bytes([number]), vector.tobytes(), b"")], "m")
    wanted = {"database": str(tmp_path / "knowledge.db"), "root": root.id, "model": "m", "k": 5, "which": which}
    search = Exact()
    search.exact(wanted | {"vector": vectors[8].tobytes()}, REPLY)
    answer = search.exact(wanted | {"vector": vectors[9].tobytes()}, REPLY)
    true = sorted(((float(vectors[9] @ other), n + 1) for n, other in enumerate(vectors)), reverse=True)[:5]
    assert [number for number, _ in answer] == [number for _, number in true]
    index.close()
