"""The short words of header and notes."""

from typing import Any

import pytest

from localmind.errors import FolderNotFound
from localmind.events import Done, Passage, Progress
from localmind.messages import Timings, Usage
from localmind_tui import format


@pytest.mark.parametrize(
    ("path", "page", "roots", "shown"),
    [
        ("/home/ines/samples/home/boiler.md", None, ["/home/ines/samples"], "samples/home/boiler.md:6-10"),
        ("/home/ines/samples/home/rent.pdf", 2, ["/home/ines/samples"], "samples/home/rent.pdf p. 2"),
        ("/home/ines/samples-2/a.md", None, ["/home/ines/samples"], "/home/ines/samples-2/a.md:6-10"),
        ("/a/b/c.md", None, ["/a", "/a/b"], "b/c.md:6-10"),
        ("/a/\x1b[31mb\n.md", None, ["/a"], "a/b .md:6-10"),
    ],
)
def test_a_place_is_named_from_the_watched_folder_on(path: str, page: int | None, roots: list[str], shown: str) -> None:
    assert format.place(Passage(1, path, 6, 10, page, None, "", 0.0), roots) == shown


def test_one_line_is_not_a_range() -> None:
    assert format.place(Passage(1, "/a.md", 6, 6, None, None, "", 0.0), []) == "/a.md:6"


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (Progress("load", 4, 10, "", "loading the model"), "loading the model 40 %"),
        (Progress("load", 11, 10), "load 100 %"),
        (Progress("download", 2_500_000, None, "B"), "download 2.5 MB"),
        (Progress("scan", 12, None, "files"), "scan 12 files"),
        (Progress("wait", 0), "wait"),
        (Progress("remote", 1, 1, "", "box/m runs elsewhere"), "box/m runs elsewhere"),
    ],
)
def test_progress_says_what_and_how_far(event: Progress, shown: str) -> None:
    assert format.progress(event) == shown


def test_costs_give_speed_and_waiting_time() -> None:
    done = Done("stop", Usage(300, 96), Timings(queue_ms=100, prefill_ms=300, decode_ms=800), "m")
    assert format.costs(done) == "96 tokens · 120 tokens/s · first after 0.4 s"
    assert format.costs(Done("length", Usage(1, 1))) == "cut off at the length limit · 1 token"
    assert format.costs(Done()) == ""
    assert format.costs(Done("repetition")) == (
        "ended here, since it was repeating itself\n"
        "hint: /again writes another answer, /model asks another model, "
        "/set max_tokens 4000 lets it go on to that length"
    )


def test_a_failure_has_its_hint_on_a_line_of_its_own() -> None:
    error = FolderNotFound("no folder /x\x1b[0m", hint="localmind folders list")
    assert format.failure(error) == "no folder /x\nhint: localmind folders list"


@pytest.mark.parametrize(
    ("status", "wanted", "shown"),
    [
        ({}, None, "no model loaded"),
        ({"models": [{"model": "a", "state": "cold"}]}, None, "a"),
        ({"models": [{"model": "a", "state": "cold"}, {"model": "b", "state": "loaded"}]}, None, "b"),
        ({"models": [{"model": "a", "state": "loaded"}]}, "wanted:1b", "wanted:1b"),
    ],
)
def test_the_header_names_the_model_that_will_answer(status: dict[str, Any], wanted: str | None, shown: str) -> None:
    assert format.model_in_use(status, wanted) == shown


@pytest.mark.parametrize(
    ("entries", "shown"),
    [
        ([], "no folders"),
        ([{"path": "/a", "files": 1, "state": "ready"}], "1 folder · 1 file"),
        (
            [{"path": "/a", "files": 1}, {"path": "/b", "files": 2, "state": "reading"}],
            "2 folders · 3 files · reading",
        ),
        ([{"path": "/a", "files": 0, "state": "offline"}], "1 folder · offline"),
    ],
)
def test_the_header_counts_folders_and_files_and_says_when_they_are_not_ready(
    entries: list[dict[str, Any]], shown: str
) -> None:
    assert format.folders({"folders": entries}) == shown
