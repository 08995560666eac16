"""The sample folder and the questions about it must agree, or every later figure about retrieval is worthless.

These tests read the files with the plainest means there are, never with our own extractors: a bug in an
extractor must not be able to hide a missing fact.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import docx
import pypdfium2
import pytest

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
QUESTIONS: dict[str, Any] = tomllib.loads((ROOT / "tests/data/questions.toml").read_text(encoding="utf-8"))


def plain_text(path: Path, page: int | None = None) -> str:
    match path.suffix:
        case ".pdf":
            with pypdfium2.PdfDocument(str(path)) as pdf:
                pages = [sheet.get_textpage().get_text_range() for sheet in pdf]
            text = pages[page - 1] if page else "\n".join(pages)
        case ".docx":
            text = "\n".join(paragraph.text for paragraph in docx.Document(str(path)).paragraphs)
        case _:
            text = path.read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", text)


def test_the_folder_holds_every_kind_of_file_that_the_demo_promises() -> None:
    files = [path for path in SAMPLES.rglob("*") if path.is_file()]
    assert len(files) >= 18
    assert {path.suffix for path in files} >= {".md", ".txt", ".html", ".py", ".csv", ".pdf", ".docx"}


def test_the_pdf_has_several_pages() -> None:
    with pypdfium2.PdfDocument(str(SAMPLES / "home/rental-agreement.pdf")) as pdf:
        assert len(pdf) == 3


def test_there_are_enough_questions_of_both_kinds_and_none_is_asked_twice() -> None:
    asked = [entry["question"] for kind in ("answerable", "unanswerable") for entry in QUESTIONS[kind]]
    assert len(QUESTIONS["answerable"]) >= 25
    assert len(QUESTIONS["unanswerable"]) >= 15
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("entry", QUESTIONS["answerable"], ids=lambda entry: entry["question"])
def test_the_answer_stands_in_the_named_file_and_in_no_other(entry: dict[str, Any]) -> None:
    right = SAMPLES / entry["file"]
    assert all(word in plain_text(right, entry.get("page")) for word in entry["words"])
    for other in SAMPLES.rglob("*"):
        if other.is_file() and other != right:
            assert not all(word in plain_text(other) for word in entry["words"]), f"also in {other}"
