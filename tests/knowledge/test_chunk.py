"""Chunks tile a document: offsets, lines, pages and headings are exact for any text."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind.knowledge import headings
from localmind.knowledge.chunk import Chunk, chunk, splitter
from localmind.knowledge.extract import Extracted, Heading

PROSE = splitter(None)
MARKDOWN = splitter(None, "markdown")

lines = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=400), max_size=30
)
documents = lines.map("\n".join)
markdown_like = st.lists(
    st.sampled_from(
        ["# One", "## Two", "text " * 40, "", "- item", "```", "=====", "| a | b |", "é中文🎉 " * 30, "\f", "  "]
    ),
    max_size=60,
).map("\n".join)


def check(document: Extracted, chunks: list[Chunk]) -> None:
    text, all_lines = document.text, document.text.split("\n")
    end = 0
    for piece in chunks:
        assert piece.text == text[piece.char_start : piece.char_end]
        assert piece.text.strip()
        assert not text[end : piece.char_start].strip()
        end = piece.char_end
        shown = "\n".join(all_lines[piece.line_start - 1 : piece.line_end])
        assert piece.text.strip() in shown
        assert all_lines[piece.line_start - 1].strip()
        assert all_lines[piece.line_end - 1].strip()
    assert not text[end:].strip()


@given(documents | markdown_like)
def test_no_character_is_lost_and_every_span_is_exact(text: str) -> None:
    for split in (PROSE, MARKDOWN):
        document = Extracted(text)
        check(document, chunk(document, split))


@given(st.lists(documents, min_size=1, max_size=5))
def test_chunks_never_cross_a_page(pages: list[str]) -> None:
    starts = [sum(len(page) + 1 for page in pages[:number]) for number in range(len(pages))]
    document = Extracted("".join(page + "\n" for page in pages), (), tuple(starts))
    chunks = chunk(document, PROSE)
    check(document, chunks)
    for piece in chunks:
        assert piece.page is not None
        start = starts[piece.page - 1]
        assert start <= piece.char_start < piece.char_end <= start + len(pages[piece.page - 1]) + 1


@given(markdown_like)
def test_headings_change_nothing_and_stand_in_order(text: str) -> None:
    for find in (headings.markdown, headings.underlined, headings.org, headings.first_row):
        found = find(text)
        assert [heading.start for heading in found] == sorted(heading.start for heading in found)
        assert all(len(heading.trail) <= 300 for heading in found)


def test_a_chunk_knows_the_heading_it_stands_under() -> None:
    text = "intro\n\n# Boiler\n\n" + "warm " * 85 + "\n\n## Service\n\n" + "serviced " * 48 + "\n\n# Garden\n\nbeans\n"
    chunks = chunk(Extracted(text, headings.markdown(text)), MARKDOWN)
    trails = [piece.heading for piece in chunks]
    assert trails[0] is None
    assert "Boiler > Service" in trails
    assert trails[-1] == "Garden"


def test_markdown_headings_ignore_fences_and_read_underlines() -> None:
    text = "Title\n=====\n\n```sh\n# not a heading\n```\n\nPart\n----\n\n### Deep ###\n\n- item\n---\n"
    assert [heading.trail for heading in headings.markdown(text)] == ["Title", "Title > Part", "Title > Part > Deep"]


def test_rst_levels_come_in_order_of_appearance() -> None:
    text = "Top\n===\n\nPart\n----\n\nDeep\n~~~~\n\nOther\n-----\n"
    assert [heading.trail for heading in headings.underlined(text)] == [
        "Top",
        "Top > Part",
        "Top > Part > Deep",
        "Top > Other",
    ]


def test_rows_of_a_table_stand_under_its_column_names() -> None:
    assert headings.first_row("\nname,price\nsoap,3\n") == (Heading(12, "name,price"),)


def test_chunks_fit_the_embedder(embed_model_dir: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer_file = embed_model_dir / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    text = ("The boiler was serviced in October. It cost 129 euros and took two hours.\n\n" * 200) + "x" * 3000
    document = Extracted(text)
    chunks = chunk(document, splitter(tokenizer_file))
    check(document, chunks)
    words = chunk(Extracted(text[:10000]), splitter(tokenizer_file))
    counts = [len(tokenizer.encode(piece.text).ids) for piece in words]
    assert max(counts) <= 130
    assert sum(counts) / len(counts) > 70


def test_a_long_run_without_blanks_does_not_stall_the_tokenizer(embed_model_dir: Path) -> None:
    document = Extracted("a" * 200_000)
    check(document, chunk(document, splitter(embed_model_dir / "tokenizer.json")))


@pytest.mark.parametrize("text", ["", "\n\n\n", " \t\n"])
def test_a_blank_document_has_no_chunks(text: str) -> None:
    assert chunk(Extracted(text), PROSE) == []
