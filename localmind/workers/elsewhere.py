"""What can generate without an engine worker of ours: the seam between Engines and servers on other machines."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Protocol

from localmind.catalog import ModelSpec
from localmind.events import Event
from localmind.workers.request import Request


class RemoteModel(ModelSpec, frozen=True, kw_only=True):
    """A model that lives elsewhere, as the rest of the daemon knows models. Its name is REMOTE/MODEL."""

    remote: str
    model: str
    """What its server calls it."""
    host: str
    """Where whatever is asked goes."""
    reads_files: bool = False
    """The user has said that passages of files may be sent there."""
    owner: str = ""
    """What kind of server it is, in its own words."""
    tools: bool | None = None
    """Whether it takes tools; None where its server does not say. Unknown `parameters` are 0."""
    sees: bool | None = None
    """Whether it takes images; None where neither its server nor the settings say."""

    def __post_init__(self) -> None:
        """Nothing of it lies on this machine, so there is nothing to check."""

    @property
    def size(self) -> int:
        return 0

    @property
    def notice(self) -> str:
        return f"{self.name} runs at {self.host}: what you ask leaves this machine"


class Elsewhere(Protocol):
    """Models on other machines. Everything raises LocalmindError."""

    def find(self, name: str) -> RemoteModel | None:
        """The model that a name means, known to its server or not; None for a name that belongs to no remote."""

    def models(self) -> list[RemoteModel]:
        """Those that the servers named when they were last asked."""

    def status(self) -> list[dict[str, Any]]: ...

    async def sees(self, model: RemoteModel) -> bool | None:
        """Whether it takes images, asking its server where that is not known yet; None when nobody says."""

    def generate(self, model: RemoteModel, request: Request) -> AsyncGenerator[Event, None]:
        """Its events, then Done. Closing it ends the request over there."""

    async def embed(self, model: RemoteModel, texts: Sequence[str]) -> tuple[list[bytes], int]:
        """A unit vector a text, float32 little-endian, and how many tokens they had together."""

    async def rerank(self, model: RemoteModel, query: str, documents: Sequence[str]) -> list[float]: ...
