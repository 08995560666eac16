"""Text from models, documents and file names made safe to show in a terminal.

A hostile document can carry escape sequences that set the clipboard, rename the window or hide text,
and direction overrides that make `gpj.exe` read as `exe.jpg`. Everything that the terminal app and the
command line show passes through here. Whole sequences are taken out, not only their first byte, so
that no debris stays.
"""

import re

_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, SOS, PM, APC up to their end
    r"|\x1b[ -/]+[0-~]|\x1b[0-Z\\`-~]"  # the short ones
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI as one byte
    r"|[\x90\x98\x9d-\x9f][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC and its kin as one byte
)
_UNFINISHED = re.compile(
    r"(?:\x1b|\x1b\[[0-?]*[ -/]*|\x1b[\]PX^_][^\x07\x1b\x9c]*\x1b?|\x1b[ -/]+|\x9b[0-?]*[ -/]*"
    r"|[\x90\x98\x9d-\x9f][^\x07\x1b\x9c]*\x1b?|\r)\Z"
)
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, without tab and newline
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction marks and overrides
    "\u2028\u2029\ufff9-\ufffb\U000e0000-\U000e007f"  # odd line ends, annotations, invisible tags
    "\ud800-\udfff]"  # lone surrogates, which no terminal encoding takes
)

HELD_BACK = 4096
"""Characters of an unfinished sequence that are waited for. A longer one is no sequence and loses its controls only."""


def clean(text: str) -> str:
    """`text` without anything that a terminal would obey. Tabs and newlines stay."""
    return _HIDDEN.sub("", _SEQUENCE.sub("", text.replace("\r\n", "\n")))


def clean_line(text: str) -> str:
    """The same on one line, for names, titles and messages."""
    return " ".join(clean(text).split())


class Cleaner:
    """`clean` for text that comes in pieces, which may break a sequence anywhere."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """The part of what came so far that can be shown."""
        text = _SEQUENCE.sub("", (self._held + piece).replace("\r\n", "\n"))
        match = _UNFINISHED.search(text)
        if match is None or len(match.group()) > HELD_BACK:
            self._held = ""
            return _HIDDEN.sub("", text)
        self._held = match.group()
        return _HIDDEN.sub("", text[: match.start()])

    def end(self) -> str:
        """What was held back, when nothing more comes."""
        held, self._held = self._held, ""
        return _HIDDEN.sub("", held)
