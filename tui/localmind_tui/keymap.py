"""Every key of the app in one table: bindings, footer, help and documentation are made from it.

Ids are stable names such as `answer.stop`, so that a user's own keymap can name them.
"""

from dataclasses import dataclass

from textual.binding import Binding, BindingType


@dataclass(slots=True, frozen=True)
class Key:
    """One thing that a key does."""

    id: str
    keys: str
    """Textual's names, separated by commas; the first one is shown."""
    action: str
    label: str
    """For the footer, one or two words."""
    help: str
    """For the help screen, one sentence without a full stop."""
    where: str = "chat"
    """The widget or screen that binds it: chat, composer, sources."""
    footer: bool = True
    priority: bool = False

    @property
    def shown(self) -> str:
        return " or ".join(_pretty(key) for key in self.keys.split(","))


KEYS = (
    Key("help", "f1", "help", "help", "Show this help, or close it", priority=True),
    Key("answer.stop", "escape", "stop", "stop", "Stop the answer and keep its text; else go back to the composer"),
    Key("app.quit", "ctrl+q", "app.quit", "quit", "Leave; an answer that is being written is stopped", priority=True),
    Key("mode.switch", "ctrl+t", "switch_mode", "files or chat", "Switch between your files and plain chat"),
    Key("sources.focus", "ctrl+o", "sources", "sources", "Go to the sources of the newest answer", priority=True),
    Key("conversation.new", "ctrl+n", "new", "new", "Begin a new conversation"),
    # Priority, since the composer would take the page keys for itself.
    Key(
        "scroll.up",
        "pageup",
        "page(-1)",
        "up",
        "Scroll up; the view then stays while the answer grows",
        footer=False,
        priority=True,
    ),
    Key(
        "scroll.down",
        "pagedown",
        "page(1)",
        "down",
        "Scroll down; at the end the view follows again",
        footer=False,
        priority=True,
    ),
    Key("question.send", "enter", "send", "send", "Send the question", where="composer", footer=False),
    Key("question.newline", "ctrl+j,shift+enter", "newline", "new line", "New line in the question", "composer", False),
    Key(
        "source.open", "enter", "select", "open", "Open the marked source in $VISUAL or $EDITOR, at its line", "sources"
    ),
)


def bindings(where: str) -> list[BindingType]:
    """The table's bindings of one place."""
    return [
        Binding(key.keys, key.action, key.label, show=key.footer, priority=key.priority, id=key.id)
        for key in KEYS
        if key.where == where
    ]


def _pretty(key: str) -> str:
    names = {"escape": "Esc", "pageup": "PgUp", "pagedown": "PgDn", "ctrl": "Ctrl", "shift": "Shift", "enter": "Enter"}
    return "+".join(names.get(part, part.upper()) for part in key.split("+"))
