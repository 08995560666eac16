"""The table [tui] of settings.toml: theme, vim mode and keys of the user's own.

Read here with the standard library, since the daemon's settings take 0.2 s to import. What is wrong with it
is told in the app and changes nothing else: nobody is locked out by a typing error.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True, frozen=True)
class Preferences:
    """What the user set."""

    theme: str = ""
    vim: bool = False
    send_spoken: bool = False
    """What was said is sent when it has been written down."""
    pause_s: float = 1.2
    """Silence that ends what is being said."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Textual's names of keys by id, comma-separated."""
    problems: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "Preferences":
        if not path.exists():
            return cls()
        import tomllib  # most have no settings, and need not wait for its reader

        try:
            table = tomllib.loads(path.read_text("utf-8")).get("tui", {})
        except (OSError, ValueError, RecursionError) as problem:  # no text, no TOML, or a number of a thousand digits
            return cls(problems=(f"{path}: {problem}",))
        return cls.of(table)

    @classmethod
    def of(cls, table: Any) -> "Preferences":
        if not isinstance(table, dict):
            return cls(problems=("settings: [tui] is not a table",))
        known_names = ("theme", "vim", "keys", "send_spoken", "pause_s")
        problems = [f"settings: [tui] has no `{name}`" for name in table if name not in known_names]
        theme, vim, keys = table.get("theme", ""), table.get("vim", False), table.get("keys", {})
        send_spoken, pause_s = table.get("send_spoken", False), table.get("pause_s", 1.2)
        if not isinstance(theme, str):
            problems.append("settings: tui.theme is the name of a theme")
        if not isinstance(vim, bool):
            problems.append("settings: tui.vim is true or false")
        if not isinstance(send_spoken, bool):
            problems.append("settings: tui.send_spoken is true or false")
        if isinstance(pause_s, bool) or not isinstance(pause_s, int | float) or not 0.3 <= pause_s <= 60:
            problems.append("settings: tui.pause_s is a number of seconds from 0.3 to 60")
            pause_s = 1.2
        chosen: dict[str, str] = {}
        if not isinstance(keys, dict):
            problems.append('settings: tui.keys is a table of lines such as "answer.stop" = "ctrl+x"')
        elif keys:
            from localmind_tui.own_keys import own_keys  # most have none

            chosen, wrong = own_keys(keys)
            problems += wrong
        name = theme if isinstance(theme, str) else ""
        return cls(name, vim is True, send_spoken is True, float(pause_s), chosen, tuple(problems))
