"""A thread as Markdown says of every answer how it ended, unless it ended by itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from localmind.store.export import as_markdown
from localmind.store.threads import Threads


@pytest.fixture
def threads(tmp_path: Path) -> Iterator[Threads]:
    store = Threads(tmp_path / "threads.db")
    yield store
    store.close()


@pytest.mark.parametrize(
    ("state", "reason", "told"),
    [
        ("done", "stop", ""),
        ("done", None, ""),
        ("done", "length", "\n\n*cut off at the length limit*"),
        ("done", "repetition", "\n\n*ended here, since it was repeating itself*"),
        ("stopped", "cancelled", "\n\n*stopped*"),
        ("failed", None, "\n\n*failed*"),
    ],
)
def test_how_an_answer_ended_stands_below_it(
    threads: Threads, state: Literal["done", "stopped", "failed"], reason: str | None, told: str
) -> None:
    thread = threads.create().id
    answer = threads.begin(threads.ask(thread, "Tell of a bee.").id, model="m")
    threads.extend(answer, "She represents herself.")
    threads.finish(answer, state, finish_reason=reason)
    assert as_markdown(threads.get(thread)).endswith(f"## Tell of a bee.\n\nShe represents herself.{told}\n")
