"""Grammars for calls: whatever they allow is read back as valid calls, in every family's form."""

import json
import re

import jsonschema
import pytest

from localmind.engine import grammar
from localmind.engine.output import output_format, parser
from localmind.engine.output.constrain import answer_constraint
from localmind.errors import InvalidRequest
from localmind.messages import ResponseFormat, Tool, ToolUse
from tests.engine.chat_families import FAMILIES, NOW, TOOLS, WEATHER
from tests.engine.grammar_walk import Walk
from tests.engine.test_tool_output import Heard, form_of

REQUIRED = ToolUse(TOOLS, choice="required")
ANY = ResponseFormat()
WALKS = 12
SCHEMAS = {tool.name: tool.parameters or {"maxProperties": 0} for tool in TOOLS}


def assert_valid_calls(heard: Heard, names: set[str]) -> None:
    assert heard.called
    assert heard.text.strip() == ""
    for name, arguments in heard.calls:
        assert name in names
        jsonschema.validate(json.loads(arguments), SCHEMAS[name])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("parallel", [True, False])
def test_whatever_a_required_grammar_allows_is_valid_calls(family, parallel):
    form = form_of(family)
    tools = ToolUse(TOOLS, choice="required", parallel=parallel)
    constraint = answer_constraint(form, tools, ANY)
    assert constraint is not None
    assert constraint.triggers == ()
    grammar.check_gbnf(constraint.gbnf)
    for seed in range(WALKS):
        heard = Heard(form, [Walk(constraint.gbnf, seed).text()], ToolUse(TOOLS))
        assert_valid_calls(heard, {"get_weather", "now"})
        assert parallel or len(heard.calls) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_named_function_is_the_only_one(family):
    tools = ToolUse(TOOLS, choice="required", name="now")
    constraint = answer_constraint(form_of(family), tools, ANY)
    assert constraint is not None
    for seed in range(4):
        assert_valid_calls(Heard(form_of(family), [Walk(constraint.gbnf, seed).text()], tools), {"now"})


@pytest.mark.parametrize("family", [family for family in FAMILIES if form_of(family).thinks and family != "gpt-oss"])
def test_reasoning_that_the_prompt_opened_is_closed_before_the_call(family):
    form = form_of(family)
    constraint = answer_constraint(form, REQUIRED, ANY, opened=True)
    assert constraint is not None
    grammar.check_gbnf(constraint.gbnf)
    for seed in range(WALKS):
        text = Walk(constraint.gbnf, seed).text()
        assert form.thought[1] in text
        reader = Heard(form, [text], ToolUse(TOOLS), prompt_end=form.thought[0])
        assert_valid_calls(reader, {"get_weather", "now"})


@pytest.mark.parametrize("family", FAMILIES)
def test_a_call_that_was_begun_freely_is_ended_by_the_grammar(family):
    form = form_of(family)
    constraint = answer_constraint(form, ToolUse(TOOLS), ANY)
    if constraint is None:
        assert form.family in {"tagged", "pythonic", "gemma4"}  # no JSON there, so nothing to keep
        return
    (trigger,) = constraint.triggers
    for seed in range(WALKS):
        text = Walk(constraint.gbnf, seed).text()
        found = re.search(trigger, text)
        if form.family in {"llama", "harmony"}:
            assert found is not None
        assert found is not None
        assert found.start(1) == 0
        assert_valid_calls(Heard(form, [text]), {"get_weather", "now"})
    assert re.search(trigger, 'An answer with {"name": "Bob"} and <b>tags</b>') is None


def test_an_answer_of_a_wanted_shape_or_a_call_when_both_are_given():
    wanted = ResponseFormat({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]})
    constraint = answer_constraint(form_of("qwen2.5"), ToolUse(TOOLS), wanted)
    assert constraint is not None
    texts = [Walk(constraint.gbnf, seed).text() for seed in range(40)]
    calls = [text for text in texts if Heard(form_of("qwen2.5"), [text]).called]
    assert 0 < len(calls) < len(texts)
    assert all(isinstance(json.loads(text)["ok"], bool) for text in texts if text not in calls)


@pytest.mark.parametrize("family", ["deepseek-r1", "gpt-oss", "qwen3"])
def test_an_answer_of_a_wanted_shape_comes_after_reasoning(family):
    wanted = ResponseFormat({"enum": ["yes", "no"]})
    form, opened = form_of(family), family == "deepseek-r1"
    constraint = answer_constraint(form, ToolUse(), wanted, opened=opened)
    assert constraint is not None
    grammar.check_gbnf(constraint.gbnf)
    for seed in range(WALKS):
        text = Walk(constraint.gbnf, seed).text()
        heard = Heard(form, [text], ToolUse(), prompt_end=form.thought[0] if opened else "")
        assert json.loads(heard.text) in ("yes", "no")


def test_no_reasoning_is_allowed_where_none_was_asked_for():
    constraint = answer_constraint(form_of("qwen3"), REQUIRED, ResponseFormat(), thinks=False)
    assert constraint is not None
    assert all(Walk(constraint.gbnf, seed).text().startswith("<tool_call>") for seed in range(WALKS))


def test_the_end_of_reasoning_is_found_in_any_text():
    constraint = answer_constraint(
        output_format("[THINK][/THINK]", ()), ToolUse((NOW,), choice="required"), ANY, opened=True
    )
    assert constraint is not None
    rules = constraint.gbnf
    assert rules.count("thought-") > 7
    for seed in range(60):
        before, _, after = Walk(rules, seed).text().partition("[/THINK]")
        assert "[/THINK]" not in before
        assert after.lstrip().startswith("<tool_call>")


def test_required_without_tools_or_with_an_unknown_name_is_refused():
    with pytest.raises(InvalidRequest, match="no tools"):
        answer_constraint(form_of("qwen3"), ToolUse(choice="required"), ANY)
    with pytest.raises(InvalidRequest, match="'other' is not among"):
        answer_constraint(form_of("qwen3"), ToolUse(TOOLS, choice="required", name="other"), ANY)


def test_a_schema_that_cannot_be_kept_is_refused_when_strict_and_else_any_object():
    schema = {"type": "object", "properties": {"a": {"not": {"type": "string"}}}}
    with pytest.raises(InvalidRequest, match="schema of the function odd"):
        answer_constraint(form_of("qwen3"), ToolUse((Tool("odd", "", schema, strict=True),), choice="required"), ANY)
    loose = answer_constraint(form_of("qwen3"), ToolUse((Tool("odd", "", schema),), choice="required"), ANY)
    assert loose is not None
    reader = parser(form_of("qwen3"), ToolUse((Tool("odd"),)))
    reader.feed(Walk(loose.gbnf, 1).text())
    assert reader.called


def test_no_tools_and_no_shape_is_no_constraint():
    assert answer_constraint(form_of("qwen3"), ToolUse(), ResponseFormat()) is None
    assert answer_constraint(form_of("qwen3"), ToolUse((WEATHER,), choice="none"), ResponseFormat()) is None
