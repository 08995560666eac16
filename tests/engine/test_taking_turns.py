"""More requests than places or cells: who comes newly starts at once, and everybody comes back to its turn."""

from fake_machine import Machine, alone

from localmind.engine.sequence import Sequence, State

LEAST, TURN = 4, 64


def full_house(*, answer: int = 300, places: int = 4, **about) -> tuple[Machine, list[Sequence]]:
    """Every place taken by an answer that has said more than its first turn."""
    about = {"n_cells": 4000, "n_slots": 12, "ram_cells": 4000} | about
    machine = Machine(max_running=places, **about)
    asked = [machine.submit([number % 5] * (20 + number), answer, client=f"c{number}") for number in range(places)]
    for _ in range(LEAST + 4):
        machine.step()
    assert all(each.state is State.DECODE for each in asked)
    return machine, asked


def steps_until(machine: Machine, wanted, most: int = 500) -> int:
    for count in range(most):
        if wanted():
            return count
        machine.step()
    raise AssertionError(f"not within {most} steps")


def test_a_newcomer_says_its_first_word_at_once_though_every_place_is_taken():
    machine, asked = full_house()
    newcomer = machine.submit([1, 2, 3] * 8, 40, client="new")
    assert steps_until(machine, lambda: newcomer.generated) <= 2
    assert [each.state for each in asked].count(State.PARKED) == 1
    machine.run(3000)
    for each in (*asked, newcomer):
        assert machine.answers[each.number] == alone(each.tokens[: each.prompt_length], each.limit)


def test_fifty_endless_answers_do_not_keep_a_newcomer_waiting_until_one_of_them_ends():
    machine = Machine(4000, n_slots=20, max_running=8, n_batch=64, n_outputs=24, ram_cells=40_000)
    for number in range(50):
        machine.submit([number % 5, number // 5 % 5, number // 25] * 7, 3000, client=f"c{number}")
    for _ in range(200):
        machine.step()
    newcomer = machine.submit([1, 2, 3] * 8, 40, client="new")
    assert steps_until(machine, lambda: newcomer.generated) <= 2
    assert not machine.finished


def test_who_made_way_comes_back_before_long_and_then_stays_for_its_turn():
    machine, asked = full_house()
    machine.submit([1, 2, 3] * 8, 300, client="new")
    machine.step()
    (away,) = [each for each in asked if each.state is State.PARKED]
    assert steps_until(machine, lambda: away.state is State.DECODE) <= TURN
    steps_until(machine, lambda: away.state is State.PARKED)
    assert away.said_in_turn >= TURN


def test_who_came_back_says_something_before_a_newcomer_takes_its_place():
    machine, asked = full_house(answer=1000, places=1)
    (old,) = asked
    for number in range(5):
        machine.submit([number] * 20, 30, client=f"new {number}")
        steps_until(machine, lambda: old.state is State.PARKED)
        steps_until(machine, lambda: old.state is State.DECODE)
        machine.submit([4, number] * 10, 30, client=f"another {number}")
        steps_until(machine, lambda: old.state is State.PARKED)
        assert old.said_in_turn >= LEAST


def test_newcomers_without_end_do_not_keep_an_old_answer_from_ending():
    machine, asked = full_house(answer=200)
    for number in range(3000):
        if all(each in machine.finished for each in asked):
            return
        if machine.scheduler.queued < 6:
            machine.submit([number % 5, number // 5 % 5] * 10, 12, client=f"new {number}")
        machine.step()
    raise AssertionError("an old answer never ended")


def test_a_client_with_many_requests_makes_way_itself():
    machine = Machine(4000, n_slots=12, max_running=4, ram_cells=4000)
    chat = machine.submit([1] * 30, 300, client="chat")
    for _ in range(LEAST + 2):
        machine.step()
    crowd = [machine.submit([2, number] * 10, 300, client="crowd") for number in range(5)]
    for _ in range(LEAST + 6):
        machine.step()
    assert chat.state is State.DECODE, "one of many takes the place of the only one"
    editor = machine.submit([3, 4] * 10, 40, client="editor")
    machine.step()
    assert chat.state is State.DECODE
    assert editor.state is not State.QUEUED
    assert State.PARKED in [each.state for each in crowd]


def test_a_newcomer_whose_cells_are_held_by_answers_takes_turns_with_them():
    machine = Machine(300, n_slots=12, max_running=6, ram_cells=4000, n_batch=256)
    asked = [machine.submit([number] * 60, 80, client=f"c{number}") for number in range(2)]
    for _ in range(LEAST + 2):
        machine.step()
    newcomer = machine.submit([3] * 100, 40, client="new")
    assert steps_until(machine, lambda: newcomer.generated) <= 2
    machine.run(2000)
    assert len(machine.finished) == len(asked) + 1


def test_nobody_makes_way_when_that_would_not_make_room_enough():
    machine = Machine(300, n_slots=12, max_running=6, ram_cells=4000, n_batch=256)
    asked = [machine.submit([number] * 50, 40, client=f"c{number}") for number in range(3)]
    for _ in range(LEAST + 2):
        machine.step()
    machine.submit([3] * 200, 90, client="new")
    machine.step()
    assert [each.state for each in asked] == [State.DECODE] * 3


def test_a_background_request_is_not_copied_to_and_fro_while_an_interactive_one_waits_for_its_turn():
    machine = Machine(300, n_slots=12, max_running=6, ram_cells=4000, n_batch=256)
    machine.submit([1] * 20, 40, background=True, client="indexer")
    machine.step()
    asked = [machine.submit([number] * 130, 100, client=f"c{number}") for number in (2, 3)]
    steps_until(machine, lambda: State.PARKED in [each.state for each in asked])
    before = machine.scheduler.parkings
    for _ in range(20):
        machine.step()
    assert machine.scheduler.parkings - before <= 1
    machine.run(2000)
    assert len(machine.finished) == 3


def test_background_does_not_come_in_beside_an_interactive_answer_that_waits_for_its_next_turn():
    machine = Machine(300, n_slots=12, max_running=6, ram_cells=4000, n_batch=256)
    first = machine.submit([1] * 130, 100, client="first")
    steps_until(machine, lambda: first.generated >= LEAST)
    second = machine.submit([2] * 130, 100, client="second")
    steps_until(machine, lambda: first.state is State.PARKED and second.state is State.DECODE)
    indexer = machine.submit([3] * 10, 5, background=True, client="indexer")
    before = machine.scheduler.parkings
    while first.state is State.PARKED:
        machine.step()
        assert indexer.state is State.QUEUED, "it would have to leave again in the same step"
        assert machine.scheduler.parkings - before <= 1, "only the second's, when its turn is over"
    machine.run(2000)
    for each in (first, second, indexer):
        assert machine.answers[each.number] == alone(each.tokens[: each.prompt_length], each.limit)


def test_without_main_memory_for_a_copy_nobody_makes_way():
    machine, asked = full_house(ram_cells=0)
    newcomer = machine.submit([1, 2, 3] * 8, 40, client="new")
    for _ in range(100):
        machine.step()
    assert newcomer.state is State.QUEUED
    assert [each.state for each in asked] == [State.DECODE] * len(asked)


def test_a_short_beginning_that_all_share_keeps_nobody_in_its_place():
    machine = Machine(4000, n_slots=12, max_running=4, ram_cells=4000, n_batch=256)
    asked = [machine.submit([1, 2, 3, 4] * 10 + [number], 100, client=f"c{number}") for number in range(4)]
    for _ in range(20):
        machine.step()
    assert [each.state for each in asked] == [State.DECODE] * 4
    newcomer = machine.submit([2] * 20, 40, client="new")
    assert steps_until(machine, lambda: newcomer.generated) <= 2


def test_who_shares_most_of_its_cells_does_not_make_way():
    machine = Machine(4000, n_slots=12, max_running=4, ram_cells=4000, n_batch=256)
    shared = [number % 5 for number in range(200)]
    asked = [machine.submit([*shared, number], 100, client=f"c{number}") for number in range(4)]
    for _ in range(30):
        machine.step()
    newcomer = machine.submit([1, 2, 3] * 8, 40, client="new")
    machine.step()
    assert [each.state for each in asked] == [State.DECODE] * 4
    assert newcomer.state is State.QUEUED
