"""The words of Go's template language: text between actions, and the tokens inside `{{ }}`.

What they mean is go_template.py's to say.
"""

import json
import re
from dataclasses import dataclass

from localmind.errors import InvalidRequest

_token = re.compile(
    r"(?P<space>\s+)|(?P<text>\"(?:\\.|[^\"\\\n])*\"|`[^`]*`)|(?P<mark>:=|[|=(),])|(?P<variable>\$\w*)"
    r"|(?P<fields>(?:\.[A-Za-z]\w*)+)|(?P<dot>\.)|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_]\w*)"
)
_comment = re.compile(r"-?\s*/\*.*?\*/\s*-?", re.S)


@dataclass(slots=True, frozen=True)
class Token:
    kind: str
    text: str
    glued: bool
    """Nothing stands between it and the one before."""


@dataclass(slots=True, frozen=True)
class Part:
    """Text between actions, or the tokens of an action."""

    line: int
    text: str = ""
    tokens: tuple[Token, ...] | None = None


def parts(source: str) -> list[Part]:
    """A template in pieces, blanks dropped where its actions say so. Raises InvalidRequest with a line."""
    found: list[Part] = []
    at, trims = 0, False
    while at < len(source):
        opened = source.find("{{", at)
        text = source[at:] if opened < 0 else source[at:opened]
        text = text.lstrip() if trims else text
        if opened < 0:
            found.append(Part(0, text))
            break
        line = source.count("\n", 0, opened) + 1
        inside = opened + 2
        before = source[inside : inside + 1] == "-" and source[inside + 1 : inside + 2].isspace()
        tokens, at, trims = _action(source, inside + before, line)
        found.append(Part(line, text.rstrip() if before else text))
        if tokens:
            found.append(Part(line, tokens=tokens))
    return found


def _action(source: str, at: int, line: int) -> tuple[tuple[Token, ...], int, bool]:
    """The tokens of an action, the place behind its `}}`, and whether blanks are dropped there."""
    tokens: list[Token] = []
    if (comment := _comment.match(source, at)) is not None and source.startswith("}}", comment.end()):
        return (), comment.end() + 2, comment[0].endswith("-")
    glued = False
    while True:
        if source.startswith("}}", at):
            return tuple(tokens), at + 2, False
        if not glued and source.startswith("-}}", at):
            return tuple(tokens), at + 3, True
        found = _token.match(source, at)
        if found is None:
            what = f"{source[at : at + 20]!r} is not understood" if at < len(source) else "an action is not closed"
            raise InvalidRequest(f"TEMPLATE line {line}: {what}")
        if found.lastgroup != "space":
            tokens.append(Token(str(found.lastgroup), found[0], glued))
        glued, at = found.lastgroup != "space", found.end()


def unquoted(text: str, line: int) -> str:
    """What a string in an action stands for. Raises InvalidRequest."""
    if text[0] == "`":
        return text[1:-1]
    try:
        return str(json.loads(text))
    except ValueError:
        raise InvalidRequest(f"TEMPLATE line {line}: {text[:40]} has an escape that is not understood") from None
