"""Text that a grammar leaves no choice about is known in advance, spelt whole, and evaluated in one step."""

import json
import random
from array import array

import jsonschema
import numpy
import pytest
from engine_fakes import FakeBackend, FakeSampler, FakeSink, prompt
from grammar_walk import Walk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localmind.engine import grammar
from localmind.engine.forced import Forced
from localmind.engine.generation import Ask
from localmind.engine.grammar.parse import parse
from localmind.engine.grammar.shortest import Grammar
from localmind.engine.loop import Loop
from localmind.messages import SamplingParams
from tests.engine.test_closing import END, Writer, spell, text_of
from tests.engine.test_grammar_schema import EXAMPLES, SCHEMAS
from tests.engine.test_sampling_choice import FakeGrammar, sampler

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"],
}


def forced(gbnf: str) -> Forced:
    return Forced(Grammar(parse(gbnf)), text_of, spell)


def said(tokens) -> bytes:
    return b"".join(text_of(token) for token in tokens)


def write(gbnf: str, seed: int, most: int = 2000) -> tuple[str, int]:
    """A document by one who chooses at random where there is a choice, and how many of its tokens were forced."""
    writer = Writer(gbnf, random.Random(seed))
    rest = forced(gbnf)
    data, ahead = b"", 0
    for _ in range(most):
        known = list(rest.ahead)
        for token in known:
            assert rest.ahead[0] == token, "what is ahead stays ahead until it was taken"
            writer.accept(token)
            rest.took(token)
            data += text_of(token)
        ahead += len(known)
        if rest.ahead:
            continue
        token = writer.choose()
        if token == END:
            return data.decode(), ahead
        writer.accept(token)
        rest.took(token)
        data += text_of(token)
    return "", ahead


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(SCHEMAS, st.integers())
def test_whatever_the_schema_forced_tokens_are_allowed_and_the_document_is_valid(schema, seed):
    text, _ = write(grammar.schema_to_gbnf(schema), seed)
    if text:
        jsonschema.Draft202012Validator(schema).validate(json.loads(text))


@pytest.mark.parametrize("schema", EXAMPLES, ids=lambda schema: json.dumps(schema)[:40])
def test_what_is_forced_is_what_every_document_has_there(schema):
    gbnf = grammar.schema_to_gbnf(schema)
    followed = Grammar(parse(gbnf))
    for seed in range(3):
        text = Walk(gbnf, seed).text()
        place = followed.start
        for number in range(len(text)):
            must, behind = followed.forced(place)
            assert text[number:].startswith(must)
            assert followed.after(place, must) is behind
            place = followed.after(place, text[number])
        assert followed.forced(place)[0] == ""


def test_the_last_token_of_a_forced_text_is_the_models_unless_nothing_follows():
    rest = forced('root ::= "begin" ("a" | "b") "the end"')
    assert said(rest.ahead) == b"begi"
    for token in [*rest.ahead, *b"n"]:
        rest.took(token)
    assert not rest.ahead
    rest.took(ord("b"))
    assert said(rest.ahead) == b"the end"


def test_keys_of_a_schema_are_forced_and_their_order_too():
    rest = forced(grammar.schema_to_gbnf(PERSON))
    assert said(rest.ahead) == b'{"name"'


def test_who_takes_another_spelling_is_followed_from_there():
    rest = forced('root ::= "abcdef" [0-9]')
    assert said(rest.ahead) == b"abcde"
    rest.took(ord("a"))
    rest.took(ord("b"))
    assert said(rest.ahead) == b"cde"
    lost = forced('root ::= "the cat" [0-9]')
    assert said(lost.ahead) == b"the ca"
    lost.took(ord("t"))
    assert said(lost.ahead) == b"he", "spelt anew, the cat with the space before it"


def test_a_choice_between_a_text_and_its_beginning_is_none_of_ours():
    rest = forced('root ::= "ab" ("c" "d")?')
    assert said(rest.ahead) == b"a"
    rest.took(ord("a"))
    rest.took(ord("b"))
    assert not rest.ahead


def test_text_without_an_end_is_looked_ahead_a_bounded_way():
    rest = forced('root ::= "a" root')
    for _ in range(3):
        assert 0 < len(rest.ahead) <= 400
        for token in list(rest.ahead):
            rest.took(token)
        rest.took(ord("a"))


# --- in the sampler and in the loop


def test_a_forced_token_is_taken_before_a_likelier_spelling_but_not_when_it_is_banned():
    row = numpy.zeros(300)
    row[ord("a")] = 5.0
    rules = Grammar(parse('root ::= "abc" [0-9]'))
    word = 290

    def spelt(text: bytes) -> list[int]:
        return [word, ord("c")] if text == b"abc" else list(text)

    def text(token: int) -> bytes:
        return b"ab" if token == word else bytes([token])

    one = sampler(row, FakeGrammar(b"abc1", also=[word]), forced=Forced(rules, text, spelt))
    assert list(one.ahead) == [word]
    assert one.sample(0) == word
    row[word] = -numpy.inf
    banned = sampler(row, FakeGrammar(b"abc1", also=[word]), forced=Forced(rules, text, spelt))
    assert banned.sample(0) == ord("a")
    assert list(banned.ahead) == [ord("b")]


class KnowsAll(FakeSampler):
    """Knows the answer in advance, but for every fourth token."""

    @property
    def ahead(self) -> "array[int]":
        place = len(self._taken)
        answer = self._backend.answer
        return array("i", list(answer[place : place + 3]) if place % 4 else [])

    @ahead.setter
    def ahead(self, _) -> None:
        self._taken: list[int] = []

    def sample(self, index: int) -> int:
        self._taken.append(super().sample(index))
        return self._taken[-1]


class Knowing(FakeBackend):
    def sampler(self, params, constraint, prompt, room):
        self.samplers.append(KnowsAll(self, params, len(prompt)))
        return self.samplers[-1]


@pytest.mark.parametrize("kind", ["any_prefix", "whole"])
@pytest.mark.parametrize("others", [0, 3])
def test_what_is_forced_is_evaluated_in_one_step_for_everybody_where_memory_can_be_cut(loops, kind: str, others: int):
    backend = Knowing(b"0123456789abcdefghijklmnopqrstuvwxyz", kind=kind)
    loops.append(loop := Loop(backend))
    sinks = [FakeSink() for _ in range(others + 1)]
    for number, sink in enumerate(sinks):
        loop.submit(Ask(prompt(5, number), SamplingParams(logprobs=0)), sink)
    for sink in sinks:
        sink.wait()
        assert sink.answer == backend.answer.decode()
        assert [token.chosen.id for _, tokens in sink.logprobs for token in tokens] == list(backend.answer)
        assert (sink.outcome.timings.drafted_tokens, sink.outcome.timings.accepted_tokens) == (0, 0)
    steps = sum(1 for step in backend.steps for number, _ in step if number == 1)
    assert steps < 20 if kind == "any_prefix" else steps >= len(backend.answer)
