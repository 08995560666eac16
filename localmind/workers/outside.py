"""Models of other machines, as Engines asks them: what leaves this machine is permitted, announced and counted here.

The servers themselves are behind `Elsewhere` (the remotes package). It knows no engine worker and no ledger: nothing of
a model elsewhere takes memory here.
"""

import contextlib
from collections.abc import AsyncGenerator, Sequence

from localmind.catalog import ModelSpec
from localmind.errors import LocalmindError, ModelNotFound, Refused
from localmind.events import Done, Event, Progress
from localmind.messages import Message
from localmind.workers.elsewhere import Elsewhere, RemoteModel
from localmind.workers.request import Request
from localmind.workers.tally import Tally, Watch

GUESSED_BYTES = 3
"""UTF-8 bytes of a token, rather too few."""
GUESSED_FRAME = 16
"""Tokens that a template puts around a message."""


class Outside:
    def __init__(self, servers: Elsewhere | None) -> None:
        """None: this machine asks no other."""
        self._servers = servers
        self.tallies: dict[str, Tally] = {}

    def find(self, name: str) -> RemoteModel | None:
        """The model that a name means; None for a name that belongs to no remote."""
        return self._servers.find(name) if self._servers is not None else None

    def permit_files(self, spec: ModelSpec) -> None:
        """Raises Refused when passages of the user's files would leave this machine without a second yes."""
        if isinstance(spec, RemoteModel) and not spec.reads_files:
            raise Refused(
                f"{spec.name} runs at {spec.host}, and passages of your files would leave this machine",
                hint=f"ask a model of this machine, or set `files = true` in settings.toml's [remotes.{spec.remote}]",
            )

    async def generate(self, spec: RemoteModel, request: Request) -> AsyncGenerator[Event, None]:
        """One generation, which begins by saying where it happens."""
        watch = Watch(self.tallies.setdefault(spec.name, Tally()))
        yield Progress("remote", 1.0, 1.0, "", spec.notice)
        try:
            async with contextlib.aclosing(self._of(spec).generate(spec, request)) as events:
                async for event in events:
                    if isinstance(event, Done):
                        watch.done(event)
                    else:
                        watch.piece()
                    yield event
        except LocalmindError as problem:
            watch.failed(problem.code)
            raise
        finally:
            watch.end()

    def count(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt that these messages become: a high guess, since nobody here knows the vocabulary."""
        return sum(len(message.content.encode()) // GUESSED_BYTES + GUESSED_FRAME for message in messages)

    async def embed(self, spec: RemoteModel, texts: Sequence[str]) -> tuple[list[bytes], int]:
        return await self._of(spec).embed(spec, texts)

    async def rerank(self, spec: RemoteModel, query: str, documents: Sequence[str]) -> list[float]:
        return await self._of(spec).rerank(spec, query, documents)

    def _of(self, spec: RemoteModel) -> Elsewhere:
        if self._servers is None:
            raise ModelNotFound(f"{spec.name}: no server of that name is set", hint="see [remotes] in settings.toml")
        return self._servers
