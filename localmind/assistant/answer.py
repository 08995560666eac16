"""What a model's words must pass before a reader sees them: the numbers it cites exist, its sources are those it used.

Pure text, no I/O. A number is checked while the answer streams, so that a citation of nothing is never
shown and one of a passage that does not say it is marked, as [2?]; the sources are chosen when the answer is
whole. A picture becomes a link, and an HTML tag that could fetch something becomes words: a program that draws
the answer would otherwise fetch it, and a document could so make an answer report to a stranger.
"""

import re
from collections.abc import Sequence

from localmind.assistant.support import content, supports
from localmind.events import Passage

NOT_IN_FILES = "That is not in your files."

_NUMBER = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_OPEN = re.compile(r"(?:\s?!?\[[\d,\s]{0,16}|!|<[A-Za-z][A-Za-z0-9-]{0,60}|<)\Z")
# Of tags with attributes any may fetch (style=, background=), of those without only some; `List<int>` is no tag.
_TAG = re.compile(
    r"<(?=[A-Za-z][A-Za-z0-9-]*[\s/]|[A-Za-z][A-Za-z0-9-]{60}|(?:script|style|iframe|frame|object|embed|svg)\b)", re.I
)
_END = re.compile(r"(?<=[.!?。！？])\s+|\n+|(?<=[。！？])")
# Of what was said, as much as a sentence may have.
SENTENCE_LIMIT = 1000


class CitationFilter:
    """Takes out, from a stream of text, citations such as [7] of a passage that is not there, and marks as [2?] those
    of passages that do not support their sentence.

    `feed` returns what may be shown now; text that could still become a citation is held back, at most
    60 characters. `cited` collects the numbers that do exist, in order of appearance, `doubted` those marked.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._texts = {passage.number: f"{passage.heading or ''}\n{passage.text}" for passage in passages}
        self._held = ""
        self._said = ""
        self.cited: list[int] = []
        self.doubted: list[int] = []

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
        shown, at = [], 0
        for match in _NUMBER.finditer(text):
            shown.append(self._plain(text[at : match.start()]))
            shown.append(self._citation([int(number) for number in match[1].split(",")]))
            at = match.end()
        shown.append(self._plain(text[at:]))
        return "".join(shown)

    def _plain(self, text: str) -> str:
        self._said = (self._said + text)[-SENTENCE_LIMIT:]
        # Behind a blank a tag is text, in HTML and in Markdown.
        return _TAG.sub("< ", text.replace("![", "["))

    def _citation(self, numbers: Sequence[int]) -> str:
        real = [number for number in numbers if number in self._texts]
        self.cited += [number for number in real if number not in self.cited]
        if not real:
            return ""
        if supports(self._sentence(), [self._texts[number] for number in real]):
            return f"[{', '.join(map(str, real))}]"
        self.doubted += [number for number in real if number not in self.doubted]
        return f"[{', '.join(f'{number}?' for number in real)}]"

    def _sentence(self) -> str:
        """The sentence that a citation stands in, or behind."""
        return next((part for part in reversed(_END.split(self._said)) if part.strip(" .!?,;:")), "")


class Untouched:
    """In place of a CitationFilter where the answer is not prose: `[1]` may be a list of JSON."""

    def __init__(self) -> None:
        self.cited: list[int] = []

    def feed(self, text: str) -> str:
        return text

    def flush(self) -> str:
        return ""


def sources_of(answer: str, cited: Sequence[int], passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """The passages an answer rests on: those it cites, else those whose words it uses.

    A small model rarely cites. A passage counts as used when it holds at least half as many of the
    answer's words as the passage that holds most of them; numbers and rare words decide by being few.
    """
    if cited:
        return tuple(passage for passage in passages if passage.number in cited)
    words = content(answer)
    shared = {
        passage.number: len(words & content(passage.text + " " + (passage.heading or ""))) for passage in passages
    }
    most = max(shared.values(), default=0)
    if most == 0:
        return tuple(passages[:1])
    return tuple(passage for passage in passages if shared[passage.number] * 2 > most)


def declines(answer: str) -> bool:
    """Whether the model says that the passages do not hold the answer."""
    return bool(re.match(r"\W*(that is )?not in (your|the) files", answer, re.I))
