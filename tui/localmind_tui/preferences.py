"""The table [tui] of settings.toml: theme, vim mode and keys of the user's own.

Read here with the standard library, since the daemon's settings take 0.2 s to import. What is wrong with it
is told in the app and changes nothing else: nobody is locked out by a typing error.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localmind_tui.keymap import KEYS


@dataclass(slots=True, frozen=True)
class Preferences:
    """What the user set."""

    theme: str = ""
    vim: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)
    """Textual's names of keys by id, comma-separated."""
    problems: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "Preferences":
        try:
            table = tomllib.loads(path.read_text("utf-8")).get("tui", {})
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
            return cls(problems=(f"{path}: {problem}",))
        return cls.of(table)

    @classmethod
    def of(cls, table: Any) -> "Preferences":
        if not isinstance(table, dict):
            return cls(problems=("settings: [tui] is not a table",))
        problems = [f"settings: [tui] has no `{name}`" for name in table if name not in ("theme", "vim", "keys")]
        theme, vim, keys = table.get("theme", ""), table.get("vim", False), table.get("keys", {})
        if not isinstance(theme, str):
            problems.append("settings: tui.theme is the name of a theme")
        if not isinstance(vim, bool):
            problems.append("settings: tui.vim is true or false")
        known = {key.id for key in KEYS}
        chosen: dict[str, str] = {}
        for name, wanted in keys.items() if isinstance(keys, dict) else ():
            if name not in known:
                problems.append(f"settings: tui.keys: there is no key `{name}` (F1 lists them)")
            elif not isinstance(wanted, str) or not all(part.strip() for part in wanted.split(",")):
                problems.append(f'settings: tui.keys.{name} is a text such as "ctrl+k" or "f7,ctrl+k"')
            else:
                chosen[name] = ",".join(part.strip() for part in wanted.split(","))
        return cls(theme if isinstance(theme, str) else "", vim is True, chosen, tuple(problems))
