"""Turns: one pass at a time, the speaker first, then the file that has had least; a chat makes all but the end wait."""

import threading

from localmind.voice.turns import FINAL, LIVE, Turns


class FakeClock:
    def __init__(self) -> None:
        self.now = 1.0

    def __call__(self) -> float:
        return self.now


def waiting(turns: Turns, count: int) -> None:
    """Until so many threads stand in line."""
    ready = threading.Event()
    for _ in range(6000):
        if len(turns._waiting) == count:
            return
        ready.wait(0.01)
    raise AssertionError("nobody came")


def in_line(turns: Turns, ranks: list[float], order: list[float]) -> list[threading.Thread]:
    def take(rank: float) -> None:
        with turns.turn(rank) as mine:
            assert mine
            order.append(rank)

    threads = []
    for number, rank in enumerate(ranks, 1):
        threads.append(threading.Thread(target=take, args=(rank,)))
        threads[-1].start()
        waiting(turns, number)
    return threads


def test_the_end_of_an_utterance_goes_first_then_speech_then_the_file_that_had_least() -> None:
    turns, order = Turns(), list[float]()
    with turns.turn(0.0):
        threads = in_line(turns, [600.0, 5.0, LIVE, FINAL], order)
    for thread in threads:
        thread.join(60)
    assert order == [FINAL, LIVE, 5.0, 600.0]


def test_one_who_is_gone_leaves_the_line_and_the_next_is_served() -> None:
    turns, order, gone = Turns(), list[float](), threading.Event()

    def leaver() -> None:
        with turns.turn(1.0, gone.is_set) as mine:
            order.append(-9.0 if mine else 0.0)

    with turns.turn(0.0):
        first = threading.Thread(target=leaver)
        first.start()
        waiting(turns, 1)
        gone.set()
        first.join(60)
        assert order == [0.0]
        threads = in_line(turns, [2.0], order)
    threads[0].join(60)
    assert order == [0.0, 2.0]


def test_while_a_chat_answers_files_rest_and_the_end_of_an_utterance_does_not() -> None:
    clock = FakeClock()
    turns, order = Turns(clock), list[float]()
    turns.make_way(True)
    with turns.turn(0.0):
        clock.now += 0.5
    threads = in_line(turns, [3.0], order)
    with turns.turn(FINAL):
        assert order == [], "the file rests seven times as long as the pass took"
    turns.make_way(False)
    threads[0].join(60)
    assert order == [3.0]


def test_a_pass_under_way_is_timed_for_the_heartbeat() -> None:
    clock = FakeClock()
    turns = Turns(clock)
    with turns.turn(0.0):
        clock.now += 7
        assert turns.busy_s == 7
    assert turns.busy_s == 0
