"""Which samplers a request gets, in which order."""

import pytest

from localmind.engine.sampling import TOP_K_OFF, build, check
from localmind.errors import InvalidRequest
from localmind.messages import SamplingParams


class FakeChain:
    def __init__(self) -> None:
        self.stages: list[tuple[str, object]] = []

    def ban(self, tokens) -> None:
        self.stages.append(("ban", tuple(tokens)))

    def greedy(self) -> None:
        self.stages.append(("greedy", None))

    def top_k(self, k: int) -> None:
        self.stages.append(("top_k", k))

    def top_p(self, p: float) -> None:
        self.stages.append(("top_p", p))

    def min_p(self, p: float) -> None:
        self.stages.append(("min_p", p))

    def temperature(self, t: float) -> None:
        self.stages.append(("temperature", t))

    def draw(self, seed: int) -> None:
        self.stages.append(("draw", seed))


def stages(**params: object) -> list[tuple[str, object]]:
    chain = FakeChain()
    build(chain, SamplingParams(**params), end_tokens=[2, 0])
    return chain.stages


def test_top_k_comes_before_everything_that_looks_at_probabilities():
    names = [name for name, _ in stages(seed=1)]
    assert names == ["top_k", "top_p", "min_p", "temperature", "draw"]


def test_temperature_zero_is_greedy_and_needs_nothing_else():
    assert stages(temperature=0) == [("greedy", None)]
    assert stages(top_k=1) == [("greedy", None)]


def test_stages_that_change_nothing_are_left_out():
    assert [name for name, _ in stages(top_p=1, min_p=0)] == ["top_k", "temperature", "draw"]


def test_top_k_zero_keeps_a_thousand_candidates():
    assert stages(top_k=0)[0] == ("top_k", TOP_K_OFF)


def test_ignoring_the_end_bans_every_end_token_before_choosing():
    assert stages(ignore_eos=True, temperature=0) == [("ban", (2, 0)), ("greedy", None)]


def test_a_seed_is_kept_and_no_seed_differs_from_request_to_request():
    assert stages(seed=7)[-1] == ("draw", 7)
    assert stages(seed=-1)[-1] == ("draw", 2**32 - 1)
    assert stages()[-1] != stages()[-1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_k": -2},
        {"top_p": 1.5},
        {"top_p": float("nan")},
        {"min_p": -0.1},
        {"max_tokens": 0},
        {"stop": ("x",) * 100},
        {"stop": ("x" * 5000,)},
    ],
)
def test_values_that_no_chain_can_have_are_refused(wrong):
    with pytest.raises(InvalidRequest):
        check(SamplingParams(**wrong))


def test_the_defaults_and_the_edges_are_accepted():
    check(SamplingParams())
    check(SamplingParams(temperature=0, top_k=0, top_p=0, min_p=1, max_tokens=1, stop=("x",) * 16))
