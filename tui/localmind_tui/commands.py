"""Everything that can be asked for by name: `/name` in the composer, the same in the palette.

A command is a name, what it explains itself with, and the action of the chat screen that it runs with the
rest of the line. The keys of the keymap appear in the palette as well.
"""

from dataclasses import dataclass

from textual.command import DiscoveryHit, Hit, Hits, Provider


@dataclass(slots=True, frozen=True)
class Command:
    """One of them. `run_NAME` of the chat screen does it."""

    name: str
    help: str
    takes: str = ""
    """What may follow, for people."""

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
    Command("folders", "Add, pause and remove watched folders"),
    Command("help", "Every key"),
    Command("keys", "Which keys do what, and how to change them"),
    Command("mode", "Switch between your files and plain chat", "[files or chat]"),
    Command("model", "Answer with another model", "[NAME]"),
    Command("models", "Choose, download and remove models"),
    Command("new", "Begin a new thread"),
    Command("quit", "Leave; answers go on without you"),
    Command("rename", "Give this thread another title", "TITLE"),
    Command("set", "Set temperature, top_p, max_tokens or thinking of this thread", "NAME VALUE"),
    Command("sources", "Show the passages behind the answer"),
    Command("speak", "Speak instead of typing"),
    Command("stop", "Stop the answer and keep its text"),
    Command("system", "Instructions for plain chat in this thread", "[TEXT]"),
    Command("template", "Begin from a template", "NAME [VARIABLE=VALUE …]"),
    Command("theme", "Change the colours", "[NAME]"),
    Command("threads", "Find anything ever said"),
    Command("vim", "Switch vim keys in the question on or off"),
)
BY_NAME = {command.name: command for command in COMMANDS}


class Commands(Provider):
    """The commands in the palette."""

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in COMMANDS:
            text = f"{command.name} — {command.help}"
            if (score := matcher.match(text)) > 0:
                yield Hit(score, matcher.highlight(text), self._run(command), text=text)

    async def discover(self) -> Hits:
        for command in COMMANDS:
            yield DiscoveryHit(f"{command.name} — {command.help}", self._run(command))

    def _run(self, command: Command):  # type: ignore[no-untyped-def]  # textual's IgnoreReturnCallbackType
        return lambda: self.app.run_command(command)  # type: ignore[attr-defined]
