"""Every key of the app in one table: bindings, footer, help and documentation are made from it.

Ids are stable names such as `answer.stop`; the table [tui.keys] of settings.toml gives them other keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from textual.binding import Binding, BindingType
from textual.keys import REPLACED_KEYS, key_to_character


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
    """The widget or screen that binds it; PLACES names them."""
    footer: bool = False
    priority: bool = False

    def shown(self, chosen: Mapping[str, str] | None = None) -> str:
        """For people, with the user's own keys in place of ours."""
        keys = (chosen or {}).get(self.id, self.keys)
        return " or ".join(_pretty(key) for key in keys.split(","))


PLACES = {
    "app": "Anywhere",
    "chat": "In a conversation",
    "composer": "In the question",
    "picture": "On an image above the question",
    "turn": "On a question and its answer",
    "sources": "On a source",
    "threads": "In the list of threads",
    "themes": "In the list of themes",
    "models": "In the list of models",
    "folders": "In the list of folders",
    "folder_field": "Where a folder is typed",
    "list": "In the lists of models and folders, and in help",
    "window": "In a window over the conversation",
    "confirm": "When asked yes or no",
}

KEYS = (
    Key("help", "f1", "help", "help", "Show help for where you are, or close it", "app", True, True),
    Key("threads.open", "f2", "threads", "threads", "Threads: find anything ever said", "app", True, True),
    Key("models.open", "f3", "models", "models", "Models: choose, download, remove", "app", True, True),
    Key("folders.open", "f4", "folders", "folders", "Folders: add, watch, remove", "app", True, True),
    Key("palette", "ctrl+p", "command_palette", "commands", "Every command by its name", "app", True, True),
    Key("app.quit", "ctrl+q", "leave", "quit", "Leave; answers go on without you", "app", False, True),
    Key("app.interrupt", "ctrl+c", "interrupt", "", "Copy what is marked; else stop the answer; twice: leave", "app"),
    Key(
        "answer.stop",
        "escape",
        "stop",
        "stop",
        "Drop what is being said; else stop the answer and keep its text; else back to the question",
    ),
    Key("speak", "ctrl+r", "speak", "speak", "Speak instead of typing; again, or a pause, ends it", priority=True),
    Key("mode.switch", "ctrl+t", "switch_mode", "files/chat", "Switch between your files and plain chat", footer=True),
    Key("conversation.new", "ctrl+n", "new", "new", "Begin a new thread", footer=True),
    Key("thread.previous", "alt+up", "neighbour(-1)", "previous", "Go to the thread above in the list", priority=True),
    Key("thread.next", "alt+down", "neighbour(1)", "next", "Go to the thread below in the list", priority=True),
    Key(
        "thread.back",
        "f6",
        "back",
        "back",
        "Go to an answer that came meanwhile, else to the thread before",
        priority=True,
    ),
    Key("sidebar", "ctrl+b", "sidebar", "threads", "Show or hide the list of threads", priority=True),
    Key("sources.focus", "ctrl+o", "sources", "sources", "Go to the sources of the answer", priority=True),
    Key("sources.panel", "f5", "sources_panel", "passages", "Show or hide the passages behind the answer"),
    Key("turns.focus", "ctrl+up", "turns", "answers", "Go to the answers, to copy, edit or branch", priority=True),
    Key("jump", "f9", "jump", "jump", "Put a letter at every place on the screen; it goes there"),
    Key(
        "scroll.up", "pageup", "page(-1)", "up", "Scroll up; the view then stays while the answer grows", priority=True
    ),
    Key("scroll.down", "pagedown", "page(1)", "down", "Scroll down; at the end the view follows again", priority=True),
    Key("question.send", "enter", "send", "send", "Send the question", "composer"),
    Key(
        "question.newline",
        "ctrl+j,shift+enter,alt+enter",
        "newline",
        "new line",
        "New line in the question",
        "composer",
    ),
    Key("question.older", "up", "older", "older", "On the first line: what you asked before", "composer"),
    Key("question.newer", "down", "newer", "newer", "On the last line: what you asked after that", "composer"),
    Key("question.complete", "tab", "complete", "complete", "Take the marked completion of / or @", "composer"),
    Key(
        "question.paste",
        "ctrl+v",
        "paste",
        "",
        "Paste an image, or what was copied in the app",
        "composer",
    ),
    Key("question.editor", "ctrl+g", "editor", "editor", "Write the question in $VISUAL or $EDITOR", "composer"),
    Key("picture.remove", "delete,backspace,x", "remove", "remove", "Do not send it", "picture", True),
    Key("picture.next", "j,down", "go(1)", "next", "Go to the next one; below the last is the question", "picture"),
    Key("picture.previous", "k,up", "go(-1)", "previous", "Go to the one before", "picture"),
    Key("picture.leave", "i,enter", "leave", "write", "Back to the question", "picture", True),
    Key("message.copy", "y", "copy", "copy", "Copy the answer", "turn", True),
    Key("code.copy", "c", "copy_code", "copy code", "Copy a code block; again: the next one", "turn", True),
    Key("question.edit", "e", "edit", "edit", "Edit the question and ask again, beside the old one", "turn", True),
    Key("answer.again", "r", "again", "again", "Write another answer, beside the old one", "turn", True),
    Key("turn.sources", "s,enter", "sources", "sources", "Go to its sources", "turn", True),
    Key("turn.leave", "i", "leave", "write", "Back to the question", "turn", True),
    Key("turn.next", "j,down", "go(1)", "next", "Go to the next one", "turn", True),
    Key("turn.previous", "k,up", "go(-1)", "previous", "Go to the one before", "turn", True),
    Key("turn.first", "g,home", "first", "first", "Go to the first one", "turn"),
    Key("turn.last", "G,end", "last", "last", "Go to the last one", "turn"),
    Key("picture.open", "o", "picture", "open image", "Open an image of the question; again: the next one", "turn"),
    Key("answer.read", "v", "read", "read aloud", "Read the answer aloud; again, or Esc, ends it", "turn"),
    Key("question.copy", "Y", "copy_question", "copy question", "Copy the question", "turn"),
    Key("answer.older", "h,left", "branch(-1)", "older answer", "Show the answer before: ‹ 1/2 ›", "turn"),
    Key("answer.newer", "l,right", "branch(1)", "newer answer", "Show the answer after: ‹ 2/2 ›", "turn"),
    Key("question.older_wording", "H", "wording(-1)", "older wording", "Show the question as it was before", "turn"),
    Key("question.newer_wording", "L", "wording(1)", "newer wording", "Show the question as it was after", "turn"),
    Key("reasoning.fold", "z", "fold", "thoughts", "Show or hide what the model thought", "turn"),
    Key("turn.delete", "D", "delete", "delete", "Delete it and all that follows, for good", "turn"),
    Key("source.open", "enter", "select", "open", "Open it in $VISUAL or $EDITOR, at its line", "sources", True),
    Key("source.next", "j", "cursor_down", "", "Go to the next one", "sources"),
    Key("source.previous", "k", "cursor_up", "", "Go to the one before", "sources"),
    Key("source.copy", "y", "copy_place", "copy", "Copy its path and line", "sources", True),
    Key("thread.open", "enter", "choose", "open", "Go to it, to the place that was found", "threads", True, True),
    Key("thread.rename", "f6", "rename", "rename", "Give the thread another title", "threads", True),
    Key("thread.export", "f7", "export", "export", "Write the thread to a Markdown file", "threads", True),
    Key("thread.delete", "f8", "delete", "delete", "Delete the thread for good", "threads", True),
    Key("model.use", "enter", "choose", "use", "Answer with this model, or download it first", "models", True, True),
    Key("model.pull", "p", "pull", "download", "Download the model", "models", True),
    Key("model.pause", "space", "pause", "pause/go on", "Pause the download, or go on with it", "models", True),
    Key("model.cancel", "x", "cancel", "cancel", "Cancel the download; what came is kept for the next", "models", True),
    Key("model.remove", "D", "remove", "remove", "Remove the model from this machine", "models", True),
    Key("folder.add", "a", "add", "add", "Watch another folder", "folders", True),
    Key(
        "folder.pause",
        "space",
        "pause",
        "pause/go on",
        "Pause reading of all folders, or go on",
        "folders",
        True,
    ),
    Key(
        "folder.only",
        "enter",
        "choose",
        "ask only it",
        "Ask only this folder; again: all of them",
        "folders",
        True,
        True,
    ),
    Key("folder.remove", "D", "remove", "remove", "Stop watching it and forget what was read", "folders", True),
    Key("folder.complete", "tab", "complete", "complete", "Take the rest of the path", "folder_field", True),
    Key("threads.next", "down", "mark(1)", "", "Go to the next one; letters go to the search", "threads"),
    Key("threads.previous", "up", "mark(-1)", "", "Go to the one before", "threads"),
    Key("theme.keep", "enter", "choose", "keep", "Keep the theme that is shown", "themes", True, True),
    Key("themes.next", "down", "mark(1)", "", "Show the next one; letters go to the search", "themes"),
    Key("themes.previous", "up", "mark(-1)", "", "Show the one before", "themes"),
    Key("list.next", "j", "mark(1)", "", "Go to the next one", "list"),
    Key("list.previous", "k", "mark(-1)", "", "Go to the one before", "list"),
    Key("list.first", "g,home", "mark_end(-1)", "", "Go to the first one", "list"),
    Key("list.last", "G,end", "mark_end(1)", "", "Go to the last one", "list"),
    Key("list.close", "q", "leave", "", "Close the list", "list"),
    Key("window.close", "escape", "leave", "close", "Close it and change nothing", "window", True),
    Key("confirm.yes", "y,enter", "answer(True)", "yes", "Yes", "confirm"),
    Key("confirm.no", "n,q", "answer(False)", "no", "No", "confirm"),
)


def shown(key_id: str, chosen: Mapping[str, str]) -> str:
    """The key of an id, for people."""
    return next(key for key in KEYS if key.id == key_id).shown(chosen)


def bindings(where: str) -> list[BindingType]:
    """The table's bindings of one place."""
    return [
        Binding(key.keys, key.action, key.label, show=key.footer, priority=key.priority, id=key.id)
        for key in KEYS
        if key.where == where
    ]


def brief(key: str) -> str:
    """For the last line, where room is dear: `^T` as every terminal program has it, the rest as in the help."""
    shown = _pretty(key)
    return shown.replace("Ctrl+", "^") if shown.startswith("Ctrl+") and len(shown) == 6 else shown


def _pretty(key: str) -> str:
    names = {
        "escape": "Esc",
        "pageup": "PgUp",
        "pagedown": "PgDn",
        "enter": "Enter",
        "space": "Space",
        "tab": "Tab",
        "ctrl": "Ctrl",
        "shift": "Shift",
        "alt": "Alt",
        "up": "↑",
        "down": "↓",
        "left": "←",
        "right": "→",
        "home": "Home",
        "end": "End",
        "delete": "Del",
        "backspace": "Backspace",
    }
    parts = key.split("+")
    if len(parts) == 1 and len(key) == 1:
        return key
    signs = ((part, key_to_character(REPLACED_KEYS.get(part, part))) for part in parts)
    return "+".join(names.get(part) or (sign or part).upper() for part, sign in signs)
