"""The list over the question of what `/` and `@` can be completed to; made when there is something to show."""

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from localmind.clean import clean_line
from localmind_tui.completion import Completion


class Completions(OptionList):
    """It never has the focus; the composer moves its mark."""

    DEFAULT_CSS = """
    Completions {
        height: auto;
        max-height: 8;
        margin: 0 1;
        padding: 0 1;
        border: round $foreground 20%;
        background: $panel;
        scrollbar-size-vertical: 1;
    }
    Completions > .option-list--option { text-overflow: ellipsis; text-wrap: nowrap; }
    """
    can_focus = False

    def __init__(self) -> None:
        super().__init__(markup=False)
        self.display = False
        self.now: Completion | None = None

    def show(self, completion: Completion | None) -> None:
        if completion == self.now:
            return
        self.now = completion
        self.display = completion is not None
        self.clear_options()
        if completion is not None:
            self.add_options(
                Option(Content.assemble(clean_line(each.shown), (f"  {each.hint}", "$foreground-muted")))
                for each in completion.candidates
            )
            self.highlighted = 0
