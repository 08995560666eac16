"""Colours of code, from pygments' lexers and the theme of the app; loaded with the first block of code."""

from textual.content import Content
from textual.highlight import HighlightTheme, highlight

from localmind_tui.prose import Code, code_lines

STYLES: dict[tuple[str, ...], str] = {
    ("Comment",): "italic $foreground-muted",
    ("Keyword",): "$text-accent",
    ("Operator", "Word"): "$text-accent",
    ("Literal", "Number"): "$text-warning",
    ("Literal", "String"): "$text-success",
    ("Name", "Builtin"): "$text-primary",
    ("Name", "Class"): "bold $text-primary",
    ("Name", "Decorator"): "$text-primary",
    ("Name", "Function"): "bold $text-primary",
    ("Name", "Tag"): "$text-primary",
    ("Name", "Attribute"): "$text-warning",
    ("Generic", "Deleted"): "$text-error",
    ("Generic", "Inserted"): "$text-success",
    ("Generic", "Heading"): "bold",
}
"""By kind of word, as pygments names them: few colours, which every theme has, also the terminal's own sixteen."""


class Quiet(HighlightTheme):
    """Most words of the code stay as text is."""

    STYLES = STYLES


def coloured(code: Code) -> list[Content]:
    """The lines of a block of code in colours; as they are where pygments does not know the language."""
    text = code.text.rstrip("\n")
    return code_lines(highlight(text, language=code.language or "text", theme=Quiet, tab_size=4))
