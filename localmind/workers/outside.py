"""Models of other machines, as Engines asks them: what leaves this machine is permitted, announced and counted here.

The servers themselves are behind `Elsewhere` (the remotes package). It knows no engine worker and no ledger: nothing of
a model elsewhere takes memory here.
"""

import contextlib
from collections.abc import AsyncGenerator, Sequence

from localmind.catalog import ModelSpec
from localmind.errors import CannotSee, LocalmindError, ModelNotFound, Refused
from localmind.events import Done, Event, Progress
from localmind.messages import Message
from localmind.workers.elsewhere import Elsewhere, RemoteModel
from localmind.workers.request import Request
from localmind.workers.tally import Tally, Watch

GUESSED_BYTES = 3
"""UTF-8 bytes of a token, rather too few."""
GUESSED_FRAME = 16
"""Tokens that a template puts around a message."""
GUESSED_IMAGE = 1600
"""Tokens of an image, rather too many: the most that the large services make of one."""


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
                hint="ask it without your files (--chat, in the app Ctrl+T), ask a model of this machine, or set "
                f"`files = true` in settings.toml's [remotes.{spec.remote}]",
            )

    async def permit_images(self, spec: ModelSpec, messages: Sequence[Message]) -> None:
        """Raises CannotSee when there are images among them and the model is not known to take any."""
        if not any(message.images for message in messages) or await self.sees(spec):
            return
        if isinstance(spec, RemoteModel) and (self.find(spec.name) or spec).sees is None:
            raise CannotSee(
                f"{spec.name} may not see images: neither its server nor the settings say that it does",
                hint=f'if it does: sees = ["{spec.model}"] under [remotes.{spec.remote}] in settings.toml, and '
                "localmind stop",
            )
        seeing = [each.name for each in (self._servers.models() if self._servers else ()) if each.sees]
        here = "" if isinstance(spec, RemoteModel) else ", as no model on this machine can"
        raise CannotSee(
            f"{spec.name} cannot see images{here}",
            hint=f"{seeing[0]} can: -m {seeing[0]}, in the app F3"
            if seeing
            else "a server of yours with a model that sees can be named under [remotes] in settings.toml",
        )

    async def sees(self, spec: ModelSpec) -> bool:
        """Whether a model is known to take images."""
        return isinstance(spec, RemoteModel) and await self._of(spec).sees(spec) is True

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
        return sum(
            len(message.content.encode()) // GUESSED_BYTES + GUESSED_FRAME + GUESSED_IMAGE * len(message.images)
            for message in messages
        )

    async def embed(self, spec: RemoteModel, texts: Sequence[str]) -> tuple[list[bytes], int]:
        return await self._of(spec).embed(spec, texts)

    async def rerank(self, spec: RemoteModel, query: str, documents: Sequence[str]) -> list[float]:
        return await self._of(spec).rerank(spec, query, documents)

    def _of(self, spec: RemoteModel) -> Elsewhere:
        if self._servers is None:
            raise ModelNotFound(f"{spec.name}: no server of that name is set", hint="see [remotes] in settings.toml")
        return self._servers
