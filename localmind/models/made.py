"""Models that a client made of others: a name, the model behind it, and what it is told or set to by default.

This is what Ollama's `create` and `copy` leave behind: no bytes, only words. They are few and small, so all of
them are in memory and one file, which the daemon alone writes. Whether the model behind a name is here is the
store's to say.
"""

import re
import time
from pathlib import Path
from typing import Any

import msgspec

from localmind.errors import ConfigInvalid, InvalidRequest
from localmind.messages import Message
from localmind.paths import private_dir, write_atomic

MOST = 1000
NAME = re.compile(r"[a-z0-9][a-z0-9._/-]{0,127}(:[a-z0-9][a-z0-9._-]{0,63})?\Z")


class Made(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One such model."""

    name: str
    base: str
    """Name in the catalog."""
    system: str = ""
    parameters: dict[str, Any] = {}
    """As Ollama names its options; each counts where a request says nothing."""
    messages: tuple[Message, ...] = ()
    """What every conversation begins with."""
    template: str = ""
    """How conversations are laid out, in Ollama's language; empty: as the model's file says."""
    licence: str = ""
    made_at: float = 0.0
    """Seconds since 1970."""


class MadeModels:
    """All of them. Raises ConfigInvalid for a file that does not parse."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            found = msgspec.json.decode(path.read_bytes(), type=list[Made])
        except FileNotFoundError:
            found = []
        except (OSError, msgspec.DecodeError) as problem:
            raise ConfigInvalid(f"{path.name} cannot be read: {problem}", hint=f"mv {path} {path}.broken") from problem
        self._made = {each.name: each for each in found}

    def get(self, name: str) -> Made | None:
        return self._made.get(plain(name))

    def list(self) -> tuple[Made, ...]:
        return tuple(self._made.values())

    def add(self, made: Made) -> Made:
        """Keep it, in place of one of the same name. Raises InvalidRequest for a name that cannot be."""
        name = plain(made.name)
        if not NAME.match(name):
            raise InvalidRequest(
                f"{made.name[:80]!r} is not a name for a model", hint="letters, digits and . _ - /, then perhaps :tag"
            )
        if len(self._made) >= MOST and name not in self._made:
            raise InvalidRequest(f"there are {MOST} made models already", hint="delete one")
        made = msgspec.structs.replace(made, name=name, made_at=time.time())
        self._write({**self._made, name: made})
        return made

    def remove(self, name: str) -> bool:
        """Forget it; False if there is none of that name."""
        rest = {key: made for key, made in self._made.items() if key != plain(name)}
        if len(rest) == len(self._made):
            return False
        self._write(rest)
        return True

    def _write(self, made: dict[str, Made]) -> None:
        private_dir(self._path.parent)
        write_atomic(self._path, msgspec.json.format(msgspec.json.encode(list(made.values())), indent=1))
        self._made = made


def plain(name: str) -> str:
    """The spelling under which a name is kept; `:latest` says nothing."""
    return name.strip().lower().removesuffix(":latest")
