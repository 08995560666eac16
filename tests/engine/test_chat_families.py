"""Every family's template: awkward orders of messages, tools, calls, reasoning, and texts that play the system."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localmind.engine.abilities import Abilities
from localmind.engine.prompt import Prompter
from localmind.engine.template import ChatTemplate
from localmind.errors import InvalidRequest
from localmind.messages import Message, Tool, ToolCall, ToolUse
from tests.engine.chat_families import BOS, EOS, FAMILIES, TOOLS, FakeTokenizer, layout, source

every_family = pytest.mark.parametrize("family", FAMILIES)

U, S, A = (lambda text, role=role: Message(role, text) for role in ("user", "system", "assistant"))


def calls(*arguments: str, content: str = "", reasoning: str = "") -> Message:
    made = tuple(ToolCall(f"call_{number}", "get_weather", text) for number, text in enumerate(arguments))
    return Message("assistant", content, reasoning, made)


def result(text: str, number: int = 0) -> Message:
    return Message("tool", text, tool_call_id=f"call_{number}", name="get_weather")


AWKWARD = {
    "system in the middle": [U("first"), A("ok"), S("be brief"), U("second")],
    "several systems": [S("one rule"), S("another rule"), U("hello")],
    "system at the end": [U("hello"), S("be brief")],
    "system alone": [S("be brief")],
    "two users in a row": [S("rule"), U("first"), U("second"), A("ok"), U("third")],
    "assistant first": [A("welcome"), U("hello")],
    "assistant alone": [A("welcome")],
    "two assistants in a row": [U("hello"), A("one"), A("two"), U("more")],
    "empty contents": [S(""), U(""), A(""), U("hello")],
    "nothing but emptiness": [U("")],
    "tool before assistant": [U("hello"), result("sunny"), U("thanks")],
    "tool first": [result("sunny"), U("thanks")],
    "tool alone": [result("sunny")],
    "call and result": [S("rule"), U("weather?"), calls('{"city": "Paris"}'), result("sunny")],
    "two calls": [
        U("weather?"),
        calls('{"city": "Paris"}', '{"city": "Rome"}', content="Let me look."),
        result("sunny", 0),
        result("rain", 1),
        A("Sunny there, rain here"),
        U("thanks"),
    ],
    "call without result": [U("weather?"), calls('{"city": "Paris"}'), U("forget it")],
    "arguments that are no JSON": [U("weather?"), calls('{"city": Par'), result("error: no JSON"), U("again")],
    "reasoning": [U("hello"), Message("assistant", "hi", "a greeting"), U("more")],
}


def missing_words(text: str, messages: list[Message]) -> list[str]:
    """What users, systems and tools said and the prompt does not, as it is or in JSON."""
    said = [message.content.strip() for message in messages if message.role != "assistant"]
    return [words for words in said if words not in text and json.dumps(words, ensure_ascii=False)[1:-1] not in text]


@every_family
@pytest.mark.parametrize("case", AWKWARD)
@pytest.mark.parametrize("tools", [(), TOOLS], ids=["no tools", "tools"])
def test_every_template_gives_a_prompt_with_every_word_for_every_order(family, case, tools):
    page = layout(family).render(AWKWARD[case], tools)
    assert missing_words(page.text, AWKWARD[case]) == []
    assert all(tool.name in page.text and tool.description in page.text for tool in tools)


@every_family
def test_both_of_two_calls_and_both_results_are_in_the_prompt(family):
    text = layout(family).render(AWKWARD["two calls"], TOOLS).text
    assert all(word in text for word in ("Paris", "Rome", "sunny", "rain"))
    drop_text_beside_calls = {"gpt-oss", "hermes3", "llama3.1", "llama3.2", "mistral-nemo", "mistral-small-3.2"}
    assert ("Let me look." in text) == (family not in drop_text_beside_calls)


@every_family
def test_an_orderly_conversation_is_rendered_as_the_template_alone_would(family):
    talk = [U("first"), A("ok"), U("second")]
    plain = [{"role": message.role, "content": message.content} for message in talk]
    names = {"strftime_now": lambda pattern: "now"}
    none = [] if family == "hermes3" else None
    alone = ChatTemplate(source(family), bos=BOS, eos=EOS).render(plain, none, names)
    assert layout(family).render(talk, (), names).text == alone


def test_what_templates_can_do_is_found_out_by_trying():
    found = {family: layout(family).abilities for family in FAMILIES}
    assert found["qwen3"] == Abilities("argument", calls=True, results=True, several=True)
    assert found["llama3.2"] == Abilities("argument", calls=True, results=True)
    assert found["mistral-nemo"] == Abilities("argument", calls=True, results=True, several=True, short_ids=True)
    assert found["phi4-mini"] == Abilities("system", results=True)
    assert found["granite3.3"] == Abilities("argument", results=True)
    assert found["smollm2"] == found["gemma2"] == found["chatml"] == Abilities()


def test_arguments_are_text_where_a_template_joins_them_and_values_where_it_walks_them():
    joins = "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.name + c.function.arguments }}"
    joins += "{% endfor %}{{ m.content }}{% endfor %}"
    walks = joins.replace(
        "c.function.name + c.function.arguments",
        "c.function.name }}{% for k, v in c.function.arguments.items() %}{{ k }}={{ v }}{% endfor %}{{ ''",
    )
    talk = [U("hello"), calls('{"city": "Paris"}'), result("sunny")]
    for text, written in ((joins, 'get_weather{"city": "Paris"}'), (walks, "get_weathercity=Paris")):
        prompter = Prompter(FakeTokenizer("chatml"), ChatTemplate(text))
        assert written in prompter.prepare(talk).text


def test_a_template_that_knows_no_tools_gets_them_told_and_results_come_from_the_user():
    text = layout("smollm2").render(AWKWARD["call and result"], TOOLS).text
    assert text.startswith("<|im_start|>system\nrule\n\nYou may call functions.")
    assert '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call><|im_end|>' in text
    assert "<|im_start|>user\n<tool_response>\nsunny\n</tool_response><|im_end|>" in text


def test_mistrals_ids_have_nine_letters_and_stay_the_same_from_turn_to_turn():
    talk = AWKWARD["call and result"]
    first = layout("mistral-nemo").render(talk, TOOLS).text
    again = layout("mistral-nemo").render([*talk, A("Sunny."), U("thanks")], TOOLS).text
    call_id = first.split('"call_id": "')[1].split('"')[0]
    assert len(call_id) == 9
    assert call_id.isalnum()
    assert again.count(call_id) == 2


@every_family
def test_an_answer_that_was_begun_is_continued(family):
    page = layout(family).render([U("count"), A("one, two,")])
    assert page.prefilled
    assert page.text.endswith("one, two,")


@every_family
def test_what_is_not_the_templates_own_is_never_a_control_token(family):
    """The same conversation, once harmless and once with control tokens wherever text from outside goes."""
    tokenizer = FakeTokenizer(family)
    prompter = Prompter(tokenizer, ChatTemplate(source(family), bos=BOS, eos=EOS))

    def controls(evil: str) -> list[int]:
        talk = [
            S(f"rule {evil}"),
            U(f"weather? {evil} so"),
            calls(json.dumps({"city": f"Paris {evil}"}), reasoning=f"hm {evil}"),
            result(f"sunny {evil}"),
            A(f"x {evil} y"),
            U(f"{evil}thanks{evil}"),
        ]
        schema = {"type": "object", "properties": {"city": {"type": "string", "description": f"where {evil}"}}}
        tool = Tool("get_weather", f"Tells {evil}", schema)
        prepared = prompter.prepare(talk, ToolUse((tool,)), kwargs={"model_identity": f"I am {evil}"})
        return [token for token in prepared.tokens if token >= 1000]

    refused = ("<|channel|>",) if family == "gpt-oss" else ()
    expected = controls("nobody")
    for evil in tokenizer.control_texts:
        if evil not in refused:
            assert controls(evil) == expected, evil


def test_a_control_token_put_together_by_the_template_is_seen():
    prompter = Prompter(FakeTokenizer("chatml"), ChatTemplate("{{ messages[0].content.replace('</think>', '') }}<s>"))
    tokens = prompter.prepare([U("<|im_</think>end|>")]).tokens
    assert [token for token in tokens if token >= 1000] == [
        1000 + sorted(FakeTokenizer("chatml").control_texts).index("<s>")
    ]


@pytest.mark.parametrize(
    ("family", "thinking", "end"),
    [
        ("qwen3", None, "<|im_start|>assistant\n"),
        ("qwen3", False, "<think>\n\n</think>\n\n"),
        ("deepseek-r1", None, "<think>\n"),
        ("deepseek-r1", False, "<think>\n</think>\n\n"),
        ("deepseek-v3.1", True, "<think>"),
        ("deepseek-v3.1", None, "</think>"),
        ("qwen2.5", False, "<|im_start|>assistant\n"),
    ],
)
def test_thinking_is_asked_for_in_the_templates_own_way(family, thinking, end):
    prompter = Prompter(FakeTokenizer(family), ChatTemplate(source(family), bos=BOS, eos=EOS))
    assert prompter.prepare([U("hello")], thinking=thinking).text.endswith(end)


def test_names_for_the_template_are_passed_on_but_not_the_ones_that_are_ours():
    prompter = Prompter(FakeTokenizer("gpt-oss"), ChatTemplate(source("gpt-oss"), bos=BOS, eos=EOS))
    assert "Reasoning: high" in prompter.prepare([U("hello")], kwargs={"reasoning_effort": "high"}).text
    with pytest.raises(InvalidRequest, match="messages cannot be set"):
        prompter.prepare([U("hello")], kwargs={"messages": []})


def test_a_function_name_with_odd_characters_is_refused_before_anything_is_rendered():
    with pytest.raises(InvalidRequest, match="name of the function"):
        layout("qwen3").render([U("hello")], [Tool("<|im_end|>")])


words = st.one_of(
    st.sampled_from(
        ["", " ", "\n", "<|im_end|>", "<think>", "</think>x", "{% if %}", "{{ x }}", "\ue000", "\ue001", "é🙂"]
    ),
    st.text(st.characters(codec="utf-8"), max_size=12),
)
arguments = st.one_of(st.sampled_from(["", "{}", "null", "[1]", '{"a": {"b": [1, "<s>"]}}', '{"x', '"\\ud800"']), words)
made_calls = st.lists(
    st.builds(ToolCall, id=words, name=st.one_of(st.just("now"), words), arguments=arguments), max_size=3
).map(tuple)
messages = st.one_of(
    st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), content=words),
    st.builds(Message, role=st.just("assistant"), content=words, reasoning=words, tool_calls=made_calls),
    st.builds(Message, role=st.just("tool"), content=words, tool_call_id=st.none() | words, name=st.none() | words),
)


@settings(max_examples=600, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    talk=st.lists(messages, min_size=1, max_size=7),
    tools=st.sampled_from([(), TOOLS]),
)
def test_any_conversation_is_a_prompt_with_every_users_word_or_an_invalid_request(family, talk, tools):
    try:
        page = layout(family).render(talk, tools)
    except InvalidRequest:
        assert family == "gpt-oss"  # refuses its own tags inside a message
        return
    assert missing_words(page.text, talk) == []
