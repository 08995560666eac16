"""Where a growing Markdown text can be cut so that the part before the cut never changes again.

Parsing and laying out all of a long answer for each word that is added would take a core, so what is closed is read
once and only the open block is read anew. This module finds the border; it draws nothing.
"""

import re

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_CONTAINER = re.compile(r" {0,3}(?:[-*+](?:\s|$)|\d{1,9}[.)](?:\s|$)|>)")


def closed_length(text: str) -> int:
    """Characters at the beginning of `text` that hold only whole blocks, a multiple of whole lines.

    A list or a quote counts as closed only when a line that cannot belong to it has begun, because
    what follows a blank line may still be its next item. Linear in the length of `text`.
    """
    closed = position = 0
    fence = ""  # the marker that opened the code block we are in
    container = False  # in a list or quote, which a blank line does not end
    blank = True  # the line before was blank, or there was none
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            # The beginning of a line is enough to see that a list has ended, unless it is only white space.
            if container and blank and not fence and _ends_container(line, whole=False):
                closed = position
            break
        start, position = position, position + len(line)
        content = line.rstrip("\n")
        marker = _FENCE.match(content)
        if fence:
            if marker and marker[1].startswith(fence) and not marker[2].strip():
                fence, blank = "", True
                if not container:
                    closed = position
            continue
        if not content.strip():
            blank = True
            if not container:
                closed = position
            continue
        if container and blank and _ends_container(content, whole=True):
            container, closed = False, start
        if _CONTAINER.match(content):
            container = True
        if marker and "`" not in marker[2]:
            fence = marker[1]
        blank = False
    return closed


def _ends_container(line: str, *, whole: bool) -> bool:
    """Whether a line after a blank one is outside of the list or quote before it."""
    if not line.strip() or line[0] in " \t":
        return False
    if _CONTAINER.match(line):
        return False
    # "1" or "-" may still become "1. " or "- ".
    return whole or not re.fullmatch(r"[-*+>]|\d{1,9}[.)]?", line)
