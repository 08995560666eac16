"""Grammars that clients send, judged before native code sees them, and the native parser's word on ours."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from grammar_walk import texts
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_cpp import llama_cpp as native
from test_grammar_schema import EXAMPLES, SCHEMAS

from localmind.engine import grammar, llama
from localmind.engine.grammar.gbnf import repeat
from localmind.engine.grammar.judge import printable_ascii
from localmind.engine.llama import Model
from localmind.errors import InvalidRequest
from localmind.machine.plan import Plan

FORTY = "\n".join(f'{"root" if n == 0 else f"r{n}"} ::= r{n + 1} "x" | r{n + 1} "y"' for n in range(40))

REFUSED = {
    "left recursion": 'root ::= root "x" | "y"',
    "left recursion by others": 'root ::= a\na ::= b "x"\nb ::= root | "y"',
    "left recursion behind what is empty by way of others": 'root ::= x\nx ::= a x "c" | "d"\na ::= b b\nb ::= | "q"',
    "no end": 'root ::= "a" root',
    "no end in a branch": 'root ::= "b" | "a" loop\nloop ::= "a" loop',
    "too many repetitions": 'root ::= "a"{3000}',
    "repetitions of nothing": 'root ::= ("a"?){1000}',
    "nesting": "root ::= " + "(" * 5000,
    "undefined": "root ::= nope",
    "no root": 'x ::= "a"',
    "a token": "root ::= <[5]>",
    "not a token": "root ::= !<think>",
    "a long text often": 'root ::= "' + "a" * 100_000 + '"{2000}',
    "doubling": FORTY + '\nr40 ::= "a"',
    "size": "root ::= " + '"a" ' * 400_000,
    "nul": 'root ::= "a\0b"',
    "open text": 'root ::= "a',
    "open class": "root ::= [a",
    "empty class": "root ::= []",
    "escape": 'root ::= "\\q"',
    "hex": 'root ::= "\\x4"',
    "braces": 'root ::= "a"{2',
    "backwards": 'root ::= "a"{3,2}',
    "a long number": 'root ::= "a"{99999999999999999999}',
    "nothing to repeat": "root ::= *",
    "no definition": "root = 5",
    "empty": "",
    "unicode name": "röot ::= 5",
}


@pytest.mark.parametrize("name", REFUSED)
def test_grammars_that_native_code_would_not_survive_are_refused_quickly(name):
    began = time.monotonic()
    with pytest.raises(InvalidRequest, match="grammar"):
        grammar.check_gbnf(REFUSED[name])
    assert time.monotonic() - began < 30  # not what its size would take


ACCEPTED = [
    'root ::= "a"',
    "root ::= [a-z]+ # comment\n",
    'root ::= (\n  "1. " move\n  ("x" | move)* "\\n"\n)\nmove ::= [A-H\\]^-] [0-9]{1,2}?\n',
    'root ::= a |\n  "b"\na ::= ""\r\n',
    'root ::= "\\x41\\u00e9\\U0001F98A\\t\\"" [^"\\\\] .',
    "root ::= ([ \\t] root)?",
    'root ::= "日本"+',
    "root ::= item{2,} item{3}\nitem ::= [^\\n]",
    'root ::= ("a" | "b"?) "c"{0,2000}',
]


@pytest.fixture(scope="module")
def model(chat_model_path: Path) -> Iterator[Model]:
    llama.start()
    model = Model(
        chat_model_path, Plan(n_ctx=64, n_threads=1, n_threads_batch=1, use_extra_bufts=False), lambda _: True
    )
    yield model
    model.close()


def native_takes(model: Model, gbnf: str) -> bool:
    sampler = native.llama_sampler_init_grammar(model.vocab, gbnf.encode(), b"root")
    if not sampler:
        return False
    native.llama_sampler_free(sampler)
    return True


@pytest.mark.parametrize("gbnf", ACCEPTED)
def test_what_we_accept_the_native_parser_accepts(model, gbnf):
    grammar.check_gbnf(gbnf)
    assert native_takes(model, gbnf)


@pytest.mark.parametrize("schema", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_native_parser_takes_our_grammars(model, schema):
    assert native_takes(model, grammar.schema_to_gbnf(schema))


@settings(max_examples=100, deadline=None)
@given(schema=SCHEMAS)
def test_the_native_parser_takes_the_grammar_of_any_schema(model, schema):
    assert native_takes(model, grammar.schema_to_gbnf(schema))


@pytest.mark.parametrize("schema", EXAMPLES[:24], ids=range(24))
def test_native_code_follows_the_texts_that_we_read_in_a_grammar(model, schema):
    gbnf = grammar.schema_to_gbnf(schema)
    for text in texts(gbnf, 10):
        sampler = native.llama_sampler_init_grammar(model.vocab, gbnf.encode(), b"root")
        one = (native.llama_token_data * 1)()
        found = native.llama_token_data_array(data=one, size=1, selected=-1, sorted=False)
        for token in model.tokenize(text, add_special=False, parse_special=False):
            one[0] = native.llama_token_data(token, 0.0, 0.0)
            native.llama_sampler_apply(sampler, native.ctypes.byref(found))
            assert one[0].logit == 0.0, text
            native.llama_sampler_accept(sampler, token)
        one[0] = native.llama_token_data(min(model.end_tokens), 0.0, 0.0)
        native.llama_sampler_apply(sampler, native.ctypes.byref(found))
        assert one[0].logit == 0.0, f"{text} is not the end"
        native.llama_sampler_free(sampler)


@settings(max_examples=500, deadline=None)
@given(st.text("root:=\"'ab[]^-()|*+?{},0123 \n\\x#.<!", max_size=40))
def test_no_text_hurts_and_what_we_take_native_code_takes(model, tail):
    gbnf = f"root ::= {tail}"
    try:
        grammar.check_gbnf(gbnf)
    except InvalidRequest:
        return
    assert native_takes(model, gbnf)


@pytest.mark.parametrize(
    ("least", "most"), [(0, 0), (0, 1), (3, 3), (0, 700), (600, 1300), (499, 501), (2, None), (600, None)]
)
def test_long_repetitions_are_cut_into_blocks_that_add_up(least, most):
    rules: dict[str, str] = {}

    def add(hint: str, body: str) -> str:
        name = f"{hint}-{len(rules)}"
        rules[name] = body
        return name

    gbnf = grammar.render({"root": repeat("[a]", least, most, add), **rules})
    grammar.check_gbnf(gbnf)
    lengths = [len(text) for text in texts(gbnf, 200)]
    assert min(lengths) >= least
    if most is not None:
        assert max(lengths) <= most
    if most == least:
        assert set(lengths) == {least}


def test_a_grammar_says_whether_ascii_shows_all_that_may_follow():
    assert printable_ascii('root ::= "a" [^"] [é-ü0]')
    assert not printable_ascii('root ::= "a" | "é"')
