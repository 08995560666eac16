"""Reasoning apart from the answer: opened by the model or by the prompt, closed or not."""

import pytest

from localmind.engine.output import output_format
from localmind.messages import ToolUse
from tests.engine.chat_families import source
from tests.engine.test_tool_output import Heard, form_of, hear

NONE = ToolUse()


@pytest.mark.parametrize("family", ["qwen3", "deepseek-r1", "smollm3", "smollm2"])
@pytest.mark.parametrize("opening", ["<think>\n", "\n<think>"])
def test_thoughts_and_answer_are_told_apart(family, opening):
    heard = hear(form_of(family), f"{opening}First, <b>.\n\nThen.\n</think>\n\nThe answer.\n", NONE)
    assert (heard.reasoning, heard.text) == ("First, <b>.\n\nThen.", "The answer.\n")


@pytest.mark.parametrize("opening", ["", "<think>\n"])
def test_reasoning_that_the_prompt_opened_needs_no_opening(opening):
    heard = hear(form_of("deepseek-r1"), f"{opening}Hm.</think>Yes.", NONE, prompt_end="<｜Assistant｜><think>\n")
    assert (heard.reasoning, heard.text) == ("Hm.", "Yes.")


def test_a_users_think_tag_near_the_end_of_the_prompt_opens_nothing():
    end = "what is <think>?<|im_end|>\n<|im_start|>assistant\n"
    assert hear(form_of("qwen3"), "A tag.", NONE, prompt_end=end).text == "A tag."


def test_reasoning_that_never_closes_is_all_reasoning():
    heard = hear(form_of("qwen3"), "<think>\nround and round </thin", NONE)
    assert (heard.reasoning, heard.text) == ("round and round </thin", "")


def test_empty_reasoning_is_none():
    heard = hear(form_of("qwen3"), "<think>\n\n</think>\n\nYes.", NONE)
    assert (heard.reasoning, heard.text) == ("", "Yes.")


def test_a_tag_in_the_middle_of_an_answer_is_text():
    assert hear(form_of("qwen3"), "Use <think>x</think>.", NONE).text == "Use <think>x</think>."


def test_reasoning_that_is_not_to_be_told_apart_stays_in_the_text():
    assert hear(form_of("qwen3"), "<think>a</think>b", NONE, reasoning=False).text == "<think>a</think>b"


def test_a_call_after_reasoning_is_a_call_and_one_inside_is_not():
    call = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
    heard = hear(form_of("qwen3"), f"<think>\nmaybe {call}\n</think>\n\n{call}")
    assert heard.reasoning == f"maybe {call}"
    assert heard.calls == [("now", "{}")]
    assert heard.text == ""


def test_families_have_their_own_tags():
    assert hear(form_of("ministral3-reasoning"), "[THINK]a[/THINK]b", NONE).reasoning == "a"
    heard = hear(form_of("granite3.3"), "<think>a</think>\n\n<response>b</response>", NONE)
    assert (heard.reasoning, heard.text) == ("a", "b")


def test_channels_of_gpt_oss():
    text = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>"
    heard = hear(form_of("gpt-oss"), text, NONE)
    assert (heard.reasoning, heard.text) == ("Hm.", "Yes.")
    assert hear(form_of("gpt-oss"), "Plain.", NONE).text == "Plain."
    assert hear(form_of("gpt-oss"), " more", NONE, prefilled=True).text == " more"
    preamble = "<|channel|>commentary<|message|>I will look.<|end|>"
    assert hear(form_of("gpt-oss"), preamble, NONE).text == "I will look."


def test_text_is_not_held_back_longer_than_a_tag_could_be():
    pieces = [*"The answer is long."]
    assert len(Heard(form_of("qwen2.5"), pieces, NONE).deltas) == len(pieces)


def test_the_control_tokens_that_a_parser_must_see_are_named_and_no_others():
    controls = ("<|im_end|>", "<tool_call>", "<think>", "<|endoftext|>", "<|channel|>", "<|message|>")
    assert output_format(source("qwen3"), controls).shown_controls == {"<tool_call>", "<think>"}
    assert output_format(source("gpt-oss"), controls).shown_controls >= {"<|channel|>", "<|message|>"}
