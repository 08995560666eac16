"""An answer of the real engine that goes round in circles is ended: it says what it cost, and the engine is free."""

import json
from typing import Any

import httpx2
from conftest_e2e import Home, wait_until

SAID = "international responsibilities "
"""Long words of one token each: the fewer tokens, the sooner it is over."""

SCHEMA = {"const": SAID * 300}
"""It leaves no choice, so the model goes round whatever the floats of its host are. Of some 9,300 characters 6,000 are
judged; were it not ended, it would end by itself with all of them."""


def engine(home: Home) -> dict[str, Any]:
    """What the only worker says of itself, between two of its steps."""

    def told() -> list[dict[str, Any]]:
        with home.client() as client:
            found: list[dict[str, Any]] = client.get("/engine/sequences")["engines"]
        return found

    (state,) = wait_until(told, "an engine that tells its state")
    return state


def metric(home: Home, name: str, label: str = "") -> float:
    lines = httpx2.get(home.url.removesuffix("/v1") + "/metrics").text.splitlines()
    (line,) = [each for each in lines if each.startswith(f"localmind_{name}{{") and label in each]
    return float(line.rpartition(" ")[2])


def asked(home: Home, *options: str) -> dict[str, Any]:
    said = home.cli("ask", "--chat", "--json", "--temperature", "0", *options, "Tell of a bee.")
    assert said.returncode == 0, said.stderr
    answer: dict[str, Any] = json.loads(said.stdout)
    return answer


def test_an_answer_in_circles_frees_its_engine_and_says_what_it_cost(home: Home) -> None:
    home.start()
    said = asked(home, "--schema", json.dumps(SCHEMA))
    assert said["finish_reason"] == "repetition"
    assert json.dumps(SAID * 300).startswith(said["answer"])
    assert 6000 <= len(said["answer"]) < 7000
    tokens = said["usage"]["completion_tokens"]
    assert tokens > 200
    assert said["usage"]["prompt_tokens"] > 10
    assert said["timings"]["decode_ms"] > 0

    free = engine(home)
    assert (free["running"], free["queued"], free["parked"]) == (0, 0, 0)
    assert [each["state"] for each in free["sequences"]] == ["cached"], "kept for who begins alike, and held by nobody"
    assert (free["totals"]["failed"], free["totals"]["generated"]) == (1, tokens), "not one token was made unseen"
    assert metric(home, "requests_total", 'outcome="cancelled"') == 1
    assert metric(home, "generated_tokens_total") == tokens

    again = asked(home, "--max-tokens", "8")
    assert again["usage"]["cached_tokens"] > 0, "the cells of the ended answer's beginning are to be had"
    after = engine(home)
    assert after["totals"]["generated"] - tokens == again["usage"]["completion_tokens"] <= 8
    assert after["cells_used"] <= free["cells_used"] + 8
