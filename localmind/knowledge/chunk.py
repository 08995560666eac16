"""Cuts a document into chunks that tile it: no character is lost, none is in two chunks.

Borders are chosen by semantic-text-splitter (headings, paragraphs, sentences, words) so that a chunk
with its heading fits the embedder. A chunk never crosses a page, and knows its characters, its
lines (1-based, inclusive, without blank lines at its ends), its page and its heading trail. Joining
neighbours therefore gives back the exact text, which is how search widens a passage.
"""

import bisect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localmind.knowledge.extract import Extracted

# Part of a file's recipe: raise it when the same text would be cut elsewhere.
VERSION = 1

# Tokens of the embedder. MiniLM reads 256 with its two special tokens; the heading trail needs room too.
TOKENS = 200
# Without a tokenizer: characters that are about as many tokens of English prose.
CHARACTERS = 800

# What the tokenizer would need seconds for and no embedder can use: a run without any blank, e.g. base64.
_RUN = re.compile(r"\S{2000,}")


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


Split = Callable[[str], Iterable[tuple[int, str]]]
"""(start in characters, piece) of all pieces of a text, in order and without gaps."""


def splitter(tokenizer_file: Path | None, *, markdown: bool, tokens: int = TOKENS) -> Split:
    """A splitter that measures with the embedder's tokenizer, or by characters when there is none."""
    import semantic_text_splitter as library

    cls: Any = library.MarkdownSplitter if markdown else library.TextSplitter
    by_characters = cls(CHARACTERS, trim=False)
    if tokenizer_file is None:
        return lambda text: by_characters.chunk_indices(text)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    by_tokens = cls.from_huggingface_tokenizer(tokenizer, tokens, trim=False)
    return lambda text: (by_characters if _RUN.search(text) else by_tokens).chunk_indices(text)


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
                )
            )
    return chunks


def _sections(document: Extracted) -> Iterator[tuple[int | None, int, int]]:
    """(page, start, end) of every part that no chunk may cross."""
    if document.pages is None:
        yield None, 0, len(document.text)
        return
    ends = [*document.pages[1:], len(document.text)]
    for number, (start, end) in enumerate(zip(document.pages, ends, strict=True), start=1):
        yield number, start, end


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
