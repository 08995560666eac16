"""The engines that requests of whole programs are sent to."""

import pytest
from api_fakes import FakeEngines
from test_model_lists import FakeGrounded, FakeKnowledge

from localmind.events import Done, Event, ToolCallDelta
from localmind.messages import Usage
from localmind.models.made import MadeModels
from localmind.models.store import Store

CALLED: tuple[Event, ...] = (
    ToolCallDelta(0, "call_1", "weather", '{"city":'),
    ToolCallDelta(0, arguments='"Ulm"}'),
    Done("tool_calls", Usage(9, 4)),
)


@pytest.fixture(scope="session")
def speaking(starter_store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[FakeEngines, FakeEngines]:
    """One that says Hello and one that calls a tool."""
    both = FakeEngines(), FakeEngines(*CALLED)
    for each in both:
        each.parts = {
            "store": starter_store,
            "knowledge": FakeKnowledge("/home/u/notes"),
            "made": MadeModels(tmp_path_factory.mktemp("made") / "made.json"),
            "grounded": FakeGrounded(),
        }
    return both
