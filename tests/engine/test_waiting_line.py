"""Whose turn it is, against a rule that looks at everybody each time."""

from array import array
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from localmind.engine.sequence import Sequence, new_sequence
from localmind.engine.waiting import WaitingLine


def waiting(number: int, client: str, background: bool = False) -> Sequence:
    return new_sequence(number, client, array("i", [1]), max_tokens=1, n_ctx=9, background=background)


arrivals = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20)


@settings(deadline=None, max_examples=300)
@given(arrivals, st.dictionaries(st.sampled_from("abc"), st.integers(0, 4)), st.data())
def test_next_is_interactive_first_then_who_runs_least_and_the_order_of_a_client_is_kept(arrivals, running, data):
    line = WaitingLine()
    here: list[Sequence] = []
    for number, (client, background) in enumerate(arrivals):
        here.append(waiting(number, client, background))
        line.add(here[-1])
    gone = data.draw(st.lists(st.sampled_from(here), unique_by=id)) if here else []
    for sequence in gone:
        line.remove(sequence)
        here.remove(sequence)
    while here:
        assert len(line) == len(here)
        assert [each.number for each in line] == [each.number for each in here]
        chosen = line.next(running)
        assert chosen.background == all(each.background for each in here)
        rivals = [each for each in here if each.background == chosen.background]
        assert running.get(chosen.client, 0) == min(running.get(each.client, 0) for each in rivals)
        assert chosen is next(each for each in rivals if each.client == chosen.client)
        line.remove(chosen)
        here.remove(chosen)
    assert line.next(running) is None
    assert len(line) == 0


def test_a_client_with_fifty_requests_does_not_hold_up_another_with_one():
    line = WaitingLine()
    for number in range(50):
        line.add(waiting(number, "many"))
    line.add(waiting(50, "one"))
    order = []
    for _ in range(3):
        sequence = line.next({})
        line.remove(sequence)
        order.append(sequence.number)
    assert order == [0, 50, 1]


def test_clients_take_turns_and_who_runs_more_waits_longer():
    line = WaitingLine()
    for number, client in enumerate("aaabbbccc"):
        line.add(waiting(number, client))
    served, running = [], Counter({"a": 1})
    while (sequence := line.next(running)) is not None:
        line.remove(sequence)
        running[sequence.client] += 1
        served.append(sequence.client)
    assert served == list("bcabcabca")


def test_background_waits_for_every_interactive_request_however_late():
    line = WaitingLine()
    line.add(waiting(0, "indexer", background=True))
    line.add(waiting(1, "person"))
    assert line.next({"person": 7}).number == 1
