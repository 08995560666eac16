"""`localmind bench`, `status` and `models show` on the real model: figures that can be true, and where to find them."""

import json

from conftest_e2e import Home


def test_a_measurement_is_complete_and_consistent(served: Home) -> None:
    ended = served.cli("bench", "--runs", "1", "--json")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["model"] == "smollm2:135m"
    assert told["prefill_tokens"] >= 600, "nothing of a new prompt comes from a cache"
    assert told["prefill_tok_s"] > 0
    assert told["decode_tok_s"] > 0
    assert told["streams_tok_s"] > 0
    assert told["long_first_token_ms"] >= 0.9 * 1e3 * told["prefill_tokens"] / told["prefill_tok_s"]
    assert "a long prompt" in ended.stderr
    shown = served.cli("status").stdout.splitlines()
    assert shown[1].split() == ["MODEL", "STATE", "PID", "RUNNING", "QUEUED", "CELLS", "PROMPT", "ANSWER"]
    assert "tok/s" in shown[2]
    assert "memory" in served.cli("models", "show", "smollm2:135m").stdout
