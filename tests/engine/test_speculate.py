"""Prompt lookup finds what the tokens themselves say; the policy gains on copies and never loses much elsewhere."""

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localmind.engine.speculate import (
    LONGEST,
    MAX_DRAFT,
    SHORTEST,
    Cost,
    Policy,
    PromptLookup,
    interpolated,
    prompt_lookup,
)

CPU = interpolated({1: 1 / 80, 2: 2 / 96, 4: 4 / 128, 8: 8 / 143, 16: 16 / 149})
"""Measured for the starter model on two cores without AMX: rows cost most of what they would cost alone."""

FREE = interpolated({1: 1.0, 16: 1.0})
"""A machine where memory bandwidth is all that counts."""

VOCAB = 49152


@dataclass(slots=True, frozen=True)
class Run:
    speedup: float
    proposed: int
    accepted: int


def run(prompt: Sequence[int], answer: Sequence[int], cost: Cost = CPU, *, others: int = 0) -> Run:
    """Decode `answer` behind `prompt` as the loop would. Time is the cost of the rows."""
    speculator = prompt_lookup(array("i", prompt), cost)
    tokens = array("i", [*prompt, answer[0]])
    done, seconds, proposed, accepted = 1, 0.0, 0, 0
    while done < len(answer):
        room = len(answer) - done - 1
        draft = speculator.propose(tokens, room, others)
        assert len(draft) <= max(0, room)
        agreed = 0
        while agreed < len(draft) and draft[agreed] == answer[done + agreed]:
            agreed += 1
        seconds += cost(1 + others + len(draft))
        if draft:
            speculator.observe(len(draft), agreed)
        proposed += len(draft)
        accepted += agreed
        tokens.extend(answer[done : done + agreed + 1])
        done += agreed + 1
    speculator.close()
    return Run(cost(1 + others) * (len(answer) - 1) / seconds, proposed, accepted)


def noise(count: int, source: random.Random, vocab: int = VOCAB) -> list[int]:
    return [source.randrange(vocab) for _ in range(count)]


def prose(count: int, source: random.Random) -> list[int]:
    """Frequent words, and pairs that often go together: many short matches, most of them worth nothing."""
    words: list[int] = []
    last = 0
    for _ in range(count):
        if source.random() < 0.35:
            last = (last * 7919 + 13) % 3000 if source.random() < 0.7 else (last * 104729 + 5) % 3000
        else:
            last = int(3000 ** source.random())
        words.append(last)
    return words


def edited(text: Sequence[int], share: float, source: random.Random) -> list[int]:
    """A copy with replaced, inserted and deleted tokens."""
    result: list[int] = []
    for token in text:
        dice = source.random()
        if dice < share / 2:
            result.append(source.randrange(VOCAB))
        elif dice < share * 0.75:
            result += [source.randrange(VOCAB), token]
        elif dice >= share:
            result.append(token)
    return result


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("edits", [0.0, 0.02, 0.04])
def test_a_copy_with_edits_becomes_a_third_faster(seed: int, edits: float) -> None:
    source = random.Random(seed)
    text = noise(600, source)
    assert run(text, edited(text[100:500], edits, source)).speedup >= 1.3


@pytest.mark.parametrize("seed", range(5))
def test_random_tokens_and_prose_lose_nothing_worth_mentioning(seed: int) -> None:
    source = random.Random(seed)
    for vocab in (VOCAB, 200, 20):
        assert run(noise(800, source, vocab), noise(300, source, vocab)).speedup >= 0.97
    text = prose(1000, source)
    assert run(text, prose(400, source)).speedup >= 0.97
    assert run(text, prose(60, source)).speedup >= 0.97


def test_a_repetition_shorter_than_a_draft_is_continued_as_a_repetition() -> None:
    assert run(noise(50, random.Random(1)), [5, 6, 7] * 60).speedup >= 1.4


def test_where_rows_cost_nothing_much_is_drafted() -> None:
    source = random.Random(3)
    text = noise(500, source)
    assert run(text, edited(text[50:450], 0.04, source), FREE).speedup >= 4


def test_two_sequences_share_a_step_and_still_gain() -> None:
    source = random.Random(4)
    text = noise(500, source)
    assert run(text, edited(text[50:450], 0.02, source), others=1).speedup >= 1.3


@given(st.lists(st.integers(3, 40), min_size=8, max_size=40), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_copies_that_break_off_where_it_hurts_most_cost_at_most_two_steps_and_a_hundredth(
    lengths: list[int], seed: int
) -> None:
    """Each run of copied tokens is long enough to be trusted, and then wrong."""
    source = random.Random(seed)
    text = noise(300, source)
    answer: list[int] = []
    for length in lengths:
        start = source.randrange(250)
        answer += [*text[start : start + length], source.randrange(VOCAB)]
    seconds = len(answer) / run(text, answer).speedup
    assert seconds <= len(answer) * 1.01 + 2


def naive(tokens: Sequence[int]) -> int:
    """The latest place that the longest suffix of 2 to 5 tokens has stood at before."""
    for length in range(min(LONGEST, len(tokens)), SHORTEST - 1, -1):
        suffix = list(tokens[-length:])
        for end in range(len(tokens) - 1, length - 1, -1):
            if list(tokens[end - length : end]) == suffix:
                return end
    return 0


@given(
    st.lists(st.integers(0, 3), max_size=40),
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), min_size=1, max_size=12),
)
@settings(max_examples=300, deadline=None)
def test_lookup_finds_the_latest_place_of_the_longest_suffix(prompt: list[int], pieces: list[list[int]]) -> None:
    tokens = array("i", prompt)
    lookup = PromptLookup(tokens)
    for piece in pieces:
        tokens.extend(piece)
        after, match = lookup.find(tokens)
        assert after == naive(tokens)
        if after:
            assert tokens[after - match : after] == tokens[len(tokens) - match :]


@given(
    st.lists(st.integers(0, 2**31 - 1), max_size=30),
    st.lists(st.tuples(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.integers(0, 20), st.integers(0, 1))),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_whatever_happens_a_proposal_is_within_its_room_and_made_of_known_tokens(
    prompt: list[int], steps: list[tuple[list[int], int, int]], data: st.DataObject
) -> None:
    tokens = array("i", prompt)
    speculator = prompt_lookup(tokens, CPU)
    for new, room, others in steps:
        tokens.extend(new)
        draft = speculator.propose(tokens, room, others)
        assert len(draft) <= min(room, MAX_DRAFT)
        assert set(draft) <= set(tokens)
        if draft:
            speculator.observe(len(draft), data.draw(st.integers(0, len(draft))))


def test_drafts_grow_while_all_is_accepted_and_shrink_after_a_miss() -> None:
    policy = Policy(FREE)
    sizes: list[int] = []
    for _ in range(4):
        sizes.append(policy.count(24, 100, 1))
        policy.observe(sizes[-1], sizes[-1])
    assert sizes == [3, 7, 15, 15]
    policy.observe(15, 0)
    assert policy.count(24, 100, 1) == 7


def test_a_class_of_matches_that_keeps_failing_is_not_drafted_any_more() -> None:
    policy = Policy(CPU)
    assert policy.count(8, 15, 1) > 0
    for _ in range(20):
        policy.learn(8, False)
    assert policy.count(8, 15, 1) == 0
    assert policy.count(30, 15, 1) > 0, "longer matches were not to blame"


def test_what_drafting_itself_costs_counts() -> None:
    policy = Policy(CPU)
    assert policy.count(30, 15, 1) > 0
    assert policy.count(30, 15, 1, drafting=lambda count: count * CPU(1)) == 0


def test_a_cost_between_measured_ones_lies_between_them() -> None:
    cost = interpolated({1: 1.0, 4: 2.5, 8: 4.0})
    assert [cost(rows) for rows in (1, 2, 4, 6, 8, 16)] == [1.0, 1.5, 2.5, 3.25, 4.0, 8.0]
