"""What a model's words must pass before a reader sees them: the numbers it cites exist, its sources are those it used.

Pure text, no I/O. A number is checked while the answer streams, so that a citation of nothing is never
shown; the sources are chosen when the answer is whole.
"""

import re
from collections.abc import Sequence

from localmind.events import Passage

NOT_IN_FILES = "That is not in your files."

_NUMBER = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_OPEN = re.compile(r"\s?\[[\d,\s]{0,16}\Z")
_WORD = re.compile(r"[^\W_]{3,}|\d+(?:[.,:]\d+)*")
_COMMON = frozenset(
    [
        "the",
        "and",
        "for",
        "are",
        "was",
        "were",
        "has",
        "have",
        "had",
        "that",
        "this",
        "with",
        "from",
        "not",
        "you",
        "your",
        "its",
        "their",
        "which",
        "what",
        "when",
        "where",
        "who",
        "how",
        "can",
        "will",
        "would",
        "should",
        "could",
        "does",
        "did",
        "about",
        "into",
        "than",
        "then",
        "there",
        "here",
        "they",
        "them",
        "been",
        "also",
        "answer",
        "question",
        "passage",
        "source",
        "file",
        "files",
        "according",
    ]
)


class CitationFilter:
    """Takes out, from a stream of text, citations such as [7] of a passage that is not there.

    `feed` returns what may be shown now; text that could still become a citation is held back, at most
    20 characters. `cited` collects the numbers that do exist, in order of appearance.
    """

    def __init__(self, known: Sequence[int]) -> None:
        self._known = frozenset(known)
        self._held = ""
        self.cited: list[int] = []

    def feed(self, text: str) -> str:
        text = self._held + text
        open_end = _OPEN.search(text)
        cut = open_end.start() if open_end else len(text)
        self._held = text[cut:]
        return self._checked(text[:cut])

    def flush(self) -> str:
        """What was held back, at the end of the answer."""
        held, self._held = self._held, ""
        return self._checked(held)

    def _checked(self, text: str) -> str:
        def keep(match: re.Match[str]) -> str:
            numbers = [int(number) for number in match[1].split(",")]
            real = [number for number in numbers if number in self._known]
            self.cited += [number for number in real if number not in self.cited]
            return f"[{', '.join(map(str, real))}]" if real else ""

        return _NUMBER.sub(keep, text)


def sources_of(answer: str, cited: Sequence[int], passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """The passages an answer rests on: those it cites, else those whose words it uses.

    A small model rarely cites. A passage counts as used when it holds at least half as many of the
    answer's words as the passage that holds most of them; numbers and rare words decide by being few.
    """
    if cited:
        return tuple(passage for passage in passages if passage.number in cited)
    words = _words(answer)
    shared = {passage.number: len(words & _words(passage.text + " " + (passage.heading or ""))) for passage in passages}
    most = max(shared.values(), default=0)
    if most == 0:
        return tuple(passages[:1])
    return tuple(passage for passage in passages if shared[passage.number] * 2 > most)


def declines(answer: str) -> bool:
    """Whether the model says that the passages do not hold the answer."""
    return bool(re.match(r"\W*(that is )?not in (your|the) files", answer, re.I))


def _words(text: str) -> set[str]:
    return {word for word in (found.lower() for found in _WORD.findall(text)) if word not in _COMMON}
