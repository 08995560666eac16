"""GBNF text: writing literals and rules, and checking a client's grammar before native code parses it."""

from collections.abc import Mapping

from localmind.errors import InvalidRequest

MAX_SIZE = 1 << 18


def literal(text: str) -> str:
    """`text` as a quoted GBNF terminal."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def render(rules: Mapping[str, str]) -> str:
    """The text of a grammar from right sides by rule name."""
    return "".join(f"{name} ::= {body}\n" for name, body in rules.items())


def check_gbnf(text: str) -> None:
    """Raise InvalidRequest for a grammar that llama.cpp would not take, or would never get done with."""
    if len(text) > MAX_SIZE:
        raise InvalidRequest(f"grammar: {len(text):,} characters are more than {MAX_SIZE:,}")


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    if 32 <= code < 127:
        return character
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
