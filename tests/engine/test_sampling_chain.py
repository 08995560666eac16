"""Which samplers a request gets, in which order, and which values are refused."""

import math

import pytest

from localmind.engine.sampling import TOP_K_OFF, build, check, greedy, top_k
from localmind.errors import InvalidRequest
from localmind.messages import SamplingParams


class FakeChain:
    def __init__(self) -> None:
        self.stages: list[tuple[str, object]] = []

    def __getattr__(self, name: str):
        return lambda *values: self.stages.append((name, values[0] if len(values) == 1 else values))


def stages(**params: object) -> list[tuple[str, object]]:
    chain = FakeChain()
    build(chain, SamplingParams(**params))
    return chain.stages


def test_top_k_comes_before_everything_that_looks_at_probabilities():
    names = [name for name, _ in stages(seed=1)]
    assert names == ["top_k", "top_p", "min_p", "temperature", "draw"]


def test_all_stages_come_in_the_order_of_llama_cpp():
    every = stages(seed=1, typical_p=0.9, xtc_probability=0.5)
    assert [name for name, _ in every] == ["top_k", "typical", "top_p", "min_p", "xtc", "temperature", "draw"]
    assert ("xtc", (0.5, 0.1, 1)) in every


def test_temperature_zero_and_top_k_one_are_greedy():
    assert greedy(SamplingParams(temperature=0))
    assert greedy(SamplingParams(temperature=0, mirostat=2))
    assert greedy(SamplingParams(top_k=1))
    assert not greedy(SamplingParams(top_k=1, mirostat=1))
    assert not greedy(SamplingParams())


def test_mirostat_replaces_the_stages_that_drop_tokens():
    assert stages(mirostat=2, seed=3, top_k=5) == [
        ("top_k", TOP_K_OFF),
        ("temperature", 0.8),
        ("mirostat", (2, 5.0, 0.1, 3)),
    ]


def test_stages_that_change_nothing_are_left_out():
    assert [name for name, _ in stages(top_p=1, min_p=0)] == ["top_k", "temperature", "draw"]


def test_top_k_zero_keeps_a_thousand_candidates():
    assert stages(top_k=0)[0] == ("top_k", TOP_K_OFF)
    assert top_k(SamplingParams(top_k=5000)) == 5000


def test_a_seed_is_kept_and_no_seed_differs_from_request_to_request():
    assert stages(seed=7)[-1] == ("draw", 7)
    assert stages(seed=-1)[-1] == ("draw", 2**32 - 1)
    assert stages()[-1] != stages()[-1]


NUMBERS = [
    "temperature",
    "top_p",
    "min_p",
    "typical_p",
    "xtc_probability",
    "xtc_threshold",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "dry_multiplier",
    "dry_base",
    "mirostat_tau",
    "mirostat_eta",
]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1000, 1e30])
def test_no_number_may_be_nan_infinite_or_far_out(name, value):
    with pytest.raises(InvalidRequest, match=name):
        check(SamplingParams(**{name: value}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1},
        {"top_k": -2},
        {"top_p": 1.5},
        {"min_p": -0.1},
        {"repeat_penalty": 0},
        {"repeat_last_n": -2},
        {"dry_base": 0.5},
        {"dry_allowed_length": -1},
        {"dry_penalty_last_n": 1 << 30},
        {"dry_sequence_breakers": ("",)},
        {"dry_sequence_breakers": ("a\0b",)},
        {"dry_sequence_breakers": ("x",) * 100},
        {"mirostat": 3},
        {"min_tokens": -1},
        {"max_tokens": 0},
        {"stop": ("x",) * 100},
        {"stop": ("x" * 5000,)},
        {"logprobs": 21},
        {"logprobs": -1},
        {"logit_bias": ((-1, 0.0),)},
        {"logit_bias": ((1, math.nan),)},
        {"logit_bias": ((1, math.inf),)},
        {"logit_bias": ((1, 1.0),) * 5000},
    ],
)
def test_values_that_no_sampler_can_have_are_refused(wrong):
    with pytest.raises(InvalidRequest):
        check(SamplingParams(**wrong))


def test_the_defaults_and_the_edges_are_accepted():
    check(SamplingParams())
    check(SamplingParams(temperature=0, top_k=0, top_p=0, min_p=1, max_tokens=1, stop=("x",) * 16))
    check(SamplingParams(logit_bias=((5, -math.inf), (6, 100.0)), logprobs=20, repeat_last_n=-1))
