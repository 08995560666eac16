"""Where a JSON value ends, told while it streams, with the first character that cannot be JSON found at once.

An explicit stack instead of recursion, since the text is a model's and may nest without end. It owns no
values: what it passes on is the text, except that raw control characters inside strings, which models
write for newlines, become their escapes, so that what is passed on is valid.
"""

import re

MAX_DEPTH = 128
"""Of nested arrays and objects; every client's JSON reader takes as many."""

_run = re.compile(r'[^"\\\x00-\x1f]+')
_number = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_space = " \t\r\n"
_hex = frozenset("0123456789abcdefABCDEF")
_words = ("true", "false", "null")
_raw = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


class JsonScan:
    """Reads one value. `done` and `failed` say how it ended."""

    def __init__(self) -> None:
        self.done = False
        self.failed = False
        self._stack: list[str] = []
        self._state = "value"
        self._key = False
        self._atom = ""
        self._hex = 0

    def feed(self, text: str, start: int = 0) -> tuple[int, str]:
        """Reads on in `text` from `start`: the index after what was read, and that as valid JSON text.

        Stops after the value's last character, or before the first one that cannot be part of it.
        """
        parts: list[str] = []
        at = start
        while at < len(text) and not (self.done or self.failed):
            if self._state == "string":
                run = _run.match(text, at)
                if run:
                    parts.append(run[0])
                    at = run.end()
                    continue
            taken = self._take(text[at])
            if taken is None:
                continue  # an atom ended before this character, which is looked at again
            if not self.failed:
                parts.append(taken)
                at += 1
        return at, "".join(parts)

    def _take(self, c: str) -> str | None:
        state = self._state
        if state == "atom":
            return self._in_atom(c)
        if state == "string":
            return self._in_string(c)
        if state == "escape":
            if c == "u":
                self._state, self._hex = "hex", 4
            elif c in '"\\/bfnrt':
                self._state = "string"
            else:
                self.failed = True
        elif state == "hex":
            self._hex -= 1
            self.failed = c not in _hex
            if self._hex == 0:
                self._state = "string"
        elif c in _space:
            pass
        elif state == "colon":
            self.failed = c != ":"
            self._state = "value"
        elif state == "after":
            self._after(c)
        elif state in ("key", "first key"):
            if c == '"':
                self._state, self._key = "string", True
            elif c == "}" and state == "first key":
                self._close()
            else:
                self.failed = True
        else:
            self._value(c)
        return c

    def _value(self, c: str) -> None:
        if c in "{[":
            self._stack.append("}" if c == "{" else "]")
            self._state = "first key" if c == "{" else "first"
            self.failed = len(self._stack) > MAX_DEPTH
        elif c == '"':
            self._state, self._key = "string", False
        elif c == "]" and self._state == "first":
            self._close()
        elif c in "-0123456789tfn":
            self._state, self._atom = "atom", c
        else:
            self.failed = True

    def _after(self, c: str) -> None:
        if c == self._stack[-1]:
            self._close()
        elif c == ",":
            self._state = "key" if self._stack[-1] == "}" else "value"
        else:
            self.failed = True

    def _in_string(self, c: str) -> str:
        if c == '"':
            if self._key:
                self._state = "colon"
            else:
                self._ended()
        elif c == "\\":
            self._state = "escape"
        else:  # a raw control character
            return _raw.get(c) or f"\\u{ord(c):04x}"
        return c

    def _in_atom(self, c: str) -> str | None:
        if c.isascii() and (c.isalnum() or c in "+-."):
            self._atom += c
            word = self._atom[0] in "tfn"
            self.failed = len(self._atom) > 64 or (word and not any(w.startswith(self._atom) for w in _words))
            return c
        if self._atom in _words or _number.fullmatch(self._atom):
            self._ended()
        else:
            self.failed = True
        return None

    def _close(self) -> None:
        self._stack.pop()
        self._ended()

    def _ended(self) -> None:
        self._state = "after"
        self.done = not self._stack
