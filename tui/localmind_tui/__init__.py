"""The terminal app of localmind: a conversation with your own files.

`run` is the only door in. The app reaches the daemon only through the `Assistant` protocol, which
`localmind.client.AsyncClient` implements and a fake implements in the tests. Importing this package
costs nothing: Textual is loaded by `run`, so that a command which opens no app need not wait for it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localmind_tui.assistant import Assistant

__all__ = ["run"]


def run(client: "Assistant", *, folder: str | None = None, model: str | None = None) -> int:
    """Open the app and return when the user leaves it; the value is an exit code.

    `folder` limits answers to one watched folder, `model` names the model; None leaves both to the daemon.
    """
    from localmind_tui.app import LocalmindApp  # 0.3 s of CPU, and only needed here

    app = LocalmindApp(client, folder=folder, model=model)
    app.run()
    return app.return_code or 0
