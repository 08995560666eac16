"""Generated text behind a cursor, and the events made of it.

Parsers are generators over a Stream: they yield where they need text that has not come yet, so each reads
like a program with the whole answer before it, and cutting the text differently changes nothing. What has
been let go cannot be read again; what has not is given back as text when it turns out to be no call.
"""

import secrets
import string
from collections.abc import Generator, Sequence
from typing import TypeVar

from localmind.engine.output.json_scan import JsonScan
from localmind.events import ReasoningDelta, TextDelta, ToolCallDelta
from localmind.messages import Tool

Delta = TextDelta | ReasoningDelta | ToolCallDelta
T = TypeVar("T")
Steps = Generator[None, None, T]

ALPHABET = string.ascii_letters + string.digits


class NotACall(Exception):
    """What is being read cannot be a tool call. Never leaves this package."""


class Stream:
    """The text of one answer as it comes."""

    def __init__(self, tools: Sequence[Tool] = (), *, single: bool = False, short_ids: bool = False) -> None:
        self.offered = tuple(sorted((tool.name for tool in tools), key=len, reverse=True))
        self.parameters = {tool.name: tool.parameters for tool in tools}
        self.text = ""
        """From the first character that was not let go."""
        self.at = 0
        self.ended = False
        self.called = False
        self.fresh = True
        """Nothing but white space has been said since the start of the line."""
        self._single = single
        self._short_ids = short_ids
        self._muted = False
        self.calls = 0
        self._events: list[Delta] = []
        self._gap: str | None = ""  # white space that may turn out to stand before a call or at the end
        self._keep_gap = True
        self._silent = True
        self._thought_gap: str | None = None

    @property
    def satisfied(self) -> bool:
        return self._single and self.called

    def take_events(self) -> list[Delta]:
        events, self._events = self._events, []
        return events

    # --- reading

    def let_go(self) -> None:
        """What was read is settled: a NotACall gives back what comes after it only."""
        self.text, self.at = self.text[self.at :], 0

    def peek(self) -> Steps[str]:
        """The next character, "" at the end."""
        while self.at >= len(self.text):
            if self.ended:
                return ""
            yield
        return self.text[self.at]

    def space(self) -> Steps[None]:
        while (c := (yield from self.peek())) and c.isspace():
            self.at += 1

    def one_of(self, words: Sequence[str]) -> Steps[str]:
        """Reads whichever of `words` stands here, an earlier one first; "" and nothing read if none does."""
        while True:
            for word in words:
                if self.text.startswith(word, self.at):
                    self.at += len(word)
                    return word
                if word.startswith(self.text[self.at :]) and not self.ended:
                    break  # it may yet come
            else:
                return ""
            yield

    def expect(self, *words: str) -> Steps[str]:
        word = yield from self.one_of(words)
        if not word:
            raise NotACall
        return word

    def value(self) -> Steps[str]:
        """Reads one JSON value and returns it as valid JSON text."""
        scan, parts = JsonScan(), list[str]()
        while not scan.done:
            self.at, part = scan.feed(self.text, self.at)
            parts.append(part)
            if scan.failed or (self.ended and not scan.done):
                raise NotACall
            if not scan.done:
                yield
        return "".join(parts)

    def name(self) -> Steps[str]:
        """Reads the name of an offered tool that stands here without quotes."""
        name = yield from self.expect(*self.offered)
        c = yield from self.peek()
        if c.isalnum() or c in ("_", "-", "."):
            raise NotACall
        return name

    def closing(self, *words: str) -> Steps[None]:
        """Reads white space and one of `words`, or nothing: models forget how they opened."""
        self.let_go()
        yield from self.space()
        if not (yield from self.one_of(words)):
            self.at = 0
        self.let_go()

    def until(self, word: str, most: int = 100_000) -> Steps[str]:
        """What stands before `word`, which is read too. NotACall when it does not come."""
        start = self.at
        while True:
            found = self.text.find(word, start)
            if found >= 0:
                self.at = found + len(word)
                return self.text[start:found]
            if self.ended or len(self.text) - start > most:
                raise NotACall
            yield

    # --- saying

    def say(self, text: str) -> None:
        if "\n" in text:
            self.fresh = not text.rsplit("\n", 1)[1].strip()
        else:
            self.fresh = self.fresh and not text.strip()
        if self._gap is not None:
            words = text.lstrip()
            if not words:
                self._gap += text
                return
            text = self._gap + text if self._keep_gap else words
            self._gap = None
        if text:
            self._silent = False
            last = self._events[-1] if self._events else None
            if isinstance(last, TextDelta):
                self._events[-1] = TextDelta(last.text + text)
            else:
                self._events.append(TextDelta(text))

    def think(self, text: str) -> None:
        """A piece of reasoning; white space round the whole of it is dropped."""
        text = text.lstrip() if self._thought_gap is None else self._thought_gap + text
        kept = text.rstrip()
        if kept:
            self._silent = False
            self._thought_gap = text[len(kept) :]
            self._events.append(ReasoningDelta(kept))
        elif self._thought_gap is not None:
            self._thought_gap = text

    def thought(self) -> None:
        """Reasoning is over: white space before the answer is dropped."""
        self._thought_gap = None
        self._silent, self._gap, self._keep_gap, self.fresh = False, "", False, True

    def begin(self, name: str) -> None:
        """A call to an offered tool: from here it cannot be taken back."""
        self._muted = self.satisfied
        if not self._muted:
            self._gap, self._keep_gap, self._silent = "", True, False
            self._events.append(ToolCallDelta(self.calls, self._new_id(), name))
            self.calls += 1
        self.let_go()

    def arguments(self, text: str) -> None:
        if text and not self._muted:
            last = self._events[-1] if self._events else None
            if isinstance(last, ToolCallDelta):
                self._events[-1] = ToolCallDelta(last.index, last.id, last.name, last.arguments + text)
            else:
                self._events.append(ToolCallDelta(self.calls - 1, arguments=text))
        self.let_go()

    def end_call(self) -> None:
        """Its arguments are whole."""
        self.called, self.fresh = True, True
        self.let_go()

    def finish(self) -> None:
        if self._gap and self._silent:
            self._silent = False
            self._events.append(TextDelta(self._gap))

    def _new_id(self) -> str:
        if self._short_ids:
            return "".join(secrets.choice(ALPHABET) for _ in range(9))
        return "call_" + "".join(secrets.choice(ALPHABET) for _ in range(24))
