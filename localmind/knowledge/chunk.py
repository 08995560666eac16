"""Cuts a document into chunks that tile it: no character is lost, none is in two chunks.

Borders are chosen by semantic-text-splitter (headings, paragraphs, sentences, words) so that a chunk
with its heading fits the embedder. A chunk never crosses a page, and knows its characters, its
lines (1-based, inclusive, without blank lines at its ends), its page and its heading trail. Joining
neighbours therefore gives back the exact text, which is how search widens a passage.
"""

import bisect
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localmind.knowledge.extract import Extracted
from localmind.knowledge.formats.code import grammar
from localmind.knowledge.language import extra_words
from localmind.knowledge.tokens import Tokens

# Part of a file's recipe: raise it when the same text would be cut elsewhere.
VERSION = 3

# Tokens of the embedder aimed at and allowed. MiniLM was trained on 128 and reads 256; half of what it reads says one
# thing where the whole says three, and search joins neighbours again (figures: docs/knowledge.md).
TOKENS, TOKENS_LIMIT = 110, 128
# Without a tokenizer: characters that are about as many tokens of English prose.
CHARACTERS = 450
# Characters a token, by steps: a small edit must not move every border of a document.
RATIO_STEP, RATIO_RANGE = 0.5, (1.0, 5.0)
# The sample that is counted for it: so many slices of so many characters, spread over the document.
SLICES, SLICE = 8, 400
# Longer lines are cut here first: the splitter's time grows with the square of a sentence that never ends.
LINE_LIMIT = 20_000
# Of a longer stretch too, which is cut behind a paragraph or line that ends after so many characters: 1,000,000 short
# lines took minutes.
STRETCH = 60_000


@dataclass(slots=True, frozen=True)
class Chunk:
    """One piece of a document. `text` is exactly `document[char_start:char_end]`."""

    text: str
    char_start: int
    char_end: int
    line_start: int
    line_end: int
    page: int | None
    heading: str | None
    extra: str = ""
    """More words for the keyword index: see language.py."""


_ENDLESS = re.compile(rf"[^\n]{{{LINE_LIMIT}}}")

Split = Callable[[str], Iterable[tuple[int, str]]]
"""(start in characters, piece) of all pieces of a text, in order and without gaps."""


def splitter(tokenizer_file: Path | None, kind: str = "plain") -> Split:
    """A splitter whose pieces fit the embedder; by characters alone when there is no tokenizer.

    Markdown is cut at its headings, source code at its definitions, everything else at paragraphs and sentences.

    Splitting by tokens takes 18 s a megabyte, by characters 0.3 s (measured). So the size in characters is chosen
    by how many of them make a token in this document, and a piece that came out too long is split once more
    by how many make one in it.
    """
    import semantic_text_splitter as library

    language = grammar(kind)
    cls: Any = library.MarkdownSplitter if kind == "markdown" else library.TextSplitter
    if language is not None:
        cls = functools.partial(library.CodeSplitter, language)
    if tokenizer_file is None:
        by_characters = cls(CHARACTERS, trim=False)
        return lambda text: by_characters.chunk_indices(text)
    tokens = Tokens(tokenizer_file)

    def split(text: str) -> Iterator[tuple[int, str]]:
        stride = max(SLICE, len(text) // SLICES)
        sample = "\n".join(text[start : start + SLICE] for start in range(0, len(text), stride))
        ratio = len(sample) / max(1, *tokens.counts([sample]))
        ratio = min(max(ratio // RATIO_STEP * RATIO_STEP, RATIO_RANGE[0]), RATIO_RANGE[1])
        return fitting(text, int(TOKENS * ratio))

    def fitting(text: str, characters: int) -> Iterator[tuple[int, str]]:
        pieces = cls(characters, trim=False).chunk_indices(text)
        for (start, piece), count in zip(pieces, tokens.counts([piece for _, piece in pieces]), strict=True):
            # A single character may be many tokens, and cannot be cut.
            if count <= TOKENS_LIMIT or len(piece) == 1:
                yield start, piece
            else:
                for inner, part in fitting(piece, max(1, len(piece) * TOKENS // count)):
                    yield start + inner, part

    return split


def chunk(document: Extracted, split: Split) -> list[Chunk]:
    """All chunks of a document in order, blank ones included in their neighbour before (or after)."""
    text = document.text
    newlines = [match.start() for match in re.finditer("\n", text)]
    heading_starts = [heading.start for heading in document.headings]
    chunks: list[Chunk] = []
    for page, start, end in _sections(document):
        for piece_start, piece_end in _join_blank(text, _pieces(text[start:end], start, split)):
            body = text[piece_start:piece_end]
            if not body.strip():
                continue
            first = piece_start + len(body) - len(body.lstrip())
            last = piece_start + len(body.rstrip()) - 1
            under = bisect.bisect_right(heading_starts, first) - 1
            chunks.append(
                Chunk(
                    text=body,
                    char_start=piece_start,
                    char_end=piece_end,
                    line_start=bisect.bisect_left(newlines, first) + 1,
                    line_end=bisect.bisect_left(newlines, last) + 1,
                    page=page,
                    heading=(document.headings[under].trail or None) if under >= 0 else None,
                    extra=extra_words(body),
                )
            )
    return chunks


def _sections(document: Extracted) -> Iterator[tuple[int | None, int, int]]:
    """(page, start, end) of every part that no chunk may cross: pages, and slices of endless lines."""
    if document.pages is None:
        bounds: list[tuple[int | None, int, int]] = [(None, 0, len(document.text))]
    else:
        ends = [*document.pages[1:], len(document.text)]
        bounds = [(number, start, end) for number, (start, end) in enumerate(zip(document.pages, ends, strict=True), 1)]
    for page, start, end in bounds:
        for cut in _ENDLESS.finditer(document.text, start, end):
            yield from _stretches(document.text, page, start, cut.end())
            start = cut.end()
        yield from _stretches(document.text, page, start, end)


def _stretches(text: str, page: int | None, start: int, end: int) -> Iterator[tuple[int | None, int, int]]:
    """The same part in stretches that the splitter has time for."""
    while end - start > 2 * STRETCH:
        for mark in ("\n\n", "\n"):
            found = text.find(mark, start + STRETCH, start + 2 * STRETCH)
            if found >= 0:
                break
        cut = found + len(mark) if found >= 0 else start + 2 * STRETCH
        yield page, start, cut
        start = cut
    yield page, start, end


def _pieces(text: str, offset: int, split: Split) -> Iterator[tuple[int, int]]:
    if not text.strip():
        yield offset, offset + len(text)
        return
    for start, piece in split(text):
        yield offset + start, offset + start + len(piece)


def _join_blank(text: str, pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Give a piece of white space only to the piece before it; a leading one to the piece after."""
    joined: list[tuple[int, int]] = []
    for start, end in pieces:
        blank = not text[start:end].strip()
        if joined and (blank or not text[joined[-1][0] : joined[-1][1]].strip()):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
