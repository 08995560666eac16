"""Urgent calls go first, into the middle of a long one, and what follows them is waited for."""

import threading
from typing import Any

from knowledge_fakes import FakeReply

from localmind.knowledge.urgent import UrgentWorker


class Noted(FakeReply):
    """Writes down what it is answered."""

    def __init__(self, order: list[Any], all_of_them: int) -> None:
        self.order, self.all = order, all_of_them
        self.done = threading.Event()

    def result(self, value: Any = None) -> None:
        self.order.append(value)
        if len(self.order) == self.all:
            self.done.set()


def test_a_question_passes_between_two_batches_of_a_long_list() -> None:
    begun, sent = threading.Event(), threading.Event()
    reply = Noted([], 4)

    def long(params: dict[str, Any], reply: Any) -> str:
        begun.set()
        assert sent.wait(60)
        worker.let_urgent_pass()
        return str(params["name"])

    def short(params: dict[str, Any], reply: Any) -> str:
        return "question"

    worker = UrgentWorker({"long": long, "short": short}, lambda method, params: method == "short")
    worker.call("long", {"name": "first list"}, reply)
    assert begun.wait(60)
    worker.call("long", {"name": "second list"}, reply)
    worker.call("short", {}, reply)
    worker.call("short", {}, reply)
    sent.set()
    assert reply.done.wait(60)
    assert reply.order == ["question", "question", "first list", "second list"]
    worker.close()


def test_a_long_list_stands_still_until_the_second_half_of_a_search_has_come() -> None:
    asked, order = threading.Event(), list[str]()
    reply = Noted(order, 5)

    def long(params: dict[str, Any], reply: Any) -> str:
        for step in ("first batch", "second batch"):
            order.append(step)
            worker.let_urgent_pass()
        return "list"

    def ask(params: dict[str, Any], reply: Any) -> str:
        asked.set()
        return "question"

    def follow() -> None:
        assert asked.wait(60)
        worker.call("rank", {}, reply)

    worker = UrgentWorker(
        {"long": long, "ask": ask, "rank": lambda params, reply: "rank"},
        lambda method, params: method != "long",
        leads_on=lambda method, params: method == "ask",
        expected_s=60,
    )
    follower = threading.Thread(target=follow)
    follower.start()
    worker.call("ask", {}, reply)
    worker.call("long", {}, reply)
    follower.join(60)
    assert reply.done.wait(60)
    worker.close()
    assert order == ["question", "rank", "first batch", "second batch", "list"]


def test_a_rest_is_taken_when_nothing_is_asked_and_at_the_end() -> None:
    rested, ended = threading.Event(), threading.Event()
    worker = UrgentWorker(
        {"one": lambda params, reply: "answer"},
        lambda method, params: False,
        rest=lambda: ended.set() if rested.is_set() else rested.set(),
        rest_s=0.01,
    )
    assert rested.wait(60)
    reply = Noted([], 1)
    worker.call("one", {}, reply)
    assert reply.done.wait(60)
    worker.close()
    assert ended.wait(60)
