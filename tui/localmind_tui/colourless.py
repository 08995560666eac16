"""NO_COLOR: what would be in colours is in the terminal's own two, bold, underlined or reversed.

Textual turns colours into greys, which are colours too: https://no-color.org asks for none. Where only the ground told
what is marked, it is reversed.
"""

from functools import lru_cache

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

MARKED = 0.09
"""How much lighter or darker than around it, of 1, the ground of something marked is; panels are nearer."""


class Colourless(LineFilter):
    """Takes colours out of what is drawn."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(text, _without(style, background), control) for text, style, control in segments]


@lru_cache(2048)
def _without(style: Style | None, background: Color) -> Style | None:
    if style is None:
        return None
    marked = style.bgcolor is not None and abs(_light(style.bgcolor) - background.brightness) > MARKED
    plain = style.without_color
    if style.meta:  # by which it can be marked and clicked
        plain += Style.from_meta(style.meta)
    return plain + Style(reverse=True) if marked and not plain.reverse else plain


def _light(color: RichColor) -> float:
    return Color.from_rich_color(color).brightness
