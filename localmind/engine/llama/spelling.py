"""A text in tokens whose own texts are exactly its bytes, to go on in the middle of an answer.

What a tokenizer makes of a text is meant for a text's beginning: some put a space in front, and a text may end or
begin within a character. So what comes out is compared with what went in, and spelt in smaller pieces where it differs.
"""

from collections.abc import Sequence

from localmind.engine.llama.chain import token_text
from localmind.engine.llama.model import Model

BEFORE = ("", "\n", "0")
"""Texts put in front, behind which a tokenizer adds no space."""


def spell(model: Model, text: bytes, *, plain: bool = False) -> list[int] | None:
    """Tokens for the middle of a text, control tokens where it spells them unless `plain`; None if it cannot be."""
    start = next((place for place, byte in enumerate(text) if not 0x80 <= byte < 0xC0), len(text))
    found = [model.byte_tokens.get(byte) for byte in text[:start]]
    rest = text[start:].decode()
    tokens = (None if plain else _exact(model, rest, special=True)) or _exact(model, rest, special=False)
    if tokens is None:
        singles = [_exact(model, character, special=False) for character in rest]
        tokens = [token for single in singles for token in single or (None,)]
    found += tokens
    whole = [token for token in found if token is not None]
    return whole if len(whole) == len(found) else None


def _exact(model: Model, text: str, *, special: bool) -> "Sequence[int | None] | None":
    if not text:
        return []
    wanted = text.encode()
    for before in BEFORE:
        tokens = list(model.tokenize(before + text, add_special=False, parse_special=special))
        if model.end_tokens.intersection(tokens):
            continue  # that would end the answer instead of writing the text
        behind = b""
        for place in reversed(range(len(tokens))):
            behind = token_text(model, tokens[place]) + behind
            if behind == wanted:
                return tokens[place:]
            if len(behind) > len(wanted):
                break
    return None
