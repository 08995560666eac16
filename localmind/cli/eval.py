"""`localmind eval`: how well search finds what it should in the user's own folders, and which stage loses the rest.

Reads questions, asks the daemon, scores. It judges places, not answers: no model is asked, so a run of 500
questions takes seconds.
"""

import json
import math
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from localmind.clean import clean_line
from localmind.cli import _options as options
from localmind.cli._output import connect, note, print_json, table
from localmind.errors import InvalidRequest
from localmind.paths import typed_path

CUT = 10
"""The rank up to which a passage counts: nDCG@10, and what a stage must reach not to have lost it."""


@dataclass(slots=True, frozen=True)
class Wanted:
    """One question with the place of its answer; `path` None: the files do not hold it."""

    question: str
    path: str | None
    lines: tuple[int, int] | None
    page: int | None
    words: tuple[str, ...]
    set: str

    def matches(self, passage: dict[str, Any], *, part: bool = False) -> bool:
        """Whether a passage lies where the answer is, and says its words; with `part`, one of them."""
        if self.path is None or not f"/{passage['path']}".replace("\\", "/").endswith("/" + self.path.lstrip("/")):
            return False
        if self.lines and (passage["line_start"] > self.lines[1] or passage["line_end"] < self.lines[0]):
            return False
        if self.page and passage["page"] != self.page:
            return False
        text = " ".join(passage["text"].split()).lower()
        said = [" ".join(word.split()).lower() in text for word in self.words]
        return any(said or [True]) if part else all(said)


@dataclass(slots=True, frozen=True)
class Outcome:
    """What became of one question. `rank` is 0-based; `lost` names the stage, None when it was found or rightly
    refused."""

    wanted: Wanted
    rank: int | None
    refused: bool
    lost: str | None
    ms: float


@click.command(name="eval")
@click.argument("questions", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@options.folder("Search only in here.")
@click.option("--json", "as_json", is_flag=True, help="Print figures and every question's outcome as JSON.")
def evaluate(questions: Path, folder: Path | None, as_json: bool) -> None:
    """Measure how well search finds the answers to questions of yours.

    QUESTIONS has one JSON object a line: {"question": …, "path": …} with the file that holds the answer, and if
    you like where: "line_start" and "line_end", "page", or "words": […] that stand in the passage. With "path":
    null the files do not hold the answer, and nothing should be found. "set" names a group of its own.

    \b
    Printed: hit@1, 5 and 10, nDCG@10, refusals, milliseconds, and which stage
    lost an answer:
      keyword  only meaning found it
      dense    only keywords found it
      neither  no stage found it
      fusion   one or both did, and it came behind others
      floor    it was found and thought too weak
      rerank   the reranker put it down

    \b
    echo '{"question": "Who serviced it?", "path": "boiler.md"}' > mine.jsonl
    localmind eval mine.jsonl
    """
    wanted = read_questions(questions)
    outcomes: list[Outcome] = []
    with connect() as client, click.progressbar(wanted, label="asking", file=sys.stderr) as asked:
        for one in asked:
            body = {"query": one.question, "limit": CUT, "explain": True}
            if folder is not None:
                body["folder"] = str(typed_path(folder))
            outcomes.append(judge(one, client.post("/search", body)))
    figures = {name: score([one for one in outcomes if one.wanted.set == name]) for name in _sets(wanted)}
    if as_json:
        print_json({"sets": figures, "questions": [_shown(one) for one in outcomes]})
        return
    columns = ("set", "questions", "hit@1", "hit@5", "hit@10", "nDCG@10", "refused", "ms p50", "ms p95", "lost by")
    table(columns, [_row(name, each) for name, each in figures.items()])
    for outcome in outcomes:
        if outcome.lost:
            note(f"{outcome.lost:8} {clean_line(outcome.wanted.question)}")


def read_questions(path: Path) -> list[Wanted]:
    """The questions of a file; InvalidRequest names the first line that is none."""
    found = []
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(_wanted(json.loads(line)))
        except (ValueError, TypeError, KeyError) as problem:
            raise InvalidRequest(
                f"{path}:{number} is not a question: {problem}",
                hint='{"question": "When was the boiler serviced?", "path": "home/boiler.md"}',
            ) from None
    if not found:
        raise InvalidRequest(f"{path} holds no questions", hint="localmind eval --help")
    return found


def _wanted(data: Any) -> Wanted:
    if not isinstance(data, dict) or not isinstance(data.get("question"), str) or "path" not in data:
        raise ValueError('it needs "question" and "path"')
    first = data.get("line_start")
    return Wanted(
        question=data["question"],
        path=None if data["path"] is None else str(data["path"]),
        lines=None if first is None else (int(first), int(data.get("line_end") or first)),
        page=None if data.get("page") is None else int(data["page"]),
        words=tuple(str(word) for word in data.get("words", ())),
        set=str(data.get("set", "questions")),
    )


def judge(wanted: Wanted, answer: dict[str, Any]) -> Outcome:
    """Compare an explained answer with what is wanted."""
    trace, passages = answer["trace"], answer["passages"]
    ms = sum(trace["ms"].values())
    if wanted.path is None:
        return Outcome(wanted, None, not passages, None if not passages else "floor", ms)
    rank = next((index for index, passage in enumerate(passages[:CUT]) if wanted.matches(passage)), None)
    return Outcome(wanted, rank, not passages, _lost(wanted, trace["stages"]) if rank is None else None, ms)


def _lost(wanted: Wanted, stages: dict[str, list[dict[str, Any]]]) -> str:
    """The stage that lost an answer which is not among the passages."""

    def holds(name: str, depth: int | None = None) -> bool:
        # A stage finds single chunks: an answer of several words may begin in one and end in the next.
        return any(wanted.matches(chunk, part=True) for chunk in stages[name][:depth])

    found = {name: holds(name) for name in ("keyword", "dense")}
    if holds("unranked", CUT):
        return "rerank"
    if holds("fused", CUT) and not holds("shown"):
        return "floor"
    if found["keyword"] and found["dense"]:
        return "fusion"
    if found["keyword"] or found["dense"]:
        return "dense" if found["keyword"] else "keyword"
    return "neither"


def score(outcomes: list[Outcome]) -> dict[str, Any]:
    """Figures of a set; shares are of the questions that have an answer."""
    ranks = [one.rank for one in outcomes if one.wanted.path is not None]
    absent = [one for one in outcomes if one.wanted.path is None]
    times = sorted(one.ms for one in outcomes)

    def at(cut: int) -> float | None:
        return round(sum(rank is not None and rank < cut for rank in ranks) / len(ranks), 3) if ranks else None

    gain = sum(1 / math.log2(rank + 2) for rank in ranks if rank is not None)
    return {
        "questions": len(outcomes),
        "hit1": at(1),
        "hit5": at(5),
        "hit10": at(10),
        "ndcg10": round(gain / len(ranks), 3) if ranks else None,
        "answerable": len(ranks),
        "wrongly_refused": sum(one.refused for one in outcomes if one.wanted.path is not None),
        "unanswerable": len(absent),
        "rightly_refused": sum(one.refused for one in absent),
        "ms_p50": round(times[len(times) // 2], 1),
        "ms_p95": round(times[int(0.95 * len(times))], 1),
        "lost_by": dict(Counter(one.lost for one in outcomes if one.lost and one.wanted.path is not None)),
    }


def _sets(wanted: list[Wanted]) -> list[str]:
    return list(dict.fromkeys(one.set for one in wanted))


def _row(name: str, figures: dict[str, Any]) -> list[str]:
    shares = [figures[key] for key in ("hit1", "hit5", "hit10", "ndcg10")]
    refused = f"{figures['wrongly_refused']} of {figures['answerable']} wrongly"
    if figures["unanswerable"]:
        refused += f", {figures['rightly_refused']} of {figures['unanswerable']} rightly"
    lost = ", ".join(f"{stage} {count}" for stage, count in figures["lost_by"].items())
    times = [f"{figures['ms_p50']:g}", f"{figures['ms_p95']:g}"]
    shown = ["–" if share is None else f"{share:.3f}" for share in shares]
    return [name, str(figures["questions"]), *shown, refused, *times, lost or "–"]


def _shown(one: Outcome) -> dict[str, Any]:
    return {
        "set": one.wanted.set,
        "question": one.wanted.question,
        "path": one.wanted.path,
        "rank": None if one.rank is None else one.rank + 1,
        "refused": one.refused,
        "lost": one.lost,
        "ms": round(one.ms, 1),
    }
