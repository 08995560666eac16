"""The curve between answering too little and too much: how many questions a floor refuses rightly and wrongly.

    python benchmarks/refusals.py                                  the bundled household questions over samples/
    python benchmarks/refusals.py QUESTIONS.jsonl --url http://127.0.0.1:11411     one's own, over watched folders

Questions are those of `localmind eval`: with "path": null the files do not hold the answer. For every floor the
questions with an answer that it loses are printed beside those without one that it refuses; * marks the floor in
use. The first form needs the starter embedder and no daemon: the index is built in a temporary directory.
"""

import argparse
import asyncio
import json
import shutil
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STEP = 0.02


class InProcess:
    """Workers called as functions, for a run without a daemon."""

    def __init__(self, *objects: Any) -> None:
        self._objects = objects
        # One child reads the files here; two lanes would write into its pipe together.
        self._turn = asyncio.Lock()

    async def call(self, method: str, params: dict[str, Any], *, timeout: float | None = None) -> Any:
        found = next(getattr(each, method) for each in self._objects if hasattr(each, method))
        async with self._turn:
            return await asyncio.to_thread(found, params, None)


async def over_samples(questions: list[dict[str, Any]], sources: Path) -> tuple[list[float], float]:
    """The best evidence for each question, and the floor in use, on an index of samples/ of our own."""
    from localmind import catalog
    from localmind.knowledge.chroma_worker import VectorCalls
    from localmind.knowledge.embed_worker import EmbedCalls
    from localmind.knowledge.embedder import EmbedModel
    from localmind.knowledge.extract_worker import ExtractCalls
    from localmind.knowledge.knowledge import Knowledge
    from localmind.models.pull import pull_all
    from localmind.models.store import Store

    store = Store(Path("~/.cache/localmind-tests/models").expanduser())
    spec = next(each for each in catalog.bundled() if each.name == "all-minilm:l6-v2")
    await pull_all(spec, store)
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        shutil.copytree(sources, base / "files/samples")
        extract, vectors = ExtractCalls(), VectorCalls()
        knowledge = Knowledge(
            base / "state/knowledge.db",
            chroma_dir=base / "state/chroma",
            embed=InProcess(EmbedCalls()),  # type: ignore[arg-type]
            vectors=InProcess(vectors),  # type: ignore[arg-type]
            extract=InProcess(extract),  # type: ignore[arg-type]
            embed_model=EmbedModel(spec.name, store.locate(spec.name), base / "converted"),
        )
        await knowledge.start()
        try:
            await knowledge.add_folder(base / "files")
            await knowledge.wait_indexed()
            traces = [await knowledge.trace(question["question"]) for question in questions]
        finally:
            await knowledge.close()
            extract.close()
            vectors.close()
        return [trace.evidence for trace in traces], traces[0].floor


def over_http(url: str) -> Callable[[str], tuple[float, float]]:
    """Best evidence and floor for a question, from a running daemon."""

    def ask(question: str) -> tuple[float, float]:
        body = json.dumps({"query": question, "explain": True}).encode()
        request = urllib.request.Request(f"{url}/localmind/v1/search", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            trace = json.load(reply)["trace"]
        return trace["evidence"], trace["floor"]

    return ask


def curve(questions: list[dict[str, Any]], evidence: list[float], floor: float) -> None:
    there = [value for question, value in zip(questions, evidence, strict=True) if question["path"] is not None]
    absent = [value for question, value in zip(questions, evidence, strict=True) if question["path"] is None]
    print(f"floor  lost of {len(there)}  refused of {len(absent)}")
    floors = sorted({*(round(0.11 + STEP * number, 2) for number in range(24)), floor})
    for one in floors:
        lost, refused = sum(value < one for value in there), sum(value < one for value in absent)
        print(f"{one:.2f}{'*' if one == floor else ' '} {lost:8} {refused:14}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", nargs="?", type=Path, default=HERE / "data/household.jsonl")
    parser.add_argument("--url", help="ask a running daemon about the folders that it watches")
    asked = parser.parse_args()
    questions = [json.loads(line) for line in asked.questions.read_text("utf-8").splitlines() if line.strip()]
    if asked.url:
        ask = over_http(asked.url)
        answers = [ask(question["question"]) for question in questions]
        curve(questions, [value for value, _ in answers], answers[0][1])
    else:
        curve(questions, *asyncio.run(over_samples(questions, HERE.parent / "samples")))


if __name__ == "__main__":
    main()
