"""What the API serves, as one value that the daemon puts together at start.

The API reads and calls these parts; it creates none of them and ends none of them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from localmind.assistant.grounded import Grounded
from localmind.assistant.running import Running
from localmind.assistant.saved_chats import SavedChats
from localmind.catalog import Catalog
from localmind.knowledge.embedder import Embedder
from localmind.knowledge.knowledge import Knowledge
from localmind.machine.devices import Machine
from localmind.machine.plan import Wishes
from localmind.models.made import MadeModels
from localmind.models.pulls import Pulls
from localmind.models.store import Store
from localmind.paths import Paths
from localmind.store.responses import Responses
from localmind.store.threads import Threads
from localmind.voice.reading_aloud import ReadAloud
from localmind.voice.voice import Voice
from localmind.workers.engines import Engines


@dataclass(slots=True, frozen=True)
class SecondPort:
    port: int
    problem: str | None
    """Why nobody can reach us there; None when they can."""


@dataclass(slots=True, frozen=True)
class Backend:
    paths: Paths
    port: int
    tcp_problem: str | None
    """Why editors cannot reach us over TCP; None when they can."""
    second: SecondPort | None
    """The port for programs that look for Ollama, where the user wants one."""
    catalog: Catalog
    store: Store
    pulls: Pulls
    engines: Engines
    knowledge: Knowledge
    grounded: Grounded
    threads: Threads
    chats: SavedChats
    """Threads as a watched folder, when asked."""
    made: MadeModels
    """Models that clients made of others."""
    responses: Responses
    """Answers that clients go on from by their ids."""
    running: Running
    """Answers that the daemon is writing, whoever watches."""
    machine: Machine
    voice: Voice
    """Speech to text."""
    read_aloud: ReadAloud
    """Text to speech."""
    index_workers: Callable[[], list[dict[str, Any]]]
    """The workers of the index as `status` shows them."""
    embedder: Callable[[], Embedder | None] = lambda: None
    """The embedder of the index, while its files are here."""
    upload_limit: int = 1 << 30
    """Bytes of one uploaded recording."""
    microphone: str | None = None
    """The one that the user set, for clients; the daemon opens none."""
    wishes: Wishes = field(default_factory=Wishes)
    """What the user set about plans."""
    draft_model: str | None = None
    """Drafts for the default model."""
    started_at: float = field(default_factory=time.monotonic)
    """By the clock of durations: the time of day may be set while the daemon runs."""
