"""Infill prompts: the order of the parts, what is left out when room is short, and models that cannot."""

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import PLAN

from localmind.engine import llama
from localmind.engine.fim import Infill
from localmind.engine.llama import Model
from localmind.engine.llama.vocab_fim import fim_tokens
from localmind.errors import ContextTooLong, InvalidRequest

OpenModel = Callable[[str], Model]


@pytest.fixture(scope="module")
def opened(tiny_model: Callable[[str], Path]) -> Iterator[OpenModel]:
    models: list[Model] = []

    def open_(kind: str) -> Model:
        llama.start()
        models.append(Model(tiny_model(kind), PLAN, lambda _done: True))
        return models[-1]

    yield open_
    for model in models:
        model.close()


@pytest.fixture(scope="module")
def coder(opened: OpenModel) -> Model:
    return opened("fim")


def text_of(model: Model, tokens: "array[int]") -> str:
    return model.detokenize(tokens)


def test_the_parts_stand_in_the_order_of_llama_cpp(coder: Model) -> None:
    made = Infill(coder).prompt("def f(", "return x", [("a.py", "one"), ("b.py", "two")], room=400)
    assert text_of(coder, made.tokens) == (
        "<|repo_name|>myproject\n<|file_sep|>a.py\none<|file_sep|>b.py\ntwo<|file_sep|>filename\n"
        "<|fim_prefix|>def f(<|fim_suffix|>return x<|fim_middle|>"
    )
    assert (made.prefix_dropped, made.suffix_dropped, made.files_dropped) == (0, 0, 0)


def test_the_beginning_of_the_middle_stands_behind_the_prefix(coder: Model) -> None:
    made = Infill(coder).prompt("def f(", "return", room=400, prompt="self")
    assert text_of(coder, made.tokens).endswith("<|fim_prefix|>def f(self<|fim_suffix|>return<|fim_middle|>")


def test_the_prefix_keeps_its_end_and_the_suffix_its_beginning(coder: Model) -> None:
    prefix = "".join(f"{number:04}" for number in range(200))
    suffix = "".join(f"{number:04}" for number in range(200, 400))
    made = Infill(coder).prompt(prefix, suffix, [("a.py", "one")], room=103)
    assert len(made.tokens) == 103
    assert text_of(coder, made.tokens) == f"<|fim_prefix|>{prefix[-75:]}<|fim_suffix|>{suffix[:25]}<|fim_middle|>"
    assert (made.prefix_dropped, made.suffix_dropped, made.files_dropped) == (800 - 75, 800 - 25, 1)


def test_room_that_one_side_does_not_need_goes_to_the_other(coder: Model) -> None:
    infill = Infill(coder)
    assert infill.prompt("12", "9" * 500, room=103).suffix_dropped == 500 - 98
    assert infill.prompt("9" * 500, "12", room=103).prefix_dropped == 500 - 98


def test_the_first_files_are_left_out_first_and_only_whole(coder: Model) -> None:
    files = [(f"{number}.py", "7" * 50) for number in range(5)]
    made = Infill(coder).prompt("ab", "cd", files, room=180)
    text = text_of(coder, made.tokens)
    assert made.files_dropped == 3
    assert "2.py" not in text
    assert f"<|file_sep|>3.py\n{'7' * 50}<|file_sep|>4.py\n{'7' * 50}<|file_sep|>filename" in text


def test_text_that_looks_like_a_token_is_text(coder: Model) -> None:
    marks = fim_tokens(coder)
    made = Infill(coder).prompt("<|fim_middle|>", "<|fim_prefix|>", [("<|file_sep|>", "<|repo_name|>")], room=400)
    for token in (marks.prefix, marks.suffix, marks.middle, marks.repository):
        assert list(made.tokens).count(token or 0) == 1


def test_a_vocabulary_without_fim_tokens_is_named_with_what_it_lacks(opened: OpenModel) -> None:
    with pytest.raises(InvalidRequest, match=r"llama\.gguf cannot .* prefix and suffix and middle"):
        Infill(opened("llama"))


def test_hardly_any_room_is_refused_with_both_numbers(coder: Model) -> None:
    with pytest.raises(ContextTooLong, match="may have 9 tokens, and 3 are taken"):
        Infill(coder).prompt("some text here", "and here", room=9)
    assert len(Infill(coder).prompt("a", "b", room=5).tokens) == 5
    assert len(Infill(coder).prompt("", "", room=3).tokens) == 3


@given(
    st.text(max_size=200),
    st.text(max_size=200),
    st.lists(st.tuples(st.text(max_size=8), st.text(max_size=60)), max_size=5),
    st.integers(11, 300),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_in_the_prompt_keeps_within_its_room_and_its_form(
    coder: Model, prefix: str, suffix: str, files: list[tuple[str, str]], room: int
) -> None:
    infill = Infill(coder)
    made = infill.prompt(prefix, suffix, files, room=room)
    marks = fim_tokens(coder)
    tokens = list(made.tokens)
    assert len(tokens) <= room
    assert tokens[-1] == marks.middle
    assert 0 <= tokens.index(marks.prefix or 0) < tokens.index(marks.suffix or 0) < len(tokens) - 1 or not suffix
    assert 0 <= made.files_dropped <= len(files)
