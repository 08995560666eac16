"""Markdown of answers, as every front end reads it: the parser, where a growing text can be cut, its blocks of code.

Parsing and laying out all of a long answer for each word that is added would take a core, so what is closed is read
once and only the open block is read anew. Nothing is drawn here. Loaded when there is an answer to show.
"""

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

MAX_NESTING = 12
"""Quotes within quotes that are still read; a hostile text nests thousands."""
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_CONTAINER = re.compile(r" {0,3}(?:[-*+](?:\s|$)|\d{1,9}[.)](?:\s|$)|>)")
_CODE = ("fence", "code_block")


def markdown_parser() -> MarkdownIt:
    """GitHub's tables and strikes, no HTML: a tag is text. Nesting is bounded, and bare words become no links."""
    return MarkdownIt("gfm-like", {"maxNesting": MAX_NESTING, "linkify": False, "html": False})


def code_blocks(text: str, kinds: Sequence[str] = _CODE) -> list[str]:
    """The insides of the blocks of code, in order; one that is still open counts to the end."""
    return [token.content for token in _blocks(text) if token.type in kinds]


def closed_length(text: str) -> int:
    """Characters at the beginning of `text` that are whole blocks, whatever comes after; a multiple of whole lines.

    A list or a quote counts as closed only when a line that cannot belong to it has begun, because what follows a
    blank line may still be its next item. The parser is asked only where a border is likely: that costs a tenth.
    """
    return _border(text) if _is_border_likely(text) else 0


def _is_border_likely(text: str) -> bool:
    fence = ""  # the marker that opened the code block we are in
    container = False  # in a list or quote, which a blank line does not end
    blank = True  # the line before was blank, or there was none
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            return container and blank and not fence and _begins_another(line)
        marker = _FENCE.match(line)
        if fence:
            if marker and marker[1].startswith(fence) and not marker[2].strip():
                if not container:
                    return True
                fence, blank = "", True
            continue
        if not line.strip():
            if not container:
                return True
            blank = True
            continue
        if container and blank and line[0] not in " \t" and not _CONTAINER.match(line):
            return True
        container = container or _CONTAINER.match(line) is not None
        if marker and "`" not in marker[2]:
            fence = marker[1]
        blank = False
    return False


def _border(text: str) -> int:
    """Where the last block of all begins, or ends when nothing can be added to it."""
    whole = text.rpartition("\n")[0] + "\n"
    begun = text[len(whole) :]
    if begun and whole.endswith("\n\n") and _begins_another(begun):
        whole = text
    outer = [token for token in _blocks(whole) if token.level == 0 and token.map]
    if not outer:
        return 0
    lines = whole.splitlines(keepends=True)
    first, end = outer[-1].map or (0, 0)
    border = first
    if _has_ended(outer[-1], lines[first:end], lines[end : end + 1]):
        border = end
        while border < len(lines) and not lines[border].strip():
            border += 1
    return len("".join(lines[:border]))


def _has_ended(block: Token, lines: Sequence[str], after: Sequence[str]) -> bool:
    match block.type:
        case "heading_open" | "hr":
            return True
        case "paragraph_open" | "table_open":
            return bool(after) and not after[0].strip()
        case "fence":
            marker = _FENCE.match(lines[-1])
            return len(lines) > 1 and bool(marker and marker[1].startswith(block.markup) and not marker[2].strip())
    return False


def _begins_another(line: str) -> bool:
    """Whether the beginning of a line is, after a blank one, outside of the list or quote before it."""
    if not line.strip() or line[0] in " \t" or _CONTAINER.match(line):
        return False
    # "1" or "-" may still become "1. " or "- ".
    return not re.fullmatch(r"[-*+>]|\d{1,9}[.)]?", line)


def _blocks(text: str) -> list[Token]:
    """The blocks alone: what stands in paragraphs takes most of the time."""
    parser = markdown_parser()
    parser.core.ruler.disable("inline")
    return parser.parse(text)
