"""`localmind eval`: reading questions, judging answers, and naming the stage that lost one."""

from pathlib import Path
from typing import Any

import pytest

from localmind.cli.eval import Outcome, Wanted, judge, read_questions, score
from localmind.errors import InvalidRequest

BOILER = Wanted("when?", "home/boiler.md", (8, 9), None, ("9 October",), "a")


def place(
    path: str = "/x/home/boiler.md", start: int = 7, end: int = 10, text: str = "on 9\nOctober"
) -> dict[str, Any]:
    return {"path": path, "line_start": start, "line_end": end, "page": None, "text": text}


OTHER = place("/x/other.md")


def answer(passages: list[dict[str, Any]], **stages: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("keyword", "dense", "fused", "shown", "unranked")
    trace = {"stages": {name: stages.get(name, []) for name in names}, "ms": {"embed": 4.0, "keyword": 2.0}}
    return {"passages": passages, "trace": trace}


def test_questions_are_read_and_the_first_bad_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(
        '{"question": "a", "path": "b.md", "line_start": 3}\n\n{"question": "c", "path": null, "set": "x"}\n'
    )
    first, second = read_questions(file)
    assert (first.lines, first.set, second.path, second.set) == ((3, 3), "questions", None, "x")
    for bad in ('{"question": "a"}', "not json", '{"question": "a", "path": "b", "page": "x"}', "[1]"):
        file.write_text('{"question": "a", "path": "b.md"}\n' + bad + "\n")
        with pytest.raises(InvalidRequest, match=r"q\.jsonl:2"):
            read_questions(file)
    file.write_text("\n")
    with pytest.raises(InvalidRequest, match="no questions"):
        read_questions(file)


@pytest.mark.parametrize(
    ("passage", "expected"),
    [
        (place(), True),
        (place("/home/me/home/boiler.md"), True),
        (place("/x/notmyhome/boiler.md"), False),
        (place(start=10, end=12), False),
        (place(text="on 8 October"), False),
    ],
)
def test_a_passage_matches_by_file_lines_and_words(passage: dict[str, Any], expected: bool) -> None:
    assert BOILER.matches(passage) is expected


@pytest.mark.parametrize(
    ("given", "lost"),
    [
        (answer([OTHER, place()]), None),
        (answer([OTHER], keyword=[place()], dense=[OTHER]), "dense"),
        (answer([OTHER], keyword=[OTHER], dense=[place()]), "keyword"),
        (answer([OTHER], keyword=[place()], dense=[place()], fused=[OTHER] * 12 + [place()]), "fusion"),
        (answer([OTHER], keyword=[OTHER], dense=[OTHER]), "neither"),
        (answer([], keyword=[place()], dense=[place()], fused=[place()]), "floor"),
        (answer([OTHER], fused=[place()], shown=[place()], unranked=[OTHER, place()]), "rerank"),
    ],
)
def test_the_stage_that_lost_an_answer_is_named(given: dict[str, Any], lost: str | None) -> None:
    assert judge(BOILER, given).lost == lost


def test_figures_count_ranks_refusals_and_time() -> None:
    absent = Wanted("who?", None, None, None, (), "a")
    outcomes = [
        judge(BOILER, answer([place()])),
        judge(BOILER, answer([OTHER, OTHER, place()])),
        judge(BOILER, answer([], dense=[place()])),
        judge(absent, answer([])),
        judge(absent, answer([OTHER])),
    ]
    figures = score(outcomes)
    assert (figures["hit1"], figures["hit5"], figures["ndcg10"]) == (0.333, 0.667, 0.5)
    assert (figures["wrongly_refused"], figures["rightly_refused"]) == (1, 1)
    assert figures["lost_by"] == {"keyword": 1}
    assert figures["ms_p50"] == 6.0
    assert score([Outcome(absent, None, True, None, 1.0)])["hit1"] is None
