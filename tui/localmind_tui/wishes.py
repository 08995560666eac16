"""What the user wishes, as it is written in files: settings.toml's table [tui] and themes of their own; live.

A file that was saved counts a second later, without the app being opened again. What is wrong in one is told, and what
was so before stays.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from localmind.errors import LocalmindError
from localmind_tui import format
from localmind_tui.preferences import Preferences

if TYPE_CHECKING:
    from textual.theme import Theme

EVERY_S = 1.0
Stamp = tuple[tuple[str, int, int], ...]


class Wishes:
    """`settings` is the file, the folder `themes` is beside it. Nothing is read again that did not change."""

    def __init__(self, settings: Path | None) -> None:
        self._settings = settings
        self._themes = settings.with_name("themes") if settings is not None else None
        self._read_settings, self._read_themes = self._stamps()
        self.preferences = Preferences.read(settings) if settings is not None else Preferences()
        self.problems: list[str] = list(self.preferences.problems)

    def themes(self, known: "Mapping[str, Theme]") -> "list[Theme]":
        """Those of the user; `problems` has what is wrong with the others."""
        if self._themes is None or not self._read_themes:
            return []
        from localmind_tui.own_themes import read_theme

        found = []
        for path, *_ in self._read_themes:
            try:
                found.append(read_theme(Path(path), known))
            except LocalmindError as problem:
                self.problems.append(format.failure(problem))
        return found

    def changed(self) -> tuple[bool, bool]:
        """Whether the settings were saved since the last look, and whether a theme was. Reads the settings again."""
        settings, themes = self._stamps()
        anew = settings != self._read_settings, themes != self._read_themes
        self._read_settings, self._read_themes = settings, themes
        if anew[0] and self._settings is not None:
            self.preferences = Preferences.read(self._settings)
            self.problems += self.preferences.problems
        return anew

    def _stamps(self) -> tuple[Stamp, Stamp]:
        if self._settings is None or self._themes is None:
            return (), ()
        return _stamp([self._settings]), _stamp(sorted(self._themes.glob("*.toml")))

    def told(self) -> list[str]:
        """What is wrong and was not told yet."""
        problems, self.problems = self.problems, []
        return problems


def _stamp(paths: Sequence[Path]) -> Stamp:
    found = []
    for path in paths:
        with contextlib.suppress(OSError):  # gone meanwhile, or not there yet
            status = path.stat()
            # An editor empties a file and then writes it, often within one tick of the clock of files.
            found.append((str(path), status.st_mtime_ns, status.st_size))
    return tuple(found)
