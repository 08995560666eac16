"""What a shell completes beside options: names of models, threads, folders and templates; and what a thread's may be.

It asks a daemon that runs already and never starts one: a Tab key must not load anything. Whatever goes
wrong completes nothing.
"""

from collections.abc import Callable, Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem

from localmind.clean import clean_line
from localmind.errors import LocalmindError, NotFound
from localmind.paths import Paths

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _asking(path: str, items: Callable[[Any], Iterator[CompletionItem]]) -> Completer:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from localmind.client import Client

        client = Client(Paths.find())
        if not client.healthy():
            return []
        try:
            return [item for item in items(client.get(path)) if item.value.startswith(incomplete)]
        except LocalmindError:
            return []

    return complete


models = _asking("/models", lambda found: (CompletionItem(m["name"], help=m["role"]) for m in found["models"]))
installed = _asking(
    "/models", lambda found: (CompletionItem(m["name"], help=m["role"]) for m in found["models"] if m["installed"])
)
speech = _asking(
    "/models",
    lambda found: (CompletionItem(m["name"]) for m in found["models"] if m["installed"] and m["role"] == "speech"),
)
pulls = _asking("/models/pulls", lambda found: (CompletionItem(p["model"]) for p in found["pulls"]))
threads = _asking(
    "/threads", lambda found: (CompletionItem(t["id"], help=clean_line(t["title"])) for t in found["threads"])
)
folders = _asking("/folders", lambda found: (CompletionItem(f["path"]) for f in found["folders"]))


class ThreadName(click.ParamType[str]):
    """The id of a thread or its beginning. It becomes a part of an address, so nothing else passes."""

    name = "thread"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value.isalnum() or not value.isascii():
            raise NotFound(f"no thread {value!r}", hint="localmind threads list")
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return threads(ctx, param, incomplete)


THREAD = ThreadName()


def templates(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from localmind.templates import names

    return [CompletionItem(name) for name in names(Paths.find().templates_dir) if name.startswith(incomplete)]
