"""The only door from the command line and the terminal app to the daemon.

`Client` and `AsyncClient` speak the native HTTP API over the unix socket (where there is none TCP with the
token, once the daemon has proved itself); both are thin over the same requests and the same reading of events.
`ensure_daemon` starts a daemon when none answers. Nothing here imports the daemon's code: it is started as a command.
"""

from typing import TYPE_CHECKING, Any

from localmind.client.blocking import Client
from localmind.client.start import ensure_daemon

if TYPE_CHECKING:
    from localmind.client.asynchronous import AsyncClient

__all__ = ["AsyncClient", "Client", "ensure_daemon"]


def __getattr__(name: str) -> Any:
    """asyncio takes 0.05 s to import, which `localmind ask` need not pay."""
    if name == "AsyncClient":
        from localmind.client.asynchronous import AsyncClient

        return AsyncClient
    raise AttributeError(name)
