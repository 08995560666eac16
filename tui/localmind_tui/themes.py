"""Our two themes, dark and light, and which one a terminal gets when nobody chose."""

from collections.abc import Mapping
from dataclasses import replace

from textual.theme import BUILTIN_THEMES, Theme


def scrollbar(track: str, thumb: str, active: str) -> dict[str, str]:
    """A bar that is hardly there until it is used."""
    return {
        **{f"scrollbar-background{each}": track for each in ("", "-hover", "-active")},
        "scrollbar": thumb,
        "scrollbar-hover": active,
        "scrollbar-active": active,
        "scrollbar-corner-color": track,
    }


DARK = Theme(
    name="localmind-dark",
    primary="#7aa2c9",
    secondary="#8fb8a8",
    accent="#e0b36a",
    foreground="#d6d3cb",
    background="#17191c",
    surface="#1d2024",
    panel="#22262b",
    success="#8fb573",
    warning="#e0b36a",
    error="#d9776c",
    dark=True,
    variables={
        "block-cursor-background": "#3b4654",
        "block-cursor-foreground": "#f2efe8",
        "border": "#7aa2c9",
        **scrollbar("#17191c", "#33383f", "#7aa2c9"),
    },
)
LIGHT = Theme(
    name="localmind-light",
    primary="#2f5f8a",
    secondary="#3f7a66",
    accent="#96601a",
    foreground="#2b2a27",
    background="#faf8f3",
    surface="#f3f0e8",
    panel="#eae6db",
    success="#4a7a2c",
    warning="#96601a",
    error="#b23b2e",
    dark=False,
    variables={
        "block-cursor-background": "#cfdbe8",
        "block-cursor-foreground": "#1c1b19",
        "border": "#2f5f8a",
        **scrollbar("#faf8f3", "#d8d2c4", "#2f5f8a"),
    },
)
SIXTEEN, SIXTEEN_LIGHT = "ansi-dark", "ansi-light"
"""Textual's themes of the terminal's own 16 colours."""


def _marked(name: str, ground: str, words: str) -> Theme:
    """One of them, with a mark that words of any other colour can be read on, also while the search has the keys."""
    mark = {f"block-cursor{state}-background": ground for state in ("", "-blurred")}
    mark |= {f"block-cursor{state}-foreground": words for state in ("", "-blurred")}
    return replace(BUILTIN_THEMES[name], variables=BUILTIN_THEMES[name].variables | mark)


OURS = (
    DARK,
    LIGHT,
    _marked(SIXTEEN, "ansi_blue", "ansi_bright_white"),
    _marked(SIXTEEN_LIGHT, "ansi_bright_yellow", "ansi_black"),
)


def first_theme(environ: Mapping[str, str]) -> str:
    """Dark, light where the terminal says that its background is, the terminal's own where it has 16 colours."""
    light = environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")
    if _has_sixteen(environ):
        return SIXTEEN_LIGHT if light else SIXTEEN
    return LIGHT.name if light else DARK.name


def _has_sixteen(environ: Mapping[str, str]) -> bool:
    """Whether the terminal has no more colours, by what it says of itself."""
    term = environ.get("TERM", "")
    known = ("256color", "kitty", "ghostty", "wezterm", "alacritty", "foot", "direct")
    return environ.get("COLORTERM", "") not in ("truecolor", "24bit") and not any(name in term for name in known)


def shown_theme(wanted: Theme, environ: Mapping[str, str]) -> str:
    """The name of the theme that is wanted, or of one of 16 colours where the terminal would make greys of it."""
    if wanted.ansi or not _has_sixteen(environ):
        return wanted.name
    return SIXTEEN if wanted.dark else SIXTEEN_LIGHT
