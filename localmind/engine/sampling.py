"""What a request's sampling parameters mean: which values are refused, and which sampler they make.

The order is llama.cpp's: bias and bans, penalties, DRY, top_k, typical, top_p, min_p, XTC, temperature, draw.
Penalties come first because they are about tokens and not about probabilities; top_k is first among the
stages that drop tokens because the others then sort some tens of candidates instead of a vocabulary;
temperature is last so that what is dropped does not depend on it. Mirostat replaces all that drops.
"""

import math
import random
from array import array
from functools import partial
from typing import Protocol

from localmind.engine.adjust import Adjustments, DryPenalty
from localmind.engine.closing import Closing
from localmind.engine.constraint import Constraint
from localmind.engine.forced import Forced
from localmind.engine.grammar import printable_ascii
from localmind.engine.grammar.shortest import ENDLESS, followed
from localmind.engine.lazy import Lazy
from localmind.engine.llama import Context, Model
from localmind.engine.llama import chain as native
from localmind.engine.llama.spelling import spell
from localmind.engine.sampler import ChosenBy, Greedy, TokenSampler, Vocabulary
from localmind.errors import InvalidRequest
from localmind.messages import SamplingParams

TOP_K_OFF = 1000
"""Candidates kept for `top_k=0`: beyond the first thousand, probabilities are below what a float draw resolves
for any useful temperature, and sorting the whole vocabulary costs more than the rest of the chain."""

SEED_BITS = 32
MAX_STOPS = 64
MAX_STOP_LENGTH = 1024
MAX_BIASES = 4096
MAX_BREAKERS = 16
MAX_BREAKER_LENGTH = 40
"""Bytes; native code cuts longer ones."""

MAX_LOOK_BACK = 1 << 20
MARGIN = 8.0
MAX_TOP_LOGPROBS = 20


class Chain(Protocol):
    """The stages that `build` may add; llama.SamplerChain is one."""

    def top_k(self, k: int) -> None: ...
    def typical(self, p: float) -> None: ...
    def top_p(self, p: float) -> None: ...
    def min_p(self, p: float) -> None: ...
    def xtc(self, probability: float, threshold: float, seed: int) -> None: ...
    def temperature(self, t: float) -> None: ...
    def mirostat(self, version: int, tau: float, eta: float, seed: int) -> None: ...
    def draw(self, seed: int) -> None: ...


def greedy(params: SamplingParams) -> bool:
    """Whether the likeliest token is taken, so that no stage but the penalties matters."""
    return params.temperature == 0 or (params.top_k == 1 and not params.mirostat)


def top_k(params: SamplingParams) -> int:
    """Candidates that the stages behind top_k can see. Mirostat drops tokens by surprise, of which the first thousand
    hold all that its start of 2 × tau bits lets through."""
    return params.top_k if params.top_k > 0 and not params.mirostat else TOP_K_OFF


def margin(params: SamplingParams) -> float:
    """Units below the best logit under which nothing is chosen: min_p drops it, or it is one in 3,000."""
    if params.min_p > 0 and not params.mirostat:
        return min(MARGIN, 1 - math.log(params.min_p))
    return MARGIN


def build(chain: Chain, params: SamplingParams) -> None:
    """Add the stages of a request that is not greedy to an empty chain."""
    seed = random.getrandbits(SEED_BITS) if params.seed is None else params.seed % (1 << SEED_BITS)
    chain.top_k(top_k(params))
    if params.mirostat:
        chain.temperature(params.temperature)
        chain.mirostat(params.mirostat, params.mirostat_tau, params.mirostat_eta, seed)
        return
    if params.typical_p < 1:
        chain.typical(params.typical_p)
    if params.top_p < 1:
        chain.top_p(params.top_p)
    if params.min_p > 0:
        chain.min_p(params.min_p)
    if params.xtc_probability > 0:
        chain.xtc(params.xtc_probability, params.xtc_threshold, seed)
    chain.temperature(params.temperature)
    chain.draw(seed)


def make_sampler(
    context: Context,
    model: Model,
    params: SamplingParams,
    constraint: Constraint | None,
    prompt: "array[int]",
    room: int = ENDLESS,
) -> TokenSampler:
    """A request's sampler, to be used on the context's thread only. Penalties see the prompt's last tokens; `room` is
    how many tokens the answer may have. Raises InvalidRequest for a grammar that llama.cpp does not take."""
    work = native.workspace(context, model)
    grammar: native.Grammar | Lazy | None = None
    closing: Closing | None = None
    forced: Forced | None = None

    def text(token: int) -> bytes:
        return native.token_text(model, token)

    if constraint is not None and constraint.triggers:

        def start(gbnf: str, root: str) -> native.Grammar:
            return native.Grammar(work, model, gbnf, root, printable_ascii=printable_ascii(gbnf))

        grammar = Lazy(constraint, start, text, model.end_tokens)
    elif constraint is not None:
        simple = printable_ascii(constraint.gbnf)
        grammar = native.Grammar(work, model, constraint.gbnf, printable_ascii=simple)
        rules, spelt = followed(constraint.gbnf), partial(spell, model, plain=constraint.plain)
        closing = Closing(rules, text, spelt, model.end_tokens, room)
        forced = Forced(rules, text, spelt)
    chosen_by: ChosenBy = Greedy()
    if not greedy(params):
        chain = native.SamplerChain(work, model.n_vocab)
        build(chain, params)
        chosen_by = chain
    return TokenSampler(
        context.logits,
        chosen_by,
        adjustments(params, prompt, model, work, context.n_ctx),
        grammar,
        Vocabulary(work.every_token, model.end_tokens, text),
        wanted=1 if greedy(params) else top_k(params),
        margin=margin(params),
        top=params.logprobs,
        closing=closing,
        forced=forced,
    )


def adjustments(
    params: SamplingParams, prompt: "array[int]", model: Model, work: native.Workspace, n_ctx: int
) -> Adjustments:
    """What is done to the logits before anything is chosen."""
    dry: DryPenalty | None = None
    dry_last_n = n_ctx if params.dry_penalty_last_n < 0 else params.dry_penalty_last_n
    if params.dry_multiplier > 0 and dry_last_n > 0:
        dry = native.Dry(
            work,
            model,
            multiplier=params.dry_multiplier,
            base=params.dry_base,
            allowed_length=params.dry_allowed_length,
            last_n=min(dry_last_n, n_ctx),
            breakers=params.dry_sequence_breakers,
        )
    return Adjustments(
        params,
        prompt,
        n_vocab=model.n_vocab,
        n_ctx=n_ctx,
        end_tokens=sorted(model.end_tokens),
        dry=dry,
        dry_last_n=dry_last_n,
    )


def check(params: SamplingParams, *, least: int = 1) -> None:
    """Raise InvalidRequest for values that a sampler cannot have, NaN included; native code would abort on some.
    `least` is the smallest limit of an answer."""
    for name, low, high in (
        ("temperature", 0.0, 100.0),
        ("top_p", 0.0, 1.0),
        ("min_p", 0.0, 1.0),
        ("typical_p", 0.0, 1.0),
        ("xtc_probability", 0.0, 1.0),
        ("xtc_threshold", 0.0, 1.0),
        ("presence_penalty", -100.0, 100.0),
        ("frequency_penalty", -100.0, 100.0),
        ("dry_multiplier", 0.0, 100.0),
        ("dry_base", 1.0, 100.0),
        ("mirostat_tau", 0.0, 100.0),
        ("mirostat_eta", 0.0, 100.0),
        ("top_k", 0, 1 << 30),
        ("repeat_last_n", -1, MAX_LOOK_BACK),
        ("dry_penalty_last_n", -1, MAX_LOOK_BACK),
        ("dry_allowed_length", 0, MAX_LOOK_BACK),
        ("min_tokens", 0, 1 << 30),
    ):
        value = getattr(params, name)
        if not low <= value <= high:
            raise InvalidRequest(f"{name} {value} is not between {low:g} and {high:g}")
    breakers = params.dry_sequence_breakers
    problems = [
        (not 0 < params.repeat_penalty <= 100, f"repeat_penalty {params.repeat_penalty} is not above 0 and up to 100"),
        (params.mirostat not in (0, 1, 2), f"mirostat {params.mirostat} is not 0, 1 or 2"),
        (
            params.max_tokens is not None and params.max_tokens < least,
            f"max_tokens {params.max_tokens} is below {least}",
        ),
        (len(params.stop) > MAX_STOPS, f"{len(params.stop)} stop strings are more than {MAX_STOPS}"),
        (
            any(len(stop) > MAX_STOP_LENGTH for stop in params.stop),
            f"a stop string is over {MAX_STOP_LENGTH} characters",
        ),
        (len(params.logit_bias) > MAX_BIASES, f"{len(params.logit_bias)} logit biases are more than {MAX_BIASES}"),
        (
            any(token < 0 or math.isnan(bias) or bias == math.inf for token, bias in params.logit_bias),
            "logit_bias has a negative token id, or a bias that is NaN or +infinity",
        ),
        (
            params.logprobs is not None and not 0 <= params.logprobs <= MAX_TOP_LOGPROBS,
            f"top_logprobs {params.logprobs} is not between 0 and {MAX_TOP_LOGPROBS}",
        ),
        (len(breakers) > MAX_BREAKERS, f"{len(breakers)} DRY sequence breakers are more than {MAX_BREAKERS}"),
        (
            any(
                not 0 < len(text.encode("utf-8", "replace")) <= MAX_BREAKER_LENGTH or "\0" in text for text in breakers
            ),
            f"a DRY sequence breaker is empty, over {MAX_BREAKER_LENGTH} bytes, or has a NUL in it",
        ),
    ]
    for wrong, message in problems:
        if wrong:
            raise InvalidRequest(message)
