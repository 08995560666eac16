"""JSON strings: their characters, fixed texts, lengths and formats."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from localmind.engine.grammar.gbnf import literal

CHARACTER = (
    r'[^"\\\x00-\x1F\x7F\uD800-\uDFFF] | "\\" (["\\/bfnrt] | '
    r'"u" ([0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}))'
)
"""One character of a string, in whichever spelling. No escaped surrogates: half of a pair is no character, and a
whole one would count as two."""

PLAIN_CHARACTER = r"[^\"\\\x00-\x1F\x7F\uD800-\uDFFF]"

_MONTHS = (
    '(("0" [13578] | "1" [02]) "-" ("0" [1-9] | [12] [0-9] | "3" [01]) | '
    '("0" [469] | "11") "-" ("0" [1-9] | [12] [0-9] | "30") | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8]))'
)
_DATE = f'[12] [0-9]{{3}} "-" {_MONTHS}'
_HOURS = '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9]'
_TIME = f'{_HOURS} ":" [0-5] [0-9] ("." [0-9]{{1,6}})? ("Z" | [-+] {_HOURS})'
_HEX = "[0-9a-f]"

FORMATS = {
    "date": (_DATE, 10, 10),
    "time": (_TIME, 9, 21),
    "date-time": (f'{_DATE} "T" {_TIME}', 20, 32),
    "uuid": (f'{_HEX}{{8}} "-" {_HEX}{{4}} "-" {_HEX}{{4}} "-" {_HEX}{{4}} "-" {_HEX}{{12}}', 36, 36),
}
"""GBNF of the text between the quotes, and its shortest and longest. 29 February is left out: it is not every year."""

FLAT_DEPTH = 40


def encoded(value: Any) -> str:
    """JSON text of a value the way grammars write it."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def one_of(texts: Sequence[str]) -> str:
    """GBNF for one of several texts, as a tree, so that a state of the grammar stands for a prefix and not for all
    texts that share it."""
    return _tree(sorted(set(texts)), 0)


def _tree(texts: list[str], depth: int) -> str:
    if len(texts) == 1 or depth > FLAT_DEPTH:
        return " | ".join(literal(text) for text in texts)
    options = []
    start = 0
    while start < len(texts):
        head = texts[start][:1]
        end = start
        while end < len(texts) and texts[end][:1] == head:
            end += 1
        group = texts[start:end]
        start = end
        if not head:
            options.append('""')
        elif len(group) == 1:
            options.append(literal(group[0]))
        else:
            shared = _shared(group[0], group[-1])
            options.append(f"{literal(group[0][:shared])} ({_tree([text[shared:] for text in group], depth + 1)})")
    return " | ".join(options)


def _shared(one: str, other: str) -> int:
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    return length


def none_of(names: Sequence[str], character: str, add: Callable[[str, str], str]) -> str:
    """The rest of a string, closing quote included, that is none of `names`; it has no escapes, by which a name could
    be written in another way. `character` is the rule of a plain character."""
    plain = {name for name in names if all(one >= " " and one not in '"\\\x7f' for one in name)}
    return add("key", _none_of(sorted(plain), character, add))


def _none_of(names: list[str], character: str, add: Callable[[str, str], str]) -> str:
    heads: dict[str, list[str]] = {}
    for name in names:
        heads.setdefault(name[:1], []).append(name[1:])
    options = [] if "" in heads else ['"\\""']
    heads.pop("", None)
    for head, rest in heads.items():
        options.append(f"{literal(head)} {add('key', _none_of(rest, character, add))}")
    others = "".join(f"\\U{ord(head):08X}" for head in heads)
    options.append(rf'[^"\\\x00-\x1F\x7F\uD800-\uDFFF{others}] {character}* "\""')
    return " | ".join(options)
