"""Real extraction, MiniLM and Chroma over samples/: how many questions are answered, and how many refused."""

import json
import shutil
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from knowledge_fakes import EMBED_METHODS, VECTOR_METHODS, FakeCalls

from localmind.knowledge.chroma_worker import VectorCalls
from localmind.knowledge.embed_worker import EmbedCalls
from localmind.knowledge.embedder import EmbedModel
from localmind.knowledge.exact import Exact
from localmind.knowledge.extract_worker import ExtractCalls
from localmind.knowledge.knowledge import Knowledge

TESTS = Path(__file__).parents[1]
QUESTIONS = tomllib.loads((TESTS / "data/questions.toml").read_text())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the index is built by the first test and opened again by the others."""
    place = tmp_path_factory.mktemp("real")
    shutil.copytree(TESTS.parent / "samples", place / "samples")
    return place


@pytest.fixture
async def samples(place: Path, embed_model_dir: Path) -> AsyncIterator[tuple[Knowledge, Path]]:
    embed, vectors, extract = EmbedCalls(), VectorCalls(), ExtractCalls()
    folder = place / "samples"
    knowledge = Knowledge(
        place / "state/knowledge.db",
        chroma_dir=place / "state/chroma",
        embed=FakeCalls({name: getattr(embed, name) for name in EMBED_METHODS} | {"exact": Exact().exact}),
        vectors=FakeCalls({name: getattr(vectors, name) for name in VECTOR_METHODS}),
        extract=FakeCalls({"extract": extract.extract}),
        embed_model=EmbedModel("all-minilm:l6-v2", embed_model_dir, place / "converted"),
    )
    await knowledge.start()
    await knowledge.add_folder(folder)
    await knowledge.wait_indexed()
    yield knowledge, folder
    await knowledge.close()
    extract.close()
    vectors.close()


async def test_questions_are_answered_from_the_right_file_or_refused(samples: tuple[Knowledge, Path]) -> None:
    knowledge, folder = samples
    [status] = await knowledge.folders()
    assert status.errors == ()
    assert status.files >= 25
    first = found = refused = 0
    for item in QUESTIONS["answerable"]:
        passages = await knowledge.search(item["question"], limit=5)
        right = [
            passage.number
            for passage in passages
            if passage.path == str(folder / item["file"])
            and all(words.lower() in " ".join(passage.text.split()).lower() for words in item["words"])
        ]
        found += bool(right)
        first += right[:1] == [1]
        assert all(passage.page == item["page"] for passage in passages if passage.number in right and "page" in item)
    for item in QUESTIONS["unanswerable"]:
        refused += not await knowledge.search(item["question"])
    answerable, unanswerable = len(QUESTIONS["answerable"]), len(QUESTIONS["unanswerable"])
    print(f"first {first}/{answerable}, in five {found}/{answerable}, refused {refused}/{unanswerable}")
    assert first >= 0.85 * answerable
    assert found >= 0.95 * answerable
    # Most of these are near misses: the right passage is found and does not say it, which a model has to notice.
    assert refused >= 0.45 * unanswerable


async def test_paraphrases_are_answered_and_what_is_not_in_the_files_is_refused(
    samples: tuple[Knowledge, Path],
) -> None:
    knowledge, folder = samples
    lost, missed, refused = [], [], []
    for item in map(json.loads, (TESTS.parent / "benchmarks/data/household.jsonl").read_text().splitlines()):
        passages = await knowledge.search(item["question"], limit=5)
        if item["path"] is None:
            refused += [item["question"]] * (not passages)
        elif not passages:
            lost.append(item["question"])
        elif not any(Path(one.path) == folder.parent / item["path"] for one in passages):
            missed.append(item["question"])
    # The floor was chosen on these questions, so this holds a figure and proves no quality elsewhere.
    assert len(lost) <= 4, lost
    assert len(refused) >= 24
    assert len(missed) <= 3, missed


async def test_cited_lines_are_the_lines_of_the_file(samples: tuple[Knowledge, Path]) -> None:
    knowledge, _ = samples
    for question in (
        "When was the boiler last serviced?",
        "Which colour is the long wall?",
        "grandmother's lentil soup",
    ):
        for passage in await knowledge.search(question, limit=10):
            if passage.path.endswith((".md", ".txt", ".py", ".csv")):
                lines = Path(passage.path).read_text().split("\n")
                assert "\n".join(lines[passage.line_start - 1 : passage.line_end]).strip() == passage.text.strip()
            elif passage.path.endswith(".html"):
                words = passage.text.split()[-3:]
                lines = Path(passage.path).read_text().split("\n")[passage.line_start - 1 : passage.line_end]
                assert all(word in " ".join(lines) for word in words)
