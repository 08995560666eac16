"""Everything that can be asked for by name: `/name` in the composer, the same in the palette.

A command is a name, what it explains itself with, and the method of the chat screen that it runs with the
rest of the line. The palette shows the key that does the same, and what only a key does as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from localmind_tui.keymap import KEYS, Key


@dataclass(slots=True, frozen=True)
class Command:
    """One of them. `run_NAME` of the chat screen does it."""

    name: str
    help: str
    takes: str = ""
    """What may follow, for people."""
    key: str = ""
    """The id of the key that does the same."""

    @property
    def method(self) -> str:
        return "run_" + self.name.replace("-", "_")


COMMANDS = (
    Command("again", "Write another answer to the last question"),
    Command("copy", "Copy the last answer"),
    Command("delete", "Delete this thread for good"),
    Command("export", "Write this thread to a file", "[FILE.md or FILE.json]"),
    Command("file", "Send a file with the next question", "PATH"),
    Command("folder", "Ask only one folder; without a name: all of them", "[PATH]"),
    Command("folders", "Add, pause and remove watched folders", key="folders.open"),
    Command("help", "Every key", key="help"),
    Command("image", "Show an image to a model that sees, with the next question", "PATH"),
    Command("jump", "Put a letter at every place on the screen and go to one", key="jump"),
    Command("keys", "Which keys do what, and how to change them"),
    Command("mode", "Switch between your files and plain chat", "[files or chat]", key="mode.switch"),
    Command("model", "Answer with another model", "[NAME]"),
    Command("models", "Choose, download and remove models", key="models.open"),
    Command("new", "Begin a new thread", key="conversation.new"),
    Command("quit", "Leave; answers go on without you", key="app.quit"),
    Command("rename", "Give this thread another title", "TITLE"),
    Command("set", "Set temperature, top_p, max_tokens or thinking of this thread", "[NAME VALUE]"),
    Command("sources", "Show the passages behind the answer", key="sources.panel"),
    Command("speak", "Speak instead of typing", key="speak"),
    Command("stop", "Stop the answer and keep its text", key="answer.stop"),
    Command("system", "Instructions for plain chat in this thread", "[TEXT]"),
    Command("template", "Begin from a template", "NAME [VARIABLE=VALUE …]"),
    Command("theme", "Change the colours", "[NAME]"),
    Command("threads", "Find anything ever said", key="threads.open"),
    Command("vim", "Switch vim keys in the question on or off"),
)
BY_NAME = {command.name: command for command in COMMANDS}
UNLISTED = ("palette", "app.interrupt", "scroll.up", "scroll.down")
"""Keys that would do nothing, or nothing that anybody looks for, when they are chosen from the palette."""


@dataclass(slots=True, frozen=True)
class Entry:
    """A line of the palette."""

    text: str
    key: str
    """The key that does the same, for people; empty without one."""
    command: Command | None
    action: Key | None


def entries(chosen: Mapping[str, str]) -> list[Entry]:
    """Every command, and every key of the conversation that no command stands for. `chosen` are the user's own keys."""
    keys = {key.id: key for key in KEYS}
    named = [
        Entry(f"{each.name} — {each.help}", keys[each.key].shown(chosen) if each.key else "", each, None)
        for each in COMMANDS
    ]
    stood_for = {each.key for each in COMMANDS}
    others = [
        Entry(key.help, key.shown(chosen), None, key)
        for key in KEYS
        if key.where in ("app", "chat") and key.id not in stood_for and key.id not in UNLISTED
    ]
    return named + others


class Commands(Provider):
    """The palette."""

    @property
    def _entries(self) -> list[Entry]:
        return entries(self.app.desk.preferences.keys)  # type: ignore[attr-defined]

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for entry in self._entries:
            if (score := matcher.match(entry.text)) > 0:
                shown = Content.assemble(matcher.highlight(entry.text), (f"   {entry.key}", "$foreground-muted"))
                yield Hit(score, shown, self._run(entry), text=entry.text)

    async def discover(self) -> Hits:
        for entry in self._entries:
            shown = Content.assemble(entry.text, (f"   {entry.key}", "$foreground-muted"))
            yield DiscoveryHit(shown, self._run(entry), text=entry.text)

    def _run(self, entry: Entry):  # type: ignore[no-untyped-def]  # textual's IgnoreReturnCallbackType
        return lambda: self.app.run_entry(entry)  # type: ignore[attr-defined]
