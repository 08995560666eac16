"""The terminal app of localmind: a conversation with your own files.

`run` and `run_plain` are the only doors in. The app reaches the daemon only through the `Daemon` protocol, which
`localmind.client.AsyncClient` implements and a fake implements in the tests. Importing this package
costs nothing: Textual is loaded by `run`, so that a command which opens no app need not wait for it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localmind_tui.aloud import Sound
    from localmind_tui.daemon import Daemon

__all__ = ["run", "run_plain"]


def run(
    connect: "Callable[[], Daemon]",
    *,
    folder: str | None = None,
    model: str | None = None,
    thread: str | None = None,
    goes_on: bool = False,
    memory: Path | None = None,
    settings: Path | None = None,
    templates: Path | None = None,
    sound: "Sound | None" = None,
) -> int:
    """Open the app and return when the user leaves it; the value is an exit code.

    `connect` gives the client, and is called when the app has drawn itself.
    `folder` limits answers to one watched folder, `model` names the model, `thread` opens one, `goes_on` the
    one that was used last. `memory` is
    the file that drafts are kept in, `settings` the user's settings.toml, `templates` the directory of templates.
    `sound` is what reads answers aloud.
    """
    import gc

    gc.disable()  # there is no garbage among modules; the app turns it on when it has drawn itself
    from localmind_tui.aloud import Aloud
    from localmind_tui.app import LocalmindApp  # 0.3 s of CPU, and only needed here
    from localmind_tui.late import late

    app = LocalmindApp(
        late(connect),
        folder=folder,
        model=model,
        thread=thread,
        goes_on=goes_on,
        memory=memory,
        settings=settings,
        templates=templates,
        aloud=Aloud(sound) if sound is not None else None,
    )
    app.run()
    return app.return_code or 0


def run_plain(
    client: "Daemon",
    *,
    folder: str | None = None,
    model: str | None = None,
    thread: str | None = None,
    goes_on: bool = False,
) -> int:
    """The same conversation as lines of text, for screen readers and terminals that can do nothing else."""
    import asyncio

    from localmind_tui.plain import converse

    return asyncio.run(converse(client, folder=folder, model=model, thread=thread, goes_on=goes_on))
