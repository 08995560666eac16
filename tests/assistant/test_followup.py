"""Questions that follow others: what is searched for."""

import pytest

from localmind.assistant.followup import depends, queries
from localmind.messages import Message


def talk(*said: str) -> list[Message]:
    """User and assistant in turn, the user first."""
    return [Message("assistant" if number % 2 else "user", text) for number, text in enumerate(said)]


@pytest.mark.parametrize(
    "question",
    [
        "And when was that?",
        "What did it cost?",
        "how long?",
        "Und wann war das?",
        "Combien coûte-t-elle ?",
        "why?",
        "它多少钱",
    ],
)
def test_questions_that_point_back_are_recognised(question: str) -> None:
    assert depends(question)


@pytest.mark.parametrize(
    "question",
    [
        "How do I top up the boiler water?",
        "Wann wurde die Heizung im Keller gewartet?",
        "When does the passport of Ines expire?",
        "Who is Tom?",
        "Some dogs bark, why so loud?",
    ],
)
def test_questions_that_stand_alone_are_left_alone(question: str) -> None:
    assert not depends(question)
    assert queries(talk("Who feeds the cat?", "Petra.", question))[0] == question


@pytest.mark.parametrize(
    "question", ["What is the licence plate of our car?", "Who is Tom?", "Quel est le prix du vélo rouge ?"]
)
def test_what_the_files_do_not_hold_is_not_answered_from_the_question_before(question: str) -> None:
    assert queries(talk("Where was the swarm found?", "In the hives.", question)) == [question]


def test_a_question_of_few_words_is_looked_for_with_the_one_before_when_it_finds_nothing() -> None:
    alone, together = queries(talk("Who serviced the boiler?", "Marek Dudek.", "How high was the bill?"))
    assert alone == "How high was the bill?"
    assert together.startswith("Who serviced the boiler?")


def test_a_follow_up_is_searched_with_its_question_and_the_names_in_its_answer() -> None:
    asked = talk("Who serviced the boiler?", "It was Marek Dudek, on 9 October.", "What did he charge?")
    first, alone = queries(asked)
    assert first.split("\n") == ["Who serviced the boiler?", "Marek Dudek 9 October", "What did he charge?"]
    assert alone == "What did he charge?"


def test_a_chain_of_follow_ups_goes_back_to_the_question_that_names_its_subject() -> None:
    asked = talk("Where is the allotment hut?", "By the shed.", "And how big is it?", "Small.", "And what did it cost?")
    assert queries(asked)[0].startswith("Where is the allotment hut?\nAnd how big is it?\n")


def test_a_conversation_without_a_question_asks_nothing() -> None:
    assert queries([]) == []
    assert queries([Message("assistant", "hello")]) == []
    assert queries(talk("  ")) == []
    assert queries(talk("Who is Tom?")) == ["Who is Tom?"]
