"""Whether a passage says what a sentence says, judged by words and figures alone.

No model is asked: a check must cost nothing and be the same each time. A sentence is supported when every
figure in it stands in the passage and most of its words do, compared by their beginnings. That finds invented
dates, sums and names; it cannot find a sentence that uses the passage's words to say the opposite.
"""

import re
import unicodedata
from collections.abc import Iterable

# The share of a sentence's words that must stand in the passage, and the letters by which words are compared.
ENOUGH = 0.5
BEGINNING = 5

_FIGURE = re.compile(r"\d+(?:[.,:]\d+)*")
_WORD = re.compile(r"[^\W\d_]{3,}")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
    )
}
COMMON = frozenset(
    """the and for are was were has have had that this with from not you your its their which what when where
    who how can will would should could does did about into than then there here they them been also
    answer question passage source file files according stated mentioned says said document""".split()  # noqa: SIM905
)


def content(text: str) -> frozenset[str]:
    """The words that say something, lower case, and figures."""
    found = {word for word in (match.lower() for match in _WORD.findall(text)) if word not in COMMON}
    return frozenset(found | set(_FIGURE.findall(text)))


def figures(text: str) -> frozenset[str]:
    """Figures without separators of thousands, `1,080` and `1.080` as `1080`, and small numbers written out."""
    plain = re.sub(r"(?<=\d)[.,](?=\d{3}(?!\d))", "", text)
    written = (_NUMBERS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in _NUMBERS)
    # 1.50 is 1.5, and 09 is 9.
    found = (_trimmed(figure) for figure in _FIGURE.findall(plain))
    return frozenset((*found, *written))


def _trimmed(figure: str) -> str:
    if re.fullmatch(r"\d+[.,]\d+", figure):
        whole, _, rest = figure.replace(",", ".").partition(".")
        rest = rest.rstrip("0")
        return f"{int(whole)}.{rest}" if rest else str(int(whole))
    return str(int(figure)) if figure.isdigit() else figure


def supports(sentence: str, passages: Iterable[str]) -> bool:
    """Whether the passages together say what the sentence says; one without words or figures says nothing."""
    text = "\n".join(passages)
    if not _figures_stand(sentence, text):
        return False
    words = {_beginning(word) for word in content(sentence) if not word[0].isdigit()}
    if not words:
        return True
    if _CJK.search(sentence):
        # Without blanks a word is a whole clause: characters are compared.
        wanted = set(_CJK.findall(sentence))
        return len(wanted & set(_CJK.findall(text))) >= ENOUGH * len(wanted)
    there = {_beginning(word) for word in content(text)}
    return len(words & there) >= ENOUGH * len(words)


def _figures_stand(sentence: str, text: str) -> bool:
    there = figures(text)
    digits = {_trimmed(figure) for figure in _FIGURE.findall(re.sub(r"(?<=\d)[.,](?=\d{3}(?!\d))", "", sentence))}
    # 9:30 and 1.5.2 stand as they are or not at all.
    return all(figure in there or figure in text for figure in digits)


def _beginning(word: str) -> str:
    folded = unicodedata.normalize("NFKD", word)
    return "".join(letter for letter in folded if not unicodedata.combining(letter))[:BEGINNING]
