"""Ollama's templates in the engine's Jinja: what the library's common ones write, and what is refused by its name."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localmind.engine.abilities import probe
from localmind.engine.template import ChatTemplate, Refusal
from localmind.errors import InvalidRequest, ModelFileBroken
from localmind.models.go_template import to_jinja

CHATML = """{{ if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}{{ if .Prompt }}<|im_start|>user
{{ .Prompt }}<|im_end|>
{{ end }}<|im_start|>assistant
{{ .Response }}<|im_end|>
"""
MISTRAL = "[INST] {{ if .System }}{{ .System }} {{ end }}{{ .Prompt }} [/INST]{{ .Response }}</s>"
GEMMA = """<start_of_turn>user
{{ if .System }}{{ .System }} {{ end }}{{ .Prompt }}<end_of_turn>
<start_of_turn>model
{{ .Response }}<end_of_turn>
"""
LLAMA_3 = """{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- /* each turn under its header */ -}}
<|start_header_id|>{{ .Role }}<|end_header_id|>

{{ .Content }}{{ if not $last }}<|eot_id|>{{ else if ne .Role "assistant" }}<|eot_id|>
<|start_header_id|>assistant<|end_header_id|>

{{ end }}
{{- end }}"""
QWEN = """{{- if .Messages }}
{{- if or .System .Tools }}<|im_start|>system
{{- if .System }}
{{ .System }}
{{- end }}
{{- if .Tools }}

# Tools

<tools>
{{- range .Tools }}
{"type": "function", "function": {{ .Function }}}
{{- end }}
</tools>
{{- end }}<|im_end|>
{{ end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
{{- if eq .Role "user" }}<|im_start|>user
{{ .Content }}<|im_end|>
{{ else if eq .Role "assistant" }}<|im_start|>assistant
{{ if .Content }}{{ .Content }}
{{- else if .ToolCalls }}<tool_call>
{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
{{ end }}</tool_call>
{{- end }}{{ if not $last }}<|im_end|>
{{ end }}
{{- else if eq .Role "tool" }}<|im_start|>user
<tool_response>
{{ .Content }}
</tool_response><|im_end|>
{{ end }}
{{- if and (ne .Role "assistant") $last }}<|im_start|>assistant
{{ end }}
{{- end }}
{{- else }}{{ .Prompt }}{{ end }}{{ .Response }}"""
TALK = [
    {"role": "system", "content": 'Say "short" things: {{ .System }} {% raw %}'},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Two?"},
]
SYSTEM = TALK[0]["content"]


def rendered(template: str, talk: list[dict[str, object]] = TALK, tools: list[dict[str, object]] | None = None) -> str:
    return ChatTemplate(to_jinja(template)).render(talk, tools)


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        (
            CHATML,
            f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n"
            "Yes.<|im_end|>\n<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (MISTRAL, f"[INST] {SYSTEM} One? [/INST]Yes.</s>[INST] Two? [/INST]"),
        (
            GEMMA,
            f"<start_of_turn>user\n{SYSTEM} One?<end_of_turn>\n<start_of_turn>model\nYes.<end_of_turn>\n"
            "<start_of_turn>user\nTwo?<end_of_turn>\n<start_of_turn>model\n",
        ),
        (
            LLAMA_3,
            f"<|start_header_id|>system<|end_header_id|>\n\n{SYSTEM}<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nOne?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nYes.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nTwo?<|eot_id|>\n"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        ("{{ .Prompt }}", "One?Yes.Two?"),
        ("{{ range .Messages }}{{ .Role }}: {{ .Content | json }};{{ end }}", None),
    ],
)
def test_a_conversation_is_laid_out_as_ollama_does_it(template: str, prompt: str | None) -> None:
    said = json.dumps(SYSTEM)
    expected = prompt or f'system: {said};user: "One?";assistant: "Yes.";user: "Two?";'
    assert rendered(template) == expected


def test_tools_calls_and_results_are_written_as_ollama_writes_them() -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    talk = [
        {"role": "user", "content": "Rain?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "weather", "arguments": {"c": "Ö"}}}],
        },
        {"role": "tool", "content": "no"},
    ]
    assert rendered(QWEN, talk, [tool]) == (
        '<|im_start|>system\n\n# Tools\n\n<tools>\n{"type": "function", "function": {"name":"weather","parameters":'
        '{"type":"object","properties":{}}}}\n</tools><|im_end|>\n<|im_start|>user\nRain?<|im_end|>\n'
        '<|im_start|>assistant\n<tool_call>\n{"name": "weather", "arguments": {"c":"Ö"}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\nno\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )
    able = probe(ChatTemplate(to_jinja(QWEN)))
    assert (able.tools, able.calls, able.results) == ("argument", True, True)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{{ with .Content }}[{{ . }}]{{ else }}-{{ end }}", "[a]-"),
        ("{{ if eq .Role `x` `user` }}{{ print 1 .Role true }}{{ else }}{{ continue }}{{ end }}.", "1usertrue."),
        ('{{ $x := "o" }}{{ if .Content }}{{ $x = .Role }}{{ end }}{{ $x }},', "user,o,"),
        ("{{ if gt (len .Content) 0 }}{{ break }}{{ end }}never", ""),
        ("{{- /* nothing */ -}} {{ (index $.Messages 0).Content }} ", "a a "),
        ("{{ range $k, $v := .ToolCalls }}{{ $k }}{{ $v.Function.Name }}{{ else }}no {{ end }}", "no 0f1g"),
        ('{{ "\\u00e9\\n}}" }}', "é\n}}é\n}}"),
        ("{{ not (and .Content (or .Thinking 1)) }} ", "false true "),
    ],
)
def test_go_means_what_it_means(body: str, text: str) -> None:
    calls = [{"function": {"name": "f", "arguments": {}}}, {"function": {"name": "g", "arguments": {}}}]
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "", "tool_calls": calls}]
    assert rendered("{{ range .Messages }}" + body + "{{ end }}", talk) == text


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ("{{ .Messages }}{{ .Secret }}", "line 1: .Secret is not supported"),
        ("{{ .Prompt }}\n{{ call .Prompt }}", "line 2: `call`"),
        ('{{ define "x" }}{{ end }}', "define is not supported"),
        ("{{ printf `%d` 1 }}", "`printf` with 2 values"),
        ("{{ if .Prompt }}x", "has no `end`"),
        ("{{ .Prompt }}{{ end }}", "too many"),
        ("{{ .Prompt ", "not closed"),
        ("{{ .Prompt }}{{ $x }}", "no variable \\$x"),
        ("{{ ; }}", "not understood"),
        ("nothing of anybody", "neither .Messages nor .Prompt"),
        ("{{ range .Messages }}{{ . }}{{ end }}{{ . }}", "as a whole"),
        ("{{ if .Prompt }}" * 60 + "{{ end }}" * 60, "more than 40 blocks"),
        ("{{ " + "(" * 60 + ".Prompt" + ")" * 60 + " }}", "more than 40 brackets"),
    ],
)
def test_what_is_not_translated_is_refused_by_its_name(template: str, named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        to_jinja(template)


WORDS = (
    "{{ }} {{- -}} if else end range with $x := = .Messages .Prompt .Role . $ | ( ) eq and len json slice index 1",
    'break "a" `b` {% {# #} %} \' v.system messages // }} }}',
)


@given(st.lists(st.sampled_from(" ".join(WORDS).split()) | st.text(max_size=3), max_size=40).map(" ".join))
def test_whatever_comes_is_translated_or_refused_and_nothing_of_it_runs(template: str) -> None:
    try:
        jinja = to_jinja(template)
    except InvalidRequest:
        return
    try:
        ChatTemplate(jinja).render(TALK)
    except Refusal:
        pass  # its operators fail on these values, as Go's would
    except ModelFileBroken as problem:
        raise AssertionError(jinja) from problem
