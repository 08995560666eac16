"""Samplers on the real starter model: what native code does with what we hand it."""

import json
import math
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import numpy
import pytest
from llama_cpp import llama_cpp as native

from localmind.engine import grammar, llama
from localmind.engine.constraint import Constraint, of_format
from localmind.engine.llama import Batch, Context, Model
from localmind.engine.sampling import make_sampler
from localmind.errors import InvalidRequest
from localmind.machine.plan import Plan
from localmind.messages import ResponseFormat, SamplingParams

PERSON = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "age", "tags"],
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 10}, "maxItems": 3},
    },
}
GREEDY = SamplingParams(temperature=0)


class Engine:
    """A context of one slot, and generation without a scheduler."""

    def __init__(self, path: Path) -> None:
        llama.start()
        plan = Plan(n_ctx=1024, n_threads=1, n_threads_batch=1, n_batch=512, use_extra_bufts=False)
        self.model = Model(path, plan, lambda _: True)
        self.context = Context(self.model, plan, n_slots=1, n_outputs=1)
        self.batch = Batch(512)

    def prompt(self, text: str) -> "array[int]":
        return self.model.tokenize(f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n", add_special=False)

    def feed(self, tokens: "array[int]", position: int) -> int:
        self.batch.reset()
        index = self.batch.add(tokens, position=position, slot=0, output=True)
        assert self.context.decode(self.batch) == 0
        return index

    def tokens(self, text: str, params: SamplingParams, constraint: Constraint | None = None, limit=120) -> list[int]:
        self.context.clear()
        prompt = self.prompt(text)
        sampler = make_sampler(self.context, self.model, params, constraint, prompt)
        index, position, found = self.feed(prompt, 0), len(prompt), []
        try:
            while len(found) < limit:
                token = sampler.sample(index)
                found.append(token)
                if token in self.model.end_tokens or sampler.finished:
                    break
                index, position = self.feed(array("i", [token]), position), position + 1
        finally:
            self.finished = sampler.finished
            sampler.close()
        return found

    def text(self, text: str, params: SamplingParams, constraint: Constraint | None = None, limit=120) -> str:
        return b"".join(map(self.model.piece, self.tokens(text, params, constraint, limit))).decode()


@pytest.fixture(scope="module")
def engine(chat_model_path: Path) -> Iterator[Engine]:
    engine = Engine(chat_model_path)
    yield engine
    engine.context.close()
    engine.model.close()


@pytest.fixture
def row(engine: Engine) -> tuple[int, "array[int]"]:
    """An output row behind a prompt, and the prompt."""
    engine.context.clear()
    prompt = engine.prompt("Say one word.")
    return engine.feed(prompt, 0), prompt


def test_greedy_takes_what_the_native_greedy_sampler_takes(engine, row):
    index, prompt = row
    chain = native.llama_sampler_init_greedy()
    theirs = native.llama_sampler_sample(chain, engine.context.handle, index)
    native.llama_sampler_free(chain)
    assert make_sampler(engine.context, engine.model, GREEDY, None, prompt).sample(index) == theirs


def native_choices(engine: Engine, index: int, stages: list, times: int) -> Counter[int]:
    chain = native.llama_sampler_chain_init(native.llama_sampler_chain_default_params())
    for stage in stages:
        native.llama_sampler_chain_add(chain, stage)
    found = Counter(native.llama_sampler_sample(chain, engine.context.handle, index) for _ in range(times))
    native.llama_sampler_free(chain)
    return found


def test_a_random_chain_draws_the_very_tokens_that_llama_cpp_draws(engine, row):
    index, prompt = row
    stages = [
        native.llama_sampler_init_top_k(40),
        native.llama_sampler_init_top_p(0.95, 1),
        native.llama_sampler_init_min_p(0.05, 1),
        native.llama_sampler_init_temp(0.8),
        native.llama_sampler_init_dist(42),
    ]
    sampler = make_sampler(engine.context, engine.model, SamplingParams(seed=42), None, prompt)
    ours = Counter(sampler.sample(index) for _ in range(300))
    sampler.close()
    assert len(ours) > 1
    assert ours == native_choices(engine, index, stages, 300)


def test_penalties_change_logits_as_the_native_sampler_does(engine, row):
    index, prompt = row
    params = SamplingParams(
        temperature=0, repeat_penalty=1.3, presence_penalty=0.4, frequency_penalty=0.2, repeat_last_n=8
    )
    sampler = make_sampler(engine.context, engine.model, params, None, prompt)
    penalties = native.llama_sampler_init_penalties(engine.model.n_vocab, 8, 1.3, 0.2, 0.4)
    chain = native.llama_sampler_chain_init(native.llama_sampler_chain_default_params())
    native.llama_sampler_chain_add(chain, penalties)
    native.llama_sampler_chain_add(chain, native.llama_sampler_init_greedy())
    for token in prompt[-8:]:
        native.llama_sampler_accept(chain, token)
    for _ in range(60):  # the window turns over, and the same row gives ever other tokens
        assert sampler.sample(index) == native.llama_sampler_sample(chain, engine.context.handle, index)
    native.llama_sampler_free(chain)
    sampler.close()


def test_dry_penalises_as_the_native_sampler_does(engine, row):
    index, prompt = row
    breakers = (b"\n", b":", b'"', b"*")
    params = SamplingParams(temperature=0, dry_multiplier=2.0, dry_allowed_length=1, dry_penalty_last_n=64)
    sampler = make_sampler(engine.context, engine.model, params, None, prompt)
    array_of = (native.ctypes.c_char_p * 4)(*breakers)
    chain = native.llama_sampler_chain_init(native.llama_sampler_chain_default_params())
    dry = native.llama_sampler_init_dry(engine.model.vocab, 2.0, 1.75, 1, 64, array_of, 4)
    native.llama_sampler_chain_add(chain, dry)
    native.llama_sampler_chain_add(chain, native.llama_sampler_init_greedy())
    for token in prompt[-64:]:
        native.llama_sampler_accept(chain, token)
    ours = [sampler.sample(index) for _ in range(40)]
    assert ours == [native.llama_sampler_sample(chain, engine.context.handle, index) for _ in range(40)]
    assert len(set(ours)) > 1
    native.llama_sampler_free(chain)
    sampler.close()


@pytest.mark.parametrize(
    "params",
    [
        {"mirostat": 1},
        {"mirostat": 2},
        {"typical_p": 0.5},
        {"xtc_probability": 1.0, "xtc_threshold": 0.05},
        {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "temperature": 2.0},
        {"top_k": 1_000_000},
    ],
)
def test_every_stage_runs_and_a_seed_repeats_its_draws(engine, row, params):
    index, prompt = row

    def draws(seed: int) -> list[int]:
        sampler = make_sampler(engine.context, engine.model, SamplingParams(seed=seed, **params), None, prompt)
        found = [sampler.sample(index) for _ in range(30)]
        sampler.close()
        return found

    assert draws(5) == draws(5) != draws(6)


def test_a_bias_forbids_and_forces_tokens(engine, row):
    index, prompt = row
    likeliest = make_sampler(engine.context, engine.model, GREEDY, None, prompt).sample(index)

    def biased(*pairs: tuple[int, float], **more: object) -> int:
        params = SamplingParams(logit_bias=pairs, seed=1, **more)
        return make_sampler(engine.context, engine.model, params, None, prompt).sample(index)

    assert biased((likeliest, -math.inf), temperature=0) != likeliest
    assert biased((77, 100.0)) == 77
    assert biased((engine.model.n_vocab + 5, 100.0), temperature=0) == likeliest


def test_no_answer_ends_before_min_tokens_or_at_all_under_ignore_eos(engine):
    said = engine.tokens("Say only: yes", GREEDY, limit=40)
    assert said[-1] in engine.model.end_tokens
    longer = engine.tokens("Say only: yes", SamplingParams(temperature=0, min_tokens=len(said) + 3), limit=60)
    assert len(longer) > len(said) + 2
    assert longer[: len(said) - 1] == said[:-1]
    endless = engine.tokens("Say only: yes", SamplingParams(temperature=0, ignore_eos=True), limit=60)
    assert not engine.model.end_tokens & set(endless)
    assert len(endless) == 60


def test_logprobs_are_the_models_own_whatever_sampling_does(engine, row):
    index, prompt = row
    params = SamplingParams(temperature=0, logprobs=20, repeat_penalty=2.0, logit_bias=((77, 100.0),))
    sampler = make_sampler(engine.context, engine.model, params, None, prompt)
    token = sampler.sample(index)
    found = sampler.logprobs(index, token)
    logits = engine.context.logits(index).astype(numpy.float64)
    expected = logits - numpy.log(numpy.exp(logits - logits.max()).sum()) - logits.max()
    assert token == 77
    assert found.chosen.id == 77
    assert found.chosen.logprob == pytest.approx(expected[77], abs=1e-4)
    assert [one.id for one in found.top] == numpy.argsort(-logits, kind="stable")[:20].tolist()
    assert [one.logprob for one in found.top] == pytest.approx([expected[one.id] for one in found.top], abs=1e-4)
    assert found.chosen.bytes == engine.model.piece(77)


def test_logprobs_are_left_out_unless_asked_for(engine, row):
    index, prompt = row
    sampler = make_sampler(engine.context, engine.model, GREEDY, None, prompt)
    assert sampler.logprobs(index, sampler.sample(index)) is None
    alone = make_sampler(engine.context, engine.model, SamplingParams(temperature=0, logprobs=0), None, prompt)
    assert alone.logprobs(index, alone.sample(index)).top == ()


@pytest.mark.parametrize("params", [{"temperature": 0.0}, {"temperature": 1.5, "seed": 3}, {"mirostat": 2, "seed": 4}])
@pytest.mark.parametrize("ignore_eos", [True, False])
def test_json_under_a_schema_ends_by_itself_and_is_valid(engine, params, ignore_eos):
    constraint = Constraint(grammar.schema_to_gbnf(PERSON))
    for number, min_tokens in enumerate((0, 200)):
        asked = SamplingParams(ignore_eos=ignore_eos, min_tokens=min_tokens, **params)
        text = engine.text(f"Describe person number {number} as JSON.", asked, constraint)
        jsonschema.validate(json.loads(text), PERSON)
        assert engine.finished


def test_a_key_that_reads_like_a_control_token_is_text_that_the_client_sees(engine):
    schema = {
        "type": "object",
        "properties": {"<|im_start|>": {"enum": ["<|im_start|>"]}},
        "required": ["<|im_start|>"],
    }
    text = engine.text("Answer.", GREEDY, of_format(ResponseFormat(json_schema=schema)))
    assert json.loads(text) == {"<|im_start|>": "<|im_start|>"}


def test_an_answer_ends_where_its_grammar_does_and_not_before(engine):
    text = engine.text("Say yes.", GREEDY, Constraint('root ::= "no " ("never" | "ever") "!"'))
    assert text in ("no never!", "no ever!")
    assert engine.finished
    assert engine.text("Say yes.", GREEDY, Constraint('root ::= ""')) == ""
    assert engine.finished


def test_characters_of_many_bytes_are_kept_whole(engine):
    assert engine.text("Say yes.", GREEDY, Constraint('root ::= "日本" [é]{2} "🦊"')) == "日本éé🦊"


def test_a_grammar_that_may_go_on_is_not_finished(engine):
    text = engine.text(
        "Count.", SamplingParams(temperature=0, ignore_eos=True), Constraint("root ::= [0-9]+"), limit=10
    )
    assert text.isdigit()
    assert not engine.finished


def test_a_trigger_starts_the_grammar_in_the_middle_of_a_token(engine):
    story = engine.text("Tell me a story about a fox.", GREEDY, limit=30)
    word = story[12:15]
    constraint = Constraint(f'root ::= "{word}" "#" [0-9]{{3}}', triggers=(word,))
    text = engine.text("Tell me a story about a fox.", SamplingParams(temperature=0, ignore_eos=True), constraint)
    assert text.startswith(story[: story.index(word)] + word + "#")
    assert text[-3:].isdigit()
    assert engine.finished


def test_a_token_that_completes_a_trigger_and_cannot_go_on_is_replaced(engine):
    story = engine.text("Tell me a story about a fox.", GREEDY, limit=30)
    constraint = Constraint('root ::= "<never>"', triggers=(story[:1],))
    text = engine.text("Tell me a story about a fox.", SamplingParams(temperature=0), constraint, limit=20)
    assert not text.startswith(story[:1])


def test_text_without_a_trigger_stays_free(engine):
    free = engine.text("Tell me a story about a fox.", GREEDY, limit=30)
    constraint = Constraint('root ::= "x"', triggers=("<tool_call>",))
    assert engine.text("Tell me a story about a fox.", GREEDY, constraint, limit=30) == free
    assert not engine.finished


def test_what_the_native_parser_does_not_take_is_a_refusal(engine):
    with pytest.raises(InvalidRequest):
        engine.text("Hello.", GREEDY, Constraint("root ::= ("))


def test_a_grammar_whose_ways_double_with_each_character_is_stopped(engine):
    doubling = Constraint('root ::= s\ns ::= "a" s "b" | "a" s "c" | "a"')
    with pytest.raises(InvalidRequest, match="ambiguous"):
        engine.text(
            "Say aaa.",
            SamplingParams(temperature=0, logit_bias=((engine.model.tokenize("a", add_special=False)[0], 90.0),)),
            doubling,
        )
