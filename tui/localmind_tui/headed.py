"""A line of a list that begins with a title: what does not fit is cut from that, not from what is behind."""

from textual.content import Content
from textual.css.styles import RulesMap
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions

WORTH_READING = 8
"""Cells of a title; where it has fewer, the line wraps instead."""


class Headed(Content):
    """`before`, `title` and `after` on one line of whatever width there is, and `below` under it."""

    def __init__(self, before: Content, title: Content, after: Content, below: Content) -> None:
        whole = Content.assemble(before, title, after, below)
        super().__init__(whole.plain, list(whole.spans))
        self._parts = before, title, after, below

    def render_strips(self, width: int, height: int | None, style: Style, options: RenderOptions) -> list[Strip]:
        return self._within(width).render_strips(width, height, style, options)

    def get_height(self, rules: RulesMap, width: int) -> int:
        return self._within(width).get_height(rules, width)

    def _within(self, width: int) -> Content:
        before, title, after, below = self._parts
        room = width - before.cell_length - after.cell_length
        if WORTH_READING <= room < title.cell_length:
            title = title.truncate(room, ellipsis=True)
        return Content.assemble(before, title, after, below)
