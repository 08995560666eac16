"""Prompts that fill in the middle of a text, made of the vocabulary's own FIM tokens.

The order is llama.cpp's /infill: other files first (repository and file tokens where the vocabulary has them), then
PRE prefix SUF suffix MID; only BOS, where a model has one, stays at the very beginning. What does not fit is left out
here and reported: whole files from the first on, then the far ends, so that the prefix keeps its end and the suffix
its beginning, three parts to one. An editor sends whole files and wants just that; a chat would be refused instead.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from localmind.engine.llama import Model
from localmind.engine.llama.vocab_fim import bos, fim_tokens
from localmind.errors import ContextTooLong, InvalidRequest

REPOSITORY = "myproject\n"
"""Models were trained with a name after the repository token; llama.cpp's server says this one."""
CURRENT_FILE = "filename\n"
SEPARATOR = "\n\n--- snippet ---\n\n"
"""Before another file where the vocabulary has no token for that."""

PREFIX_SHARE = 3 / 4
"""Of the room for both sides, while both want more than there is."""
LEAST_ROOM = 8
"""Tokens of prefix and suffix together below which a completion would be a guess."""


@dataclass(slots=True, frozen=True)
class FimPrompt:
    tokens: "array[int]"
    prefix_dropped: int
    """Tokens cut from the beginning of the prefix."""
    suffix_dropped: int
    """Tokens cut from the end of the suffix."""
    files_dropped: int
    """Other files left out, the first ones given."""


class Infill:
    """Raises InvalidRequest for a model without FIM tokens; create it once a model."""

    def __init__(self, model: Model) -> None:
        self._tokenize = model.tokenize
        self._marks = fim_tokens(model)
        self._bos = bos(model)
        missing = [
            name
            for name, token in (
                ("prefix", self._marks.prefix),
                ("suffix", self._marks.suffix),
                ("middle", self._marks.middle),
            )
            if token is None
        ]
        if missing:
            raise InvalidRequest(
                f"{model.path.name} cannot fill in the middle: its vocabulary has no token for {' and '.join(missing)}",
                hint="use a model made for completion, such as qwen2.5-coder",
            )

    def prompt(
        self, prefix: str, suffix: str, extra: Sequence[tuple[str, str]] = (), *, room: int, prompt: str = ""
    ) -> FimPrompt:
        """`extra` are (name, text) of other files, the most telling last. `room` is what the prompt may have in all.

        `prompt` goes behind the prefix, as the beginning of what is filled in. Text that looks like a token is text.
        """
        before = self._words(prefix)
        after = self._words(suffix)
        begun = self._words(prompt)
        marks = 3 + (self._bos is not None) + len(begun)
        left = room - marks
        if left < min(LEAST_ROOM, len(before) + len(after)):
            raise ContextTooLong(
                f"the prompt may have {room} tokens, and {marks} are taken before any of the text around the cursor",
                hint="ask for fewer tokens, or load the model with a longer context",
            )
        take_before, take_after = _split(len(before), len(after), left)
        files, dropped = self._files(extra, left - take_before - take_after)
        tokens = array("i", files)
        if self._bos is not None:
            tokens.insert(0, self._bos)
        tokens.append(_known(self._marks.prefix))
        tokens += before[len(before) - take_before :] + begun
        tokens.append(_known(self._marks.suffix))
        tokens += after[:take_after]
        tokens.append(_known(self._marks.middle))
        return FimPrompt(tokens, len(before) - take_before, len(after) - take_after, dropped)

    def _files(self, extra: Sequence[tuple[str, str]], room: int) -> tuple["array[int]", int]:
        """As many of the last files as fit, whole, between what introduces them and the current one.

        The introductions come without files too: llama.cpp's server, which editors are tuned to, does the same.
        """
        head = array("i")
        if self._marks.repository is not None:
            head.append(self._marks.repository)
            head += self._words(REPOSITORY)
        tail = array("i")
        if self._marks.file is not None:
            tail.append(self._marks.file)
            tail += self._words(CURRENT_FILE)
        kept: list[array[int]] = []
        room -= len(head) + len(tail)
        for name, text in reversed(extra):
            piece = self._file(name, text)
            if len(piece) > room:
                break
            room -= len(piece)
            kept.append(piece)
        if room < 0 or (self._marks.file is None and not kept):
            return array("i"), len(extra)
        files = head
        for piece in reversed(kept):
            files += piece
        return files + tail, len(extra) - len(kept)

    def _file(self, name: str, text: str) -> "array[int]":
        if self._marks.file is None:
            return self._words(SEPARATOR) + self._words(text)
        return array("i", [self._marks.file]) + self._words(f"{name}\n") + self._words(text)

    def _words(self, text: str) -> "array[int]":
        return self._tokenize(text, add_special=False, parse_special=False) if text else array("i")


def _split(before: int, after: int, room: int) -> tuple[int, int]:
    """How much of each side to take: what one side does not need, the other gets."""
    if before + after <= room:
        return before, after
    share = int(room * PREFIX_SHARE)
    if before <= share:
        return before, room - before
    if after <= room - share:
        return room - after, after
    return share, room - share


def _known(token: int | None) -> int:
    assert token is not None
    return token
