"""The small change of GBNF text: literals, character classes, repetitions, rules.

Native code expands a repetition into one rule a time and takes a maximum over 2,000 for none at all, so
a long one is cut here into blocks which share their rules.
"""

from collections.abc import Callable, Iterable, Mapping

BLOCK = 500
"""Times that one native repetition stands for."""

UNLIMITED = 1_000_000
"""A maximum that no context window reaches, in characters or in array items."""

LAST_CODE_POINT = 0x10FFFF


def literal(text: str) -> str:
    """`text` as a quoted GBNF terminal."""
    return '"' + "".join(_escaped(character, '"\\') for character in text) + '"'


def character_class(intervals: Iterable[tuple[int, int]]) -> str:
    """`[...]` for the code points in inclusive intervals."""
    parts = []
    for first, last in intervals:
        part = _escaped(chr(first), "\\[]-^")
        parts.append(part if first == last else f"{part}-{_escaped(chr(last), chr(92) + '[]-^')}")
    return "[" + "".join(parts) + "]"


def render(rules: Mapping[str, str]) -> str:
    """The text of a grammar from right sides by rule name."""
    return "".join(f"{name} ::= {body}\n" for name, body in rules.items())


def repeat(item: str, least: int, most: int | None, add: Callable[[str, str], str]) -> str:
    """GBNF for `item` (a rule's name or a class) `least` to `most` times, None being without end.

    `add(hint, body)` adds a rule and returns its name. Up to n in blocks of B: `x{0,B-1} | x{B} (up to n-B)`, of
    which a text can only ever be in two places.
    """
    if most is not None and most >= UNLIMITED:
        most = None
    if most is None:
        return " ".join(filter(None, (_exactly(item, least, add), f"{item}*")))
    if most <= BLOCK:
        return f"{item}{{{least},{most}}}" if most else '""'
    return " ".join(filter(None, (_exactly(item, least, add), _up_to(item, most - least, add))))


def _exactly(item: str, times: int, add: Callable[[str, str], str]) -> str:
    blocks, rest = divmod(times, BLOCK)
    parts = []
    if blocks:
        block = add("block", f"{item}{{{BLOCK}}}")
        parts.append(f"{block}{{{blocks}}}")
    if rest:
        parts.append(f"{item}{{{rest}}}")
    return " ".join(parts)


def _up_to(item: str, times: int, add: Callable[[str, str], str]) -> str:
    if times <= 0:
        return ""
    blocks, rest = divmod(times, BLOCK)
    name = f"{item}{{0,{rest}}}" if rest else '""'
    if not blocks:
        return name
    block = add("block", f"{item}{{{BLOCK}}}")
    short = add("short", f"{item}{{0,{BLOCK - 1}}}")
    for _ in range(blocks):
        name = add("upto", f"{short} | {block} {name}")
    return name


def _escaped(character: str, special: str) -> str:
    code = ord(character)
    if 32 <= code < 127:
        # `^` has no escape of its own in GBNF
        if character in special:
            return f"\\x{code:02X}" if character == "^" else "\\" + character
        return character
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
