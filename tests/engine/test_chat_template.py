"""Chat templates: what honest ones expect, and what hostile ones get."""

import time

import pytest

from localmind.engine.layout import Layout
from localmind.engine.output import output_format
from localmind.engine.template import ChatTemplate, Refusal
from localmind.errors import InvalidRequest, LocalmindError, ModelFileBroken
from localmind.messages import Message

HELLO = [{"role": "user", "content": "Hello"}]

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}"
    "{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_the_starter_models_template_renders_as_its_makers_mean_it():
    text = ChatTemplate(SMOLLM2).render(HELLO)
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_model_without_a_template_gets_chatml():
    assert ChatTemplate(None).render(HELLO) == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"


def test_the_names_that_hugging_face_templates_use_are_there():
    template = ChatTemplate(
        "{{ bos_token }}{% if tools is none %}no tools{% endif %}{{ {'b': 'é<', 'a': [1]} | tojson }}"
        "{{ strftime_now('%Y') | length }}{{ messages | map(attribute='content') | join(', ') }}{{ eos_token }}",
        bos="<s>",
        eos="</s>",
    )
    assert template.render(HELLO) == '<s>no tools{"b": "é<", "a": [1]}4Hello</s>'


def test_loop_controls_namespaces_macros_and_generation_blocks_work():
    template = ChatTemplate(
        "{% set ns = namespace(n=0) %}{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}"
        "{% for i in range(9) %}{% if i == 3 %}{% break %}{% endif %}{% set ns.n = ns.n + i %}{% endfor %}"
        "{% generation %}{{ twice(ns.n) }}{% endgeneration %}{{ 'a-b'.replace('-', '+') }}{{ ' x '.strip() ~ 1 }}"
        "{{ 'k=%s' % 2 }}{{ ['a', 'b'] | join('/') }}{{ '/'.join(['c', 'd']) }}{{ 'ab' * 2 }}"
    )
    assert template.render(HELLO) == "33a+bx1k=2a/bc/dabab"


def test_a_macro_may_be_called_with_any_argument_names():
    template = ChatTemplate(
        "{% macro m(context, function, name) %}{{ context ~ function ~ name }}{% endmacro %}"
        "{{ m(context=1, function=2, name=3) }}"
    )
    assert template.render(HELLO) == "123"


def layout(source: str) -> Layout:
    return Layout(ChatTemplate(source), output_format(source, ()))


def test_the_order_of_roles_that_a_template_refuses_is_the_requests_fault():
    with pytest.raises(InvalidRequest, match="roles must alternate"):
        layout("{{ raise_exception('roles must alternate') }}").render([Message("user", "Hello")])


def test_a_template_without_a_system_role_gets_the_system_words_in_the_first_user_message():
    strict = layout(
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
        "[{{ m.role }}: {{ m.content }}]{% endfor %}{% if add_generation_prompt %}>{% endif %}"
    )
    talk = [Message("system", "Be brief."), Message("user", "Hi"), Message("user", "there")]
    assert strict.render(talk).text == "[user: Be brief.\n\nHi\n\nthere]>"
    assert strict.render([Message("assistant", "me first"), Message("user", "Hi")]).text == (
        "[user: (no message)][assistant: me first][user: Hi]>"
    )


def test_a_template_that_fails_on_the_messages_says_what_went_wrong():
    with pytest.raises(InvalidRequest, match="fails on them"):
        layout("{{ messages[0].content + 1 }}").render([Message("user", "Hello")])


@pytest.mark.parametrize("source", ["{% for %}", "{{", "{% include 'x' %}{% endfor %}", "{{ 1 | nosuchfilter }}"])
def test_a_template_that_does_not_compile_makes_the_file_broken(source):
    with pytest.raises(ModelFileBroken, match="template is not valid"):
        ChatTemplate(source)


def test_an_endless_template_source_is_not_even_compiled():
    with pytest.raises(ModelFileBroken):
        ChatTemplate("x" * 1_000_000)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ 'x'|attr('__class__') + 'y' }}",
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(100000) if range(100000)|sum %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{% for a in [[[1]]] recursive %}{{ loop(a) }}{% for z in range(99999) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 10000000000 }}",
        "{{ 10000000000 * 'x' }}",
        "{{ [0] * 10000000000 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:{}}'.format(1, 1000000000) }}",
        "{{ 'x'.ljust(10000000000) }}",
        "{{ 'x'|center(10000000000) }}",
        "{{ 'x'|indent(10000000000, true) * 100000000 }}",
        "{% set ns = namespace(x='x') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x='x') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
        "{{ ns.x | tojson | length }}",
        "{% set ns = namespace(x='x' * 9000) %}"
        "{% for i in range(9) %}{% set ns.x = ns.x.replace('x', ns.x) %}{% endfor %}",
        "{% set ns = namespace(x='x' * 9000) %}"
        "{% for i in range(9) %}{% set ns.x = ns.x|replace('x', ns.x) %}{% endfor %}",
        "{{ ('x' * 1000000).join(range(99999)|map('string')|list) }}",
        "{{ range(99999)|map('string')|join('x' * 1000000) }}",
        "{% for i in range(99999) %}{{ 'x' * 1000000 }}{% endfor %}",
        "{{ [1]|batch(10000000000, 'x')|list }}",
    ],
)
def test_a_hostile_template_is_stopped(source):
    began = time.monotonic()
    with pytest.raises((LocalmindError, Refusal)):
        ChatTemplate(source).render(HELLO)
    assert time.monotonic() - began < 30  # the budget is a second; without one each takes minutes, or all memory


@pytest.mark.parametrize("source", ["{{ raise_exception.__globals__ }}", "{{ messages.__class__ }}"])
def test_what_the_sandbox_hides_is_simply_not_there(source):
    assert ChatTemplate(source).render(HELLO) == ""


def test_a_long_honest_talk_renders_far_below_the_bounds():
    messages = [{"role": "user", "content": "word " * 200}] * 400
    assert len(ChatTemplate(SMOLLM2).render(messages)) > 400_000
