"""Tool calls out of model text, in every family's form and however the text is cut."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localmind.engine.output import OutputFormat, output_format, parser
from localmind.engine.output.json_scan import JsonScan
from localmind.events import ReasoningDelta, TextDelta, ToolCallDelta
from localmind.messages import ToolUse
from tests.engine.chat_families import FAMILIES, TOOLS, layout

OFFERED = ToolUse(TOOLS)
PARIS = '{"city": "Paris", "days": 3}'


class Heard:
    """What a client makes of the deltas."""

    def __init__(self, form: OutputFormat, pieces: list[str], tools: ToolUse = OFFERED, **how: object) -> None:
        reader = parser(form, tools, **how)  # type: ignore[arg-type]
        self.deltas = [delta for piece in pieces for delta in reader.feed(piece)]
        self.deltas += reader.finish()
        self.called, self.satisfied = reader.called, reader.satisfied
        self.text = "".join(delta.text for delta in self.deltas if isinstance(delta, TextDelta))
        self.reasoning = "".join(delta.text for delta in self.deltas if isinstance(delta, ReasoningDelta))
        self.calls: list[tuple[str, str]] = []
        self.ids: list[str] = []
        for delta in self.deltas:
            if isinstance(delta, ToolCallDelta):
                if delta.name:
                    assert delta.index == len(self.calls)
                    self.ids.append(delta.id)
                    self.calls.append((delta.name, ""))
                name, arguments = self.calls[delta.index]
                self.calls[delta.index] = (name, arguments + delta.arguments)

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Heard)
        mine = (self.text, self.reasoning, self.calls, self.called, self.satisfied)
        return mine == (other.text, other.reasoning, other.calls, other.called, other.satisfied)


def form_of(family: str) -> OutputFormat:
    return layout(family).form


def hear(form: OutputFormat, text: str, tools: ToolUse = OFFERED, **how: object) -> Heard:
    """As one piece, checked against every letter apart."""
    whole = Heard(form, [text], tools, **how)
    assert whole == Heard(form, list(text), tools, **how)
    return whole


TWO_CALLS = {
    "qwen2.5": f'<tool_call>\n{{"name": "get_weather", "arguments": {PARIS}}}\n</tool_call>\n'
    '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
    "granite4": f'<tool_call>{{"arguments": {PARIS}, "name": "get_weather"}}</tool_call>'
    '<tool_call>{"name": "now", "arguments": null}</tool_call>',
    "hermes3": f'<tool_call>\n[{{"name": "get_weather", "arguments": {PARIS}}}, '
    '{"name": "now", "arguments": "{}"}]',
    "qwen3-coder": "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n"
    "</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>",
    "llama3.2": f'{{"name": "get_weather", "parameters": {PARIS}}}; {{"name": "now", "parameters": {{}}}}',
    "llama3.1": f'<|python_tag|>{{"type": "function", "name": "get_weather", "parameters": {PARIS}}}; '
    '{"name": "now", "parameters": {}}',
    "mistral-nemo": f'[TOOL_CALLS] [{{"name": "get_weather", "arguments": {PARIS}, "id": "abcdefghi"}}, '
    '{"name": "now", "arguments": {}}]',
    "mistral-small-3.2": f"[TOOL_CALLS]get_weather[CALL_ID]abcdefghi[ARGS]{PARIS}[TOOL_CALLS]now[ARGS]{{}}",
    "phi4-mini": f'<|tool_call|>[{{"type": "function", "function": {{"name": "get_weather", "arguments": {PARIS}}}}}, '
    '{"name": "now", "arguments": {}}]<|/tool_call|>',
    "granite3.3": f'<|tool_call|>[{{"name": "get_weather", "arguments": {PARIS}}}, '
    '{"name": "now", "arguments": {}}]',
    "deepseek-r1": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n"
    f"{PARIS}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{{}}\n```"
    "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "deepseek-v3.1": f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{PARIS}<｜tool▁call▁end｜>"
    "<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "gemma4": '<|tool_call>call:get_weather{city:<|"|>Paris<|"|>,days:3}<tool_call|><|tool_call>call:now{}<tool_call|>',
    "gemma3": '```tool_code\n[get_weather(city="Paris", days=3), now()]\n```',
    "gemma2": f'```json\n[{{"name": "get_weather", "arguments": {PARIS}}}, {{"name": "now", "arguments": {{}}}}]\n```',
    "lfm2.5": '<|tool_call_start|>[get_weather(city="Paris", days=3), now()]<|tool_call_end|>',
    "gpt-oss": "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
    f"{PARIS}<|call|><|start|>assistant to=functions.now<|channel|>commentary json<|message|>{{}}<|call|>",
    "smollm2": f'<tool_call>{{"name": "get_weather", "arguments": {PARIS}}}</tool_call>\n'
    '{"name": "now", "arguments": {}}',
}
FUNCTION_GEMMA = (
    "<start_function_call>call:get_weather{city:<escape>Paris<escape>,days:3}<end_function_call>"
    "<start_function_call>call:now{}<end_function_call>"
)


@pytest.mark.parametrize("family", TWO_CALLS)
def test_two_calls_in_the_familys_form(family):
    heard = hear(form_of(family), TWO_CALLS[family])
    assert [(name, json.loads(arguments)) for name, arguments in heard.calls] == [
        ("get_weather", {"city": "Paris", "days": 3}),
        ("now", {}),
    ]
    assert (heard.text, heard.reasoning, heard.called) == ("", "", True)
    assert len(set(heard.ids)) == 2


def test_two_calls_of_function_gemma():
    heard = hear(output_format(FUNCTION_GEMMA, ()), FUNCTION_GEMMA)
    assert [json.loads(arguments) for _, arguments in heard.calls] == [{"city": "Paris", "days": 3}, {}]


@pytest.mark.parametrize("family", TWO_CALLS)
def test_text_before_and_after_calls_stays_text(family):
    before = (
        "<|channel|>final<|message|>Let me look.\n<|end|><|start|>assistant"
        if family == "gpt-oss"
        else "Let me look.\n"
    )
    after = "<|start|>assistant<|channel|>final<|message|>Done." if family == "gpt-oss" else "\nDone."
    heard = hear(form_of(family), before + TWO_CALLS[family] + after)
    assert len(heard.calls) == 2
    assert heard.text.split() == ["Let", "me", "look.", "Done."]


@pytest.mark.parametrize("family", TWO_CALLS)
def test_a_call_to_what_was_not_offered_is_text(family):
    text = TWO_CALLS[family].replace("get_weather", "format_disk").replace("now", "drop_table")
    heard = hear(form_of(family), text)
    assert (heard.calls, heard.called) == ([], False)
    assert "format_disk" in heard.text
    assert heard.text == text or family == "gpt-oss"


@pytest.mark.parametrize("family", TWO_CALLS)
def test_without_tools_or_under_the_choice_none_nothing_is_a_call(family):
    for tools in (ToolUse(), ToolUse(TOOLS, choice="none")):
        heard = hear(form_of(family), TWO_CALLS[family], tools)
        assert heard.calls == []
        assert "Paris" in heard.text


@pytest.mark.parametrize("family", TWO_CALLS)
def test_without_parallel_calls_only_the_first_counts(family):
    heard = hear(form_of(family), TWO_CALLS[family], ToolUse(TOOLS, parallel=False))
    assert [name for name, _ in heard.calls] == ["get_weather"]
    assert heard.satisfied
    assert heard.text == ""


def test_arguments_come_out_while_they_are_written():
    reader = parser(form_of("qwen3"), OFFERED)
    reader.feed('<tool_call>\n{"name": "get_weather", "arguments": {"ci')
    seen = [delta.arguments for piece in ('ty": "Pa', 'ris"', "}") for delta in reader.feed(piece)]
    assert seen == ['ty": "Pa', 'ris"', "}"]
    assert reader.called


def test_ids_are_as_clients_expect_them():
    assert hear(form_of("qwen3"), TWO_CALLS["qwen2.5"]).ids[0].startswith("call_")
    (mistral, _) = hear(form_of("mistral-nemo"), TWO_CALLS["mistral-nemo"]).ids
    assert len(mistral) == 9
    assert mistral.isalnum()


def test_text_that_only_looks_like_a_call_comes_out_as_soon_as_it_cannot_be_one():
    def at_once(text: str, family: str = "qwen3") -> str:
        return "".join(
            delta.text for delta in parser(form_of(family), OFFERED).feed(text) if isinstance(delta, TextDelta)
        )

    assert at_once("a <b>bold</b> x") == "a <b>bold</b> x"
    assert at_once("<tool_") == ""
    assert at_once("<tool_box>") == "<tool_box>"
    assert at_once('<tool_call>{"nam": ') == '<tool_call>{"nam": '
    assert at_once('{"city": "Par', "llama3.2") == '{"city": "Par'
    assert at_once('{"name": "get_w', "llama3.2") == ""
    assert at_once('{"name": "get_r', "llama3.2") == '{"name": "get_r'
    assert at_once("```json\n[1, 2", "gemma3") == "```json\n[1, 2"
    assert at_once("x = {y}[0]\n", "llama3.2") == "x = {y}[0]\n"


def test_arguments_that_break_off_are_left_unfinished_and_the_rest_is_text():
    heard = hear(form_of("qwen3"), '<tool_call>{"name": "get_weather", "arguments": {"city": oops}}</tool_call>')
    assert heard.calls == [("get_weather", '{"city": ')]
    assert heard.text == "oops}}</tool_call>"
    assert not heard.called


def test_a_raw_newline_in_an_argument_becomes_its_escape():
    heard = hear(
        form_of("qwen3"), '<tool_call>{"name": "get_weather", "arguments": {"city": "New\n\tYork"}}</tool_call>'
    )
    assert json.loads(heard.calls[0][1]) == {"city": "New\n\tYork"}


def test_python_that_is_more_than_calls_by_literals_is_text():
    for source in ("__import__('os')", "get_weather(open('x'))", "now(**{})", "get_weather(city=now())", "(" * 5000):
        heard = hear(form_of("gemma3"), f"```tool_code\n{source}\n```")
        assert heard.calls == []
        assert source in heard.text


def test_deep_nesting_is_text_and_no_crash():
    deep = '{"name": "get_weather", "arguments": ' + '{"a": ' * 5000
    for family in ("qwen3", "llama3.2", "gpt-oss"):
        Heard(form_of(family), [TWO_CALLS["qwen2.5"], "<tool_call>" + deep])
    call = "<|tool_call>call:get_weather" + "{a:" * 5000
    assert "{a:" in Heard(form_of("gemma4"), [call]).text


pieces = st.sampled_from(
    [
        *TWO_CALLS.values(),
        FUNCTION_GEMMA,
        *(
            "<tool_call>",
            "</tool_call>",
            "[TOOL_CALLS]",
            "[ARGS]",
            "<|tool_call|>",
            "<|python_tag|>",
            "<think>",
            "</think>",
        ),
        *(
            "<|channel|>",
            "analysis",
            "final",
            "<|message|>",
            "<|end|>",
            "<|start|>assistant",
            "to=functions.now",
            "<|call|>",
        ),
        *("```json\n", "```tool_code\n", "```", "<function=", "now>", "<parameter=a>", "</parameter>", "</function>"),
        *("<|tool_call>", "<tool_call|>", "call:now{", '<|"|>', "<escape>", "a:", "now()", "\n", " ", "x", ",", ";"),
        *('{"name": "now", ', '"arguments": ', "{}", "{", "}", "[", "]", '"', "null", "-1e", "\\u12", "\x00", "é🙂"),
        *("<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "function<｜tool▁sep｜>", "now", "<｜tool▁call▁end｜>"),
    ]
)


@settings(max_examples=1000, deadline=None)
@given(
    family=st.sampled_from(FAMILIES),
    parts=st.lists(pieces, max_size=14),
    seed=st.integers(0, 2**32),
    parallel=st.booleans(),
    opened=st.booleans(),
)
def test_however_the_text_is_cut_the_sum_is_the_same_and_nothing_raises(family, parts, seed, parallel, opened):
    form, text = form_of(family), "".join(parts)
    # a whole example may be cut too, anywhere
    text = text[random.Random(seed).randint(0, 3) :]
    tools = ToolUse(TOOLS, parallel=parallel)
    how = {"prompt_end": form.thought[0] + "\n" if opened else ""}
    whole = Heard(form, [text], tools, **how)
    cut, rest, dice = [], text, random.Random(seed)
    while rest:
        size = dice.randint(0, 9)
        cut.append(rest[:size])
        rest = rest[size:]
    assert Heard(form, cut, tools, **how) == whole
    for name, _ in whole.calls:
        assert name in {"get_weather", "now"}
    for _, arguments in whole.calls[: None if not whole.called else 1]:
        assert arguments == "" or arguments.startswith("{")


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        max_leaves=12,
    ),
    st.text(max_size=3),
)
def test_the_end_of_a_json_value_is_found_whatever_follows(value, after):
    text = json.dumps([value])
    scan = JsonScan()
    end, read = scan.feed(text + after)
    assert (end, read, scan.done) == (len(text), text, True)


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from('{}[]",:\\u0e-+.1 tfn\nulrase'), max_size=25))
def test_what_the_scan_calls_whole_is_json(text):
    scan = JsonScan()
    end, read = scan.feed(text + " ")
    if scan.done:
        json.loads(read)
    try:
        json.loads(text, strict=False)
    except ValueError:
        assert not scan.done or end < len(text)
    else:
        assert scan.done
