"""What our widgets leave out of what Textual's do, because an answer that grows does it ten times a second.

Textual draws every row of every container, styles and divides it, before it finds that something is in front of it,
and lays a conversation out a second time whenever its height has changed. Neither is seen. These stand last among the
bases of a class: style sheets follow the first.
"""

from textual.geometry import Region, Size
from textual.reactive import Reactive
from textual.strip import Strip
from textual.widget import Widget

from localmind_tui.timely import Timely


class Steady(Widget, Timely):
    """Getting another height changes nothing else, so nothing is laid out again for it."""

    virtual_size = Reactive(Size(0, 0))

    def watch_virtual_size(self, old: Size, new: Size) -> None:
        if old.width != new.width:  # lists in it may need their scrollbars no more
            self.refresh(layout=True)


class Backdrop(Steady):
    """A container of which all rows look alike: a ground, and at most an edge to the left or right."""

    def render_lines(self, crop: Region) -> list[Strip]:
        if crop.height <= 0:
            return []
        # One row stands for all, and being the same it is styled, divided and written out only once.
        return super().render_lines(Region(crop.x, 0, crop.width, 1)) * crop.height
