"""How one token is chosen, without a model: few candidates, a grammar asked late, bans and penalties."""

import re
from array import array
from collections.abc import Iterable

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind.engine.adjust import Adjustments
from localmind.engine.constraint import Constraint
from localmind.engine.lazy import Lazy
from localmind.engine.sampler import Greedy, TokenSampler, Vocabulary
from localmind.errors import InvalidRequest
from localmind.messages import SamplingParams

N = 300
END = 256


class FakeGrammar:
    """Allows the bytes of one text, one token each, and then the end."""

    def __init__(self, text: bytes, also: Iterable[int] = ()) -> None:
        self.rest = list(text)
        self.also = set(also)
        self.looked_at: list[int] = []
        self.closed = False

    def allowed(self, ids):
        self.looked_at.append(len(ids))
        right = {*self.rest[:1], *self.also} if self.rest else {END}
        return numpy.array([int(token) in right for token in ids])

    def allows(self, token: int) -> bool:
        return bool(self.allowed([token])[0])

    def accept(self, token: int) -> None:
        assert self.rest[:1] == [token] or token in self.also or (not self.rest and token == END)
        self.rest = self.rest[1:]

    @property
    def may_end(self) -> bool:
        return not self.rest

    @property
    def ended(self) -> bool:
        return not self.rest

    def close(self) -> None:
        self.closed = True


class FakeDraw:
    """Remembers the candidates and takes the last."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def choose(self, ids, logits) -> int:
        self.seen.append(ids.tolist())
        return int(ids[-1])

    def close(self) -> None:
        """Nothing is held."""


def adjustments(params: SamplingParams, prompt: Iterable[int] = ()) -> Adjustments:
    return Adjustments(params, array("i", prompt), n_vocab=N, n_ctx=64, end_tokens=[END])


def sampler(row, grammar=None, draw=None, wanted=1, params=None, margin=8.0, forced=None) -> TokenSampler:
    vocabulary = Vocabulary(numpy.arange(N, dtype=numpy.int32), frozenset({END}), lambda token: bytes([token % 256]))
    row = numpy.array(row, dtype=numpy.float32)
    asked = params or SamplingParams(temperature=0)
    how = {"wanted": wanted, "margin": margin, "top": None, "forced": forced}
    return TokenSampler(lambda _: row, draw or Greedy(), adjustments(asked), grammar, vocabulary, **how)


def row(**high: float) -> list[float]:
    values = [0.0] * N
    for name, value in high.items():
        values[ord(name)] = value
    return values


def test_greedy_takes_the_first_of_the_likeliest():
    assert sampler(row(b=5, a=5, c=4)).sample(0) == ord("a")


def test_a_chain_sees_only_tokens_near_the_best_when_they_are_enough():
    draw = FakeDraw()
    sampler(row(a=30, b=29, c=23, d=21.5), draw=draw, wanted=3).sample(0)
    assert draw.seen == [[97, 98, 99]]


def test_a_chain_sees_all_tokens_when_too_few_are_near():
    draw = FakeDraw()
    sampler(row(a=30, b=29), draw=draw, wanted=40).sample(0)
    assert len(draw.seen[0]) == N


def test_a_token_that_the_grammar_allows_costs_one_look():
    grammar = FakeGrammar(b"ab")
    assert sampler(row(a=9), grammar).sample(0) == ord("a")
    assert grammar.looked_at == [1]


def test_the_likeliest_allowed_token_is_found_among_few():
    grammar = FakeGrammar(b"c", also=[ord("d")])
    assert sampler(row(a=30, b=29, c=27.5, d=27), grammar).sample(0) == ord("c")
    assert grammar.looked_at == [1, 4]


def test_an_unlikely_token_is_found_when_nothing_else_is_allowed():
    grammar = FakeGrammar(b"z")
    assert sampler(row(a=30), grammar).sample(0) == ord("z")
    assert grammar.looked_at[-1] == N


def test_a_draw_under_a_grammar_sees_all_that_it_would_have_kept():
    draw = FakeDraw()
    grammar = FakeGrammar(b"x", also=b"cd")
    tokens = sampler(row(a=30, c=25, d=20), grammar, draw, wanted=1000, margin=8.0)
    tokens.sample(0)
    assert draw.seen[-1] == [99, 100]


def test_the_answer_is_finished_where_the_grammar_is():
    tokens = sampler(row(x=5), FakeGrammar(b"ok"))
    assert bytes([tokens.sample(0), tokens.sample(0)]) == b"ok"
    assert tokens.finished


def test_a_grammar_at_its_end_ends_an_answer_that_must_not_end():
    tokens = sampler(row(x=5), FakeGrammar(b""), params=SamplingParams(temperature=0, ignore_eos=True))
    assert tokens.sample(0) == END
    assert tokens.finished


def test_a_grammar_that_no_token_can_follow_is_an_error_of_the_request():
    class Dead(FakeGrammar):
        def allowed(self, ids):
            return numpy.zeros(len(ids), dtype=bool)

    with pytest.raises(InvalidRequest):
        sampler(row(), Dead(b"x")).sample(0)


def test_closing_closes_the_grammar():
    grammar = FakeGrammar(b"x")
    sampler(row(), grammar).close()
    assert grammar.closed


def test_rows_that_nothing_changes_are_not_copied():
    plain = numpy.zeros(N, dtype=numpy.float32)
    assert adjustments(SamplingParams()).apply(plain) is plain
    assert adjustments(SamplingParams(min_tokens=1)).apply(plain) is not plain
    assert not plain.any()


def test_the_end_is_banned_until_min_tokens_have_come():
    found = adjustments(SamplingParams(min_tokens=2))
    banned = []
    for _ in range(3):
        banned.append(bool(numpy.isneginf(found.apply(numpy.zeros(N, dtype=numpy.float32))[END])))
        found.accept(1)
    assert banned == [True, True, False]


@given(
    st.lists(st.integers(0, N - 1), max_size=30),
    st.lists(st.integers(0, N - 1), max_size=30),
    st.integers(-1, 20),
    st.floats(0.5, 2),
    st.floats(-1, 1),
    st.floats(-1, 1),
)
def test_penalties_are_those_of_the_definition(prompt, generated, last_n, repeat, presence, frequency):
    params = SamplingParams(
        repeat_last_n=last_n, repeat_penalty=repeat, presence_penalty=presence, frequency_penalty=frequency
    )
    found = adjustments(params, prompt)
    for token in generated:
        found.accept(token)
    start = numpy.linspace(-3, 3, N).astype(numpy.float32)
    window = ([*prompt, *generated][-64:] if last_n < 0 else [*prompt, *generated][-last_n:]) if last_n else []
    expected = start.copy()
    for token in set(window):
        logit = start[token]
        logit = logit * repeat if logit <= 0 else logit / repeat
        expected[token] = logit - window.count(token) * frequency - presence
    assert numpy.allclose(found.apply(start), expected, atol=1e-4)


def lazy(trigger: str, rest: bytes, started: list[str]) -> Lazy:
    def start(gbnf: str, root: str) -> FakeGrammar:
        head = re.search(r'::= "(.*?)" root', gbnf)
        assert head is not None
        started.append(head[1])
        return FakeGrammar(head[1].encode() + rest)

    return Lazy(Constraint('root ::= "x"', (trigger,)), start, lambda token: bytes([token]), frozenset({END}))


def test_text_is_free_until_a_trigger_and_bound_behind_it():
    started: list[str] = []
    found = lazy("<c>", b"<c>12", started)
    for token in b"hello <c":
        assert found.allows(token)
        found.accept(token)
        assert not found.ended
    assert not started
    assert found.allows(ord(">"))
    found.accept(ord(">"))
    assert started == [""]
    assert not found.allows(ord("9"))
    assert found.allowed(numpy.array([ord("1"), ord("2")])).tolist() == [True, False]
    for token in b"12":
        found.accept(token)
    assert found.ended


def test_a_group_of_the_trigger_says_where_the_grammar_begins():
    started: list[str] = []
    found = lazy(r"call:\s*(\{)", b"{}", started)
    for token in b"call: {":
        assert found.allows(token)
        found.accept(token)
    assert found.allows(ord("}"))
    assert not found.allows(ord("{"))


def test_a_token_that_triggers_what_it_cannot_begin_is_refused():
    found = lazy("ab", b"xy", [])
    found.accept(ord("a"))
    assert not found.allows(ord("b"))
    assert found.allows(ord("c"))


def test_the_end_of_an_answer_is_free_while_no_trigger_came():
    found = lazy("ab", b"xy", [])
    assert found.may_end
    assert found.allows(END)
    assert not found.ended


def test_a_trigger_is_still_found_behind_a_long_text():
    started: list[str] = []
    found = lazy("<c>", b"<c>1", started)
    for token in b"long text " * 1000 + b"<c>":
        found.accept(token)
    assert started
