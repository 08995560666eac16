"""Themes of the user's own: `themes/NAME.toml` beside settings.toml, a colour a line, by the names of Textual's themes.

What a file leaves out is as in the theme that its `base` names, our dark one without it. A file that cannot be read is
told and changes nothing else.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

from localmind.clean import clean_line
from localmind.errors import InvalidRequest
from localmind_tui.themes import DARK, scrollbar

COLOURS = (
    *("primary", "secondary", "accent", "foreground", "background", "surface", "panel", "boost"),
    *("success", "warning", "error"),
)


def read_theme(path: Path, known: Mapping[str, Theme]) -> Theme:
    """The theme of one file; its name is the file's. Raises InvalidRequest that names what is wrong."""
    import tomllib  # most have no theme of their own, and need not wait for its reader

    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as problem:  # no text, no TOML, or a number of a thousand digits
        raise InvalidRequest(f"{path.name}: {problem}") from problem
    base = str(table.pop("base", DARK.name))
    if base not in known:
        raise InvalidRequest(f"{path.name}: there is no theme {clean_line(base)!r} to begin from")
    changes: dict[str, Any] = {name: _checked(path, name, value) for name, value in table.items()}
    theme = dataclasses.replace(known[base], name=path.stem, **changes)
    if changes and not theme.ansi and theme.background and theme.foreground:
        theme.variables = theme.variables | shades(theme.primary, theme.foreground, theme.background)
    return theme


def shades(primary: str, foreground: str, background: str) -> dict[str, str]:
    """What our themes set besides the colours that have a name, of the colours of another one."""
    ground, words, edge = Color.parse(background), Color.parse(foreground), Color.parse(primary)
    return {
        "block-cursor-background": ground.blend(edge, 0.35).hex,
        "block-cursor-foreground": foreground,
        "border": primary,
        **scrollbar(background, ground.blend(words, 0.15).hex, primary),
    }


def _checked(path: Path, name: str, value: Any) -> str | bool:
    if name in COLOURS:
        try:
            Color.parse(value)
        except (ColorParseError, TypeError, AttributeError):
            raise InvalidRequest(
                f"{path.name}: {name} is no colour: {clean_line(str(value))!r}", hint=f'{name} = "#7aa2c9"'
            ) from None
    elif name == "dark":
        if not isinstance(value, bool):
            raise InvalidRequest(f"{path.name}: dark is true or false")
    else:
        raise InvalidRequest(f"{path.name}: a theme has no {name!r}", hint=f"it has {', '.join(COLOURS)}, dark")
    checked: str | bool = value
    return checked
