"""From the model that a client names to a generation under way: what every dialect does with a request, once.

A name can be the catalog's, one that a client made (models/made.py), or one of the big services', which then means
the default model, since many programs cannot be told another. `+files` behind it answers from the watched
folders, `+files:NAME` from one of them.
"""

import contextlib
import functools
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from fastapi import Request as HttpRequest

from localmind.api.backend import Backend
from localmind.api.choices import At, begun, side_by_side
from localmind.api.fields import GenerationFields
from localmind.api.told_schema import with_schema
from localmind.catalog import ModelSpec
from localmind.errors import FolderNotFound, InvalidRequest
from localmind.events import Done, Event, Passage, Sources, TextDelta
from localmind.messages import ANY_TEXT, Message, SamplingParams
from localmind.models.go_template import to_jinja
from localmind.models.made import Made
from localmind.workers.request import Request

FILES = "+files"
PATIENCE_S = 8.0
"""A stream without its first event for so long is begun all the same: many clients wait 30 s for headers, and a
large model takes longer to load. What is wrong with a request is known sooner."""

OTHER_NAMES = {"num_predict": "n_predict"}
"""Options of made models that the other dialects call differently."""

FOREIGN = re.compile(r"(gpt-(?!oss)|chatgpt-|o\d(-|\Z)|codex-|claude-|gemini-\d)", re.I)
FOREIGN_EMBEDDER = re.compile(r"text-embedding-", re.I)


@dataclass(slots=True, frozen=True)
class Target:
    """What shall answer."""

    spec: ModelSpec
    name: str
    """As answers call it."""
    files: bool = False
    """From the watched folders,"""
    folder: Path | None = None
    """or from this one."""
    made: Made | None = None
    in_text: bool = True
    """Sources are written under the answer, where its reader may have no other place for them."""


def asker(request: HttpRequest) -> str:
    """Who asks, for fairness between clients: one connection is one client."""
    return f"{request.client.host}:{request.client.port}" if request.client else "unix"


async def target_of(backend: Backend, name: str | None, body: GenerationFields | None = None) -> Target:
    """What a name means. A made model's parameters go into `body` where that says nothing.

    Raises ModelNotFound, ModelNotInstalled, FolderNotFound or InvalidRequest.
    """
    base, suffix, wanted = (name or "").partition(FILES)
    made = backend.made.get(base)
    spec = backend.engines.resolve(made.base if made is not None else known(backend, base))
    shown = made.name if made is not None else spec.name
    if made is not None and body is not None:
        for option, value in made.parameters.items():
            for field in (option, OTHER_NAMES.get(option, option)):
                if field in type(body).model_fields and getattr(body, field) is None:
                    setattr(body, field, value)
    if not suffix:
        return Target(spec, shown, made=made)
    wanted = wanted.removesuffix(":latest")
    if not wanted:
        return Target(spec, shown + FILES, files=True, made=made)
    folder = await _folder(backend, wanted.removeprefix(":"))
    return Target(spec, f"{shown}{FILES}:{folder_name(folder)}", files=True, folder=folder, made=made)


def known(backend: Backend, name: str) -> str:
    """The name, or "default" for a model of one of the big services that the catalog does not have."""
    return "default" if FOREIGN.match(name) and backend.catalog.get(name) is None else name


def embedder_of(backend: Backend, name: str | None) -> ModelSpec:
    """The model that turns text into vectors, by its name or by one of OpenAI's."""
    return backend.engines.embedder(None if name is not None and FOREIGN_EMBEDDER.match(name) else name)


async def folders(backend: Backend) -> list[Path]:
    """The watched folders."""
    return [Path(folder.path) for folder in await backend.knowledge.folders()]


def folder_name(folder: Path) -> str:
    """How a folder is called in a model's name: its last part, without anything that clients trip over."""
    return re.sub(r"[^\w.-]+", "-", folder.name).lower() or "root"


async def _folder(backend: Backend, wanted: str) -> Path:
    watched = await folders(backend)
    for folder in watched:
        if wanted.lower() in (folder_name(folder), folder.name.lower()) or wanted == str(folder):
            return folder
    names = ", ".join(folder_name(folder) for folder in watched)
    raise FolderNotFound(
        f"no watched folder is called {wanted[:80]!r}",
        hint=f"one of: {names}" if names else "localmind folders add DIR",
    )


async def answers(
    http: HttpRequest, backend: Backend, target: Target, asked: Sequence[Request], *, stream: bool = False
) -> AsyncGenerator[At, None]:
    """The generations, one a choice, once the first event is there or, of a stream, after PATIENCE_S.

    Raises what is wrong with the request, and Cancelled when the client goes away.
    """
    for each in asked[:1]:  # the choices are of one conversation
        await backend.engines.outside.permit_images(target.spec, each.messages)
    streams = [_one(backend, target, dressed(target, each)) for each in asked]
    return await begun(http.receive, side_by_side(streams), PATIENCE_S if stream else None)


def dressed(target: Target, asked: Request) -> Request:
    """The request with what a made model says first, and in its template; a schema stands behind the question.

    Not so of questions to the files, which are searched for as they are."""
    if not target.files:
        asked = with_schema(asked)
    made = target.made
    if made is None or not asked.messages:
        return asked
    first = [Message("system", made.system)] if made.system and asked.messages[0].role != "system" else []
    template = asked.template or (jinja_of(made.template) if made.template else None)
    return msgspec.structs.replace(asked, messages=(*first, *made.messages, *asked.messages), template=template)


@functools.lru_cache(maxsize=32)
def jinja_of(template: str) -> str:
    """Of a template in Ollama's language. Raises InvalidRequest."""
    return to_jinja(template)


def _one(backend: Backend, target: Target, asked: Request) -> AsyncGenerator[Event, None]:
    if not target.files:
        return backend.engines.generate(target.spec, asked)
    if not asked.messages:
        raise InvalidRequest("a model's files answer conversations only", hint="use a chat route, or the plain model")
    params = asked.sampling
    if params.temperature == SamplingParams().temperature and "temperature" not in params.stated:  # facts need none
        asked = msgspec.structs.replace(asked, sampling=msgspec.structs.replace(params, temperature=0.0))
    events = backend.grounded.answer(target.spec, asked, target.folder)
    return _with_sources(events, in_text=target.in_text and asked.format == ANY_TEXT)


async def _with_sources(events: AsyncGenerator[Event, None], *, in_text: bool) -> AsyncGenerator[Event, None]:
    """The passages an answer rests on behind its text, and once more as an event before the last one."""
    used: tuple[Passage, ...] = ()
    async with contextlib.aclosing(events):
        async for event in events:
            match event:
                case Sources(passages):
                    used = passages
                    continue
                case Done():
                    if used and in_text:
                        yield TextDelta(sources_text(used))
                    yield Sources(used)
            yield event


def sources_text(passages: Sequence[Passage]) -> str:
    return "\n\nSources:\n" + "\n".join(f"[{passage.number}] {passage.place}" for passage in passages)
