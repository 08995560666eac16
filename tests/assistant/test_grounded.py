"""A generation from the files that is ended from outside."""

from typing import Any, cast

from grounded_fakes import FakeEngines, FakeKnowledge, FakeSpec

from localmind.assistant.grounded import Grounded
from localmind.events import Done, Sources, TextDelta
from localmind.messages import Message, Usage
from localmind.workers.brake import Brake
from localmind.workers.request import Request


async def test_an_answer_that_is_braked_says_what_it_cost_and_keeps_the_passages_it_was_begun_from() -> None:
    brake, engines = Brake(), FakeEngines(["The password", " is swordfish [1]."])
    grounded = Grounded(cast(Any, FakeKnowledge()), cast(Any, engines))
    asked = Request(messages=(Message("user", "What is the password?"),))
    said = []
    async for event in grounded.answer(cast(Any, FakeSpec()), asked, None, brake=brake):
        said.append(event)
        if isinstance(event, TextDelta):
            assert brake.pull()
    assert [type(event) for event in said] == [Sources, TextDelta, Done]
    assert said[-1] == Done("cancelled", Usage(100, 1), model="fake")
