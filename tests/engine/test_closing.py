"""Answers that must have a shape get it within their tokens, whatever the model chooses; nothing is done too early."""

import json
import random

import jsonschema
import pytest
from grammar_walk import Walk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localmind.engine import grammar
from localmind.engine.closing import Closing, least_tokens
from localmind.engine.grammar.parse import parse
from localmind.engine.grammar.shortest import ENDLESS, Grammar
from localmind.engine.output.constrain import answer_constraint
from localmind.messages import ResponseFormat, ToolUse
from tests.engine.chat_families import FAMILIES, TOOLS
from tests.engine.test_grammar_schema import EXAMPLES, SCHEMAS
from tests.engine.test_tool_constraint import assert_valid_calls
from tests.engine.test_tool_output import Heard, form_of

WORDS = [
    '{"',
    '": ',
    '", "',
    "the ",
    " cat",
    "日本",
    "é",
    "🦊"[:1],
    "[[",
    "]]",
    "}}",
    "12",
    "true",
    "\n</tool_call>",
    "<tool_call>",
]
PIECES = [bytes([byte]) for byte in range(256)] + [word.encode() for word in WORDS]
PIECES += ["🦊".encode()[:2], "日".encode()[1:], b"\x97\xa5\xe6"]
END = len(PIECES)


def text_of(token: int) -> bytes:
    return PIECES[token] if token < END else b""


def spell(text: bytes) -> list[int]:
    """The longest pieces first."""
    tokens = []
    while text:
        token = max((token for token in range(END) if text.startswith(PIECES[token])), key=lambda one: len(PIECES[one]))
        tokens.append(token)
        text = text[len(PIECES[token]) :]
    return tokens


class Writer:
    """A model that chooses at random among what the grammar allows, and says as much as it can."""

    def __init__(self, gbnf: str, chance: random.Random) -> None:
        self.grammar = Grammar(parse(gbnf))
        self.chance = chance
        assert self.grammar.start is not None
        self.place, self.begun = self.grammar.start, b""

    def after(self, token: int):
        data = self.begun + text_of(token)
        for cut in range(len(data), max(-1, len(data) - 4), -1):
            try:
                place = self.grammar.after(self.place, data[:cut].decode())
            except UnicodeDecodeError:
                continue
            begun = data[cut:]
            if place is None or (begun and not (_begins(begun) and self.grammar.completing(place, begun))):
                return None
            return place, begun
        return None

    def choose(self) -> int:
        """A token that is allowed, the end only when nothing else is."""
        for _ in range(40):
            token = self.chance.randrange(END)
            if self.after(token) is not None:
                return token
        allowed = [token for token in range(END) if self.after(token) is not None]
        return self.chance.choice(allowed) if allowed else END

    def accept(self, token: int) -> None:
        following = self.after(token)
        assert following is not None, "what is taken instead is allowed as well"
        self.place, self.begun = following


def _begins(begun: bytes) -> bool:
    try:
        begun.decode()
    except UnicodeDecodeError as problem:
        return problem.reason == "unexpected end of data"
    return False


def write(gbnf: str, room: int, seed: int) -> tuple[str, Closing, bool]:
    """An answer of at most `room` tokens, who closed it, and whether it ended before they were used up."""
    writer = Writer(gbnf, random.Random(seed))
    closing = Closing(Grammar(parse(gbnf)), text_of, spell, frozenset({END}), room)
    data = b""
    for _ in range(room):
        token = closing.instead(writer.choose())
        if token == END:
            assert writer.place.may_end
            return data.decode(), closing, True
        writer.accept(token)
        data += text_of(token)
    return data.decode("utf-8", "replace"), closing, False


ROOMS = st.one_of(st.integers(0, 12), st.integers(0, 60))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(SCHEMAS, ROOMS, st.integers())
def test_a_document_of_any_schema_is_whole_and_valid_in_any_number_of_tokens_that_holds_its_shortest(
    schema, more, seed
):
    gbnf = grammar.schema_to_gbnf(schema)
    least = least_tokens(Grammar(parse(gbnf)), spell)
    assert least is not None
    text, _, _ = write(gbnf, least + more, seed)
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("more", [0, 7])
def test_a_required_call_of_every_family_is_valid_in_few_tokens(family, more):
    constraint = answer_constraint(form_of(family), ToolUse(TOOLS, choice="required"), ResponseFormat())
    assert constraint is not None
    least = least_tokens(Grammar(parse(constraint.gbnf)), spell)
    assert least is not None
    for seed in range(2 if more else 1):
        text, _, _ = write(constraint.gbnf, least + more, seed)
        assert_valid_calls(Heard(form_of(family), [text], ToolUse(TOOLS)), {"get_weather", "now"})


@pytest.mark.parametrize("schema", EXAMPLES, ids=lambda schema: json.dumps(schema)[:40])
def test_from_anywhere_in_a_document_the_shortest_completion_is_one_and_as_short_as_said(schema):
    gbnf = grammar.schema_to_gbnf(schema)
    followed = Grammar(parse(gbnf))
    for seed in range(2):
        text = Walk(gbnf, seed).text()
        place = followed.start
        for number, character in enumerate(text, 1):
            place = followed.after(place, character)
            assert place is not None, f"{text[:number]!r} is a beginning"
            rest = followed.shortest(place)
            assert len(rest.encode()) == place.least <= followed.most
            json.loads(text[:number] + rest)
        assert place is not None
        assert place.may_end


def test_an_answer_with_tokens_to_spare_is_left_alone_and_one_that_is_cut_short_says_so():
    gbnf = grammar.schema_to_gbnf({"type": "array", "items": {"type": "integer"}, "maxItems": 3})
    text, closing, ended = write(gbnf, 400, 3)
    assert ended
    assert not closing.hurried
    json.loads(text)
    text, closing, _ = write(gbnf, 3, 3)
    assert closing.hurried
    json.loads(text)


def test_what_is_chosen_is_taken_while_its_completion_fits_and_not_a_token_longer():
    gbnf = 'root ::= "[" [a-z]* "]"'
    closing = Closing(Grammar(parse(gbnf)), text_of, spell, frozenset({END}), 6)
    taken = [closing.instead(token) for token in b"[abcdef"[:6]]
    assert bytes(taken) == b"[abcd]"
    assert closing.hurried


def test_where_not_even_the_shortest_fits_nothing_is_done():
    gbnf = 'root ::= "[" [a-z]* "]"'
    closing = Closing(Grammar(parse(gbnf)), text_of, spell, frozenset({END}), 1)
    assert closing.instead(ord("[")) == ord("[")
    assert not closing.hurried


def test_a_character_that_was_begun_is_ended_with_its_own_bytes():
    gbnf = 'root ::= "\\"" [^"a-z]* "\\""'
    begins_another = PIECES.index(b"\x97\xa5\xe6")
    closing = Closing(Grammar(parse(gbnf)), text_of, spell, frozenset({END}), 5)
    data = [closing.instead(token) for token in (ord('"'), "日".encode()[0], begins_another, 0x80, ord("A"))]
    text = b"".join(map(text_of, data)).decode()
    assert len(text) == 3
    assert text[0] == text[2] == '"'
    assert closing.hurried


def test_a_grammar_too_ambiguous_to_follow_is_not_followed_and_costs_little():
    options = " | ".join(f'"a"{{{count},{count + 1}}} [b-{letter}]' for count, letter in enumerate("cdefghijkl" * 60))
    followed = Grammar(parse(f"root ::= ({options})*"))
    assert followed.start is None
    closing = Closing(followed, text_of, spell, frozenset({END}), 5)
    assert [closing.instead(ord("a")) for _ in range(5)] == [ord("a")] * 5


def test_what_a_rule_without_bound_may_still_need_has_no_bound():
    assert Grammar(parse('root ::= "[" root? "]"')).most >= ENDLESS
    assert Grammar(parse('root ::= "<" tail\ntail ::= "x" tail | ">"')).most == 2
