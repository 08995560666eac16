"""`localmind bench`, `status` and `models show` on a real engine: figures that can be true, and where to find them."""

import json
from collections.abc import Iterator

import pytest
from conftest_e2e import Home, end, new_home
from random_models import install

MODEL = "tiny:llama"


@pytest.fixture(scope="module")
def babbler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Its model is of random weights: the figures must be consistent, not good."""
    made = new_home(tmp_path_factory.mktemp("babbler"), None)
    try:
        settings = f'chat_model = "{MODEL}"\ncontext = 8192\n'
        install(made, tmp_path_factory.mktemp("files"), {MODEL: "llama"}, settings, context=8192)
        made.start()
        yield made
    finally:
        end(made)


def test_a_measurement_is_complete_and_consistent(babbler: Home) -> None:
    ended = babbler.cli("bench", "--runs", "1", "--json")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["model"] == MODEL
    assert told["prefill_tokens"] >= 600, "nothing of a new prompt comes from a cache"
    assert told["prefill_tok_s"] > 0
    assert told["decode_tok_s"] > 0
    assert told["streams_tok_s"] > 0
    assert told["long_first_token_ms"] >= 0.9 * 1e3 * told["prefill_tokens"] / told["prefill_tok_s"]
    assert "a long prompt" in ended.stderr
    shown = babbler.cli("status").stdout.splitlines()
    assert shown[1].split() == ["MODEL", "STATE", "PID", "RUNNING", "QUEUED", "CELLS", "PROMPT", "ANSWER"]
    assert "tok/s" in shown[2]
    assert "memory" in babbler.cli("models", "show", MODEL).stdout
