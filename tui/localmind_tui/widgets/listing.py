"""What the windows with a list have in common: the mark moves by keys that can be rebound."""

from textual.widgets import OptionList


def move_mark(listed: OptionList, step: int) -> None:
    """Mark the next option (`step` above 0) or the one before."""
    if step > 0:
        listed.action_cursor_down()
    else:
        listed.action_cursor_up()
