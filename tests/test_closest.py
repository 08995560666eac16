"""What somebody may have meant, and what nobody did."""

import pytest
from click.testing import CliRunner

from localmind.cli import COMMANDS, ELSEWHERE, main
from localmind.closest import closest

MODELS = ["qwen3:4b", "qwen3:14b", "mistral-small3.2:24b", "piper:joe", "whisper:large-v3-turbo", "bge-m3:567m"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("qwen3-4b", "qwen3:4b"),
        ("wqen3:4b", "qwen3:4b"),  # a slip in the first letter, and nothing else
        ("mistral", "mistral-small3.2:24b"),
        ("bge", "bge-m3:567m"),
        ("phi", None),
        ("boiler", None),
        ("gpt-3.5-turbo", None),
        ("", None),
    ],
)
def test_a_likely_name_is_offered_and_an_odd_one_is_not(typed: str, meant: str | None) -> None:
    assert next(iter(closest(typed, MODELS)), None) == meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("serch", "search"), ("model", "models"), ("doctr", "doctor"), ("list", "models list"), ("ps", "models memory")],
)
def test_a_command_is_guessed_by_its_letters_and_by_what_other_programs_call_it(typed: str, meant: str) -> None:
    ended = CliRunner().invoke(main, [typed])
    assert ended.exit_code == 2
    assert f"Did you mean '{meant}'?" in ended.output


@pytest.mark.parametrize("typed", ["hear", "login", "create", "frobnicate"])
def test_no_odd_command_is_offered(typed: str) -> None:
    assert "Did you mean" not in CliRunner().invoke(main, [typed]).output


def test_what_others_call_it_is_none_of_our_commands_and_leads_to_one() -> None:
    assert not set(ELSEWHERE) & set(COMMANDS)
    for meant in set(ELSEWHERE.values()):
        assert CliRunner().invoke(main, [*meant.split(), "--help"]).exit_code == 0
