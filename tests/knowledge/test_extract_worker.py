"""The extract worker outlives every document: crashes, hangs, bombs and files that are not what they seem."""

import os
import queue
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest_e2e import gone, wait_until
from knowledge_fakes import FakeReply

from localmind.errors import ExtractFailed
from localmind.knowledge.extract_worker import ExtractCalls, Lanes

Extract = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def real() -> Iterator[ExtractCalls]:
    calls = ExtractCalls()
    yield calls
    calls.close()


@pytest.fixture
def bad() -> Iterator[ExtractCalls]:
    calls = ExtractCalls((sys.executable, str(Path(__file__).with_name("bad_child.py"))))
    yield calls
    calls.close()


def ask(calls: ExtractCalls, path: object, kind: str = "text", seconds: float = 120) -> dict[str, Any]:
    return calls.extract({"path": str(path), "kind": kind, "limits": {"seconds": seconds}}, FakeReply())


@pytest.mark.parametrize(
    ("behaviour", "seconds", "reason"),
    [
        ("crash", 120, r"crashed \(SIGSEGV\)"),
        ("hang", 0.5, "did not finish in 0 s|did not finish in 1 s"),
        ("spin", 120, "needed too much CPU time"),
        ("leave", 120, "ended with status 3"),
    ],
)
def test_a_parser_that_dies_costs_only_its_file(bad: ExtractCalls, behaviour: str, seconds: float, reason: str) -> None:
    before = ask(bad, "fine")["skip"]
    with pytest.raises(ExtractFailed, match=reason):
        ask(bad, behaviour, seconds=seconds)
    after = ask(bad, "fine")["skip"]
    assert after.startswith("fine by ")
    assert after != before


def test_memory_and_writing_are_limited(bad: ExtractCalls) -> None:
    assert ask(bad, "write")["skip"] == "not written"
    if sys.platform == "linux":
        assert ask(bad, "bloat")["skip"] == "no memory"


def test_a_text_comes_back_in_chunks_with_its_identity(real: ExtractCalls, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\n")
    result = ask(real, path)
    assert result["chunks"] == [["one\ntwo\n", 0, 8, 1, 2, None, None, ""]]
    assert result["size"] == 8
    assert result["mtime_ns"] == path.stat().st_mtime_ns
    assert len(result["content_hash"]) == 16


def test_a_link_is_not_opened(real: ExtractCalls, tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("secret")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    with pytest.raises(ExtractFailed, match="cannot be opened"):
        ask(real, tmp_path / "link.txt")


def test_a_directory_that_became_a_link_is_noticed(real: ExtractCalls, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a.txt").write_text("secret")
    (tmp_path / "root").symlink_to(tmp_path / "outside")
    with pytest.raises(ExtractFailed, match="leads out of the folder"):
        ask(real, tmp_path / "root/a.txt")


def test_a_pipe_neither_blocks_nor_is_read(real: ExtractCalls, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(ExtractFailed, match="not a regular file"):
        ask(real, tmp_path / "a.txt")


def test_a_file_that_is_gone_or_too_big_says_so(real: ExtractCalls, tmp_path: Path) -> None:
    with pytest.raises(ExtractFailed, match="No such file"):
        ask(real, tmp_path / "gone.txt")
    with (tmp_path / "big.txt").open("wb") as stream:
        stream.truncate(21 * 2**20)
    with pytest.raises(ExtractFailed, match="bigger than 20 MiB"):
        ask(real, tmp_path / "big.txt")


def test_bytes_of_an_unknown_kind_are_skipped_and_of_a_known_kind_fail(real: ExtractCalls, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(bytes(range(256)) * 10)
    assert ask(real, tmp_path / "blob", "unknown")["skip"] == "it is not text"
    with pytest.raises(ExtractFailed, match="not text"):
        ask(real, tmp_path / "blob", "text")


def test_a_private_key_is_not_indexed_under_any_name(real: ExtractCalls, tmp_path: Path) -> None:
    begin = "-----BEGIN OPENSSH " + "PRIVATE KEY-----"
    (tmp_path / "notes.md").write_text(f"my key\n{begin}\n{'A' * 64}\n")
    result = ask(real, tmp_path / "notes.md", "markdown")
    assert result["skip"] == "it holds a private key"
    assert result["chunks"] == []
    (tmp_path / "howto.md").write_text(f"A key file starts with `{begin}` and so on.\n")
    assert ask(real, tmp_path / "howto.md", "markdown")["skip"] is None


def test_documents_after_a_broken_one_are_read(real: ExtractCalls, tmp_path: Path) -> None:
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.7 nonsense")
    with pytest.raises(ExtractFailed, match="broken"):
        ask(real, tmp_path / "bad.pdf", "pdf")
    (tmp_path / "good.md").write_text("# Fine\n\nwords\n")
    assert ask(real, tmp_path / "good.md", "markdown")["chunks"][0][6] == "Fine"


class FakeQueuedReply(FakeReply):
    """Results go into a queue."""

    def __init__(self) -> None:
        self.results: queue.Queue[Any] = queue.Queue()

    def result(self, value: Any = None) -> None:
        self.results.put(value)


def test_children_without_work_end_and_the_next_file_gets_a_new_one() -> None:
    command = (sys.executable, str(Path(__file__).with_name("bad_child.py")))
    lanes = Lanes(command, rest_s=0.5)
    reply = FakeQueuedReply()

    def read(lane: int) -> int:
        lanes.call("extract", {"path": "fine", "kind": "text", "lane": lane}, reply)
        return int(reply.results.get(timeout=120)["skip"].removeprefix("fine by "))

    last = []
    try:
        for lane in (0, 1):
            first = read(lane)
            wait_until(lambda first=first: gone(first), "the end of a child without work")
            last.append(read(lane))
            assert last[-1] != first
    finally:
        lanes.close()
    wait_until(lambda: all(gone(pid) for pid in last), "the end of all children")
