"""The arithmetic of search: from a question to full-text terms, from two sets of scores to passages.

Pure functions; the rows come from `retrieve.py`. A chunk's score is its cosine similarity plus its BM25 score
as a share of the best one, weighted by the query: little for prose, where equal weights make a good embedder
worse, much for identifiers, which an embedder does not know. Either side counts a part of the better
neighbour's score, since an answer often runs over a border between chunks (figures: docs/knowledge.md). Below a floor
there is no passage at all: "not in your files" is an answer, and the only right one to many questions.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from localmind.knowledge.language import STOP_WORDS, beginnings, language, pairs, runs

# Of the best BM25 score, against 1 for a cosine similarity.
WEIGHT_PROSE = 0.15
WEIGHT_EXACT = 1.0
# The part of its better neighbour's score that a chunk is given.
NEIGHBOUR = 0.3
# Of how near a question's words come to a chunk's (late.py), against 1 for a cosine similarity.
WEIGHT_WORDS = 3.0

MAX_TERMS = 24
CHUNKS_A_FILE = 5

_QUOTED = re.compile(r'"([^"]{1,200})"|`([^`]{1,200})`')
_WORD = re.compile(r"[^\s,;!?()\[\]{}<>\"`]+")
# snake_case, dotted.name, path/to, Class::member, --flag, WX-2000, camelCase, name(), $var, @decorator
_IDENTIFIER = re.compile(
    r"\w+_\w|\w\.\w|[\w.]/\w|\w::\w|^--?[A-Za-z]|^[$@%#&]\w|[A-Za-z]\d|\d[A-Za-z]|[a-z][A-Z]|^[A-Za-z]+-\d|\w\(\)$"
)
_PATH = re.compile(r"\w/\w|^[./~]*/\w|\.[A-Za-z][A-Za-z0-9]{1,4}$")


@dataclass(slots=True, frozen=True)
class Query:
    """A question taken apart. `terms` are single full-text expressions, `required` phrases that must occur."""

    text: str
    terms: tuple[str, ...]
    required: tuple[str, ...]
    exact: tuple[str, ...]
    """Those of the terms that look like identifiers, paths, codes or quotations."""
    names_path: bool = False
    """Whether one of them looks like a path or a file name."""

    @property
    def keyword_weight(self) -> float:
        """Of the keyword scores, against 1 for similarities: the more of the question is identifiers, the more. One
        name in a long question of prose says less than what the rest of it means (measured)."""
        share = len(self.exact) / max(1, len(self.terms))
        return WEIGHT_PROSE + (WEIGHT_EXACT - WEIGHT_PROSE) * share**2

    @property
    def word_weight(self) -> float:
        """Of the scores by late interaction: an embedder does not know identifiers one by one either."""
        share = len(self.exact) / max(1, len(self.terms))
        return WEIGHT_WORDS * (1 - share**2)

    def matching(self, wanted: Sequence[str], *, every: bool = False) -> str | None:
        """The FTS5 expression for some of the terms: any of them, or every one; None if there are none."""
        if not wanted:
            return None
        joined = (" AND " if every else " OR ").join(wanted)
        return f"{' AND '.join(self.required)} AND ({joined})" if self.required else joined


def parse(text: str) -> Query:
    """Take a question apart. Any text is fine; what FTS5 would read as syntax is quoted."""
    required = [_phrase(a or b) for a, b in _QUOTED.findall(text)]
    exact: list[str] = list(required)
    plain: list[str] = []
    rest = _QUOTED.sub(" ", text)
    spoken = language(rest)
    names_path = False
    call_names = set(re.findall(r"[\w.:]+(?=\(\))", rest))
    found = [word.rstrip(".:'").removesuffix("'s") for word in _WORD.findall(rest)]
    for word in found:
        if not re.search(r"\w", word):
            continue
        if parts := list(runs(word)):
            plain += [_term(pair) for run in parts for pair in pairs(run)]
            continue
        if _IDENTIFIER.search(word) or word in call_names:
            exact.append(_term(word))
            names_path = names_path or bool(_PATH.search(word))
        else:
            # An apostrophe joins two words in French and Italian: l'eau, dell'acqua.
            for part in word.split("'") if spoken in ("fr", "it") else [word]:
                if part and part.lower() not in STOP_WORDS[spoken]:
                    plain.append(_word(part, spoken))
    if not exact and not plain:
        plain = [_term(word) for word in found if re.search(r"\w", word)]
    terms = list(dict.fromkeys([*exact, *plain]))[:MAX_TERMS]
    return Query(text, tuple(terms), tuple(dict.fromkeys(required)), tuple(dict.fromkeys(exact)), names_path)


def _term(word: str) -> str:
    """A phrase for FTS5; its tokenizer cuts `os.path` into two words that must follow each other."""
    return '"' + word.replace('"', '""').replace("\0", " ") + '"'


def _phrase(quoted: str) -> str:
    """A quotation; a language without blanks is looked for by its pairs of characters, in order."""
    parts = list(runs(quoted))
    if not parts:
        return _term(quoted)
    inside = [_term(" ".join(pairs(run))) for run in parts]
    return inside[0] if len(inside) == 1 else "(" + " AND ".join(inside) + ")"


def _word(word: str, spoken: str) -> str:
    """A word of prose. The index knows the endings of English ones; of others the beginning is looked for."""
    if spoken == "en" and word.isascii():
        return _term(word)
    forms = [_term(form) + "*" for form in beginnings(word)]
    return forms[0] if len(forms) == 1 else "(" + " OR ".join(forms) + ")"


Place = tuple[int, int]
"""(file id, ordinal) of a chunk: neighbours differ by one in the second."""


def pooled(scores: Mapping[Place, float], places: Iterable[Place] | None = None) -> dict[Place, float]:
    """Each score with its part of the better neighbour's; a place without a score of its own may have that part."""
    return {
        (file, at): scores.get((file, at), 0.0)
        + NEIGHBOUR * max(0.0, scores.get((file, at - 1), 0.0), scores.get((file, at + 1), 0.0))
        for file, at in (scores if places is None else places)
    }


def fuse(
    keyword: Mapping[Place, float], similarity: Mapping[Place, float], weight: float, whole: float = 0.0
) -> dict[Place, float]:
    """Place → score, best first, of every chunk that has a keyword score or a similarity.

    `whole`: the BM25 of a chunk of average length that holds every word of the question once. A best chunk that does
    not come up to it does not get the full weight: it is only the best of bad ones.
    """
    places = {**similarity, **keyword}
    words, near = pooled(keyword, places), pooled(similarity, places)
    best = max(whole, *words.values(), 0.0) or 1.0
    scores = {place: near[place] + weight * words[place] / best for place in places}
    return dict(sorted(scores.items(), key=lambda pair: -pair[1]))


def word_rarity(weights: Mapping[str, float]) -> dict[str, float]:
    """From weights of full-text terms to weights of the words in them, lower-case."""
    found: dict[str, float] = {}
    for term, weight in weights.items():
        for word in re.findall(r"\w+", term.lower()):
            found[word] = max(weight, found.get(word, 0.0))
    return found


def reordered(fused: Mapping[int, float], near: Mapping[int, float], weight: float, depth: int) -> list[int]:
    """Chunks, best first: the best `depth` of the fusion by their score and how near their words come.

    One that has no sketch yet, saved a moment ago, is taken for as near as the others are in the mean.
    """
    order = sorted(fused, key=lambda number: -fused[number])
    mean = sum(near.values()) / max(1, len(near))
    total = {number: fused[number] + weight * near.get(number, mean) for number in order[:depth]}
    return [*sorted(total, key=lambda number: -total[number]), *order[depth:]]


@dataclass(slots=True, frozen=True)
class Floor:
    """When a question counts as not answered by the folders. Calibrated with MiniLM: docs/knowledge.md has the curve.

    A chunk's evidence is its cosine similarity, plus `words` times the share of the question's words that it holds,
    minus `unknown` times the share that no file holds. One chunk must reach `answer`, else nothing is shown;
    then every chunk is that reaches `shown`. `words_only` is the share asked of a chunk that has no vector yet.
    """

    answer: float = 0.27
    shown: float = 0.12
    words: float = 0.15
    unknown: float = 0.25
    words_only: float = 0.6

    def evidence(self, similarity: float | None, coverage: float, unknown: float = 0.0, *, exact: bool) -> float:
        """Comparable within one index. `exact`: an identifier or quotation of the query occurs, which suffices."""
        if similarity is None:
            known = self.answer if coverage >= self.words_only else self.shown if coverage >= 0.3 else 0.0
        else:
            known = similarity + self.words * coverage - self.unknown * unknown
        return max(known, self.answer) if exact else known


def rarity(frequency: Mapping[str, int], total: int) -> dict[str, float]:
    """Weight of each term, ln(1 + N / (df + 0.5)): `frequency` chunks of the `total` hold it."""
    return {term: math.log(1 + total / (count + 0.5)) for term, count in frequency.items()}


def whole_score(frequency: Mapping[str, int], total: int) -> float:
    """BM25 of a chunk of average length that holds each of these terms once, as far as any chunk holds them."""
    return sum(weight for term, weight in rarity(frequency, total).items() if frequency[term])


def unknown_share(frequency: Mapping[str, int], total: int) -> float:
    """The share of a question's terms that no chunk holds, weighted by rarity."""
    weights = rarity(frequency, total)
    return sum(weights[term] for term in weights if not frequency[term]) / (sum(weights.values()) or 1.0)


def coverage(matching: Mapping[str, set[int]], frequency: Mapping[str, int], total: int) -> dict[int, float]:
    """For each chunk the share of the query's terms that it holds, weighted by rarity.

    `matching`: term → ids of candidates that hold it; `frequency` and `total` as for `rarity`.
    """
    weights = rarity(frequency, total)
    whole = sum(weights.values()) or 1.0
    shares: dict[int, float] = {}
    for term, ids in matching.items():
        for number in ids:
            shares[number] = shares.get(number, 0.0) + weights[term] / whole
    return shares


@dataclass(slots=True, frozen=True)
class Candidate:
    """A chunk that may be shown, in the order of fusion."""

    chunk_id: int
    file_id: int
    ordinal: int
    page: int | None
    similarity: float | None
    coverage: float
    evidence: float


def above(candidates: Sequence[Candidate], floor: Floor) -> list[Candidate]:
    """The candidates that are shown: none unless one of them may be an answer."""
    if not any(candidate.evidence >= floor.answer for candidate in candidates):
        return []
    return [candidate for candidate in candidates if candidate.evidence >= floor.shown]


def group(candidates: Iterable[Candidate], limit: int) -> list[list[Candidate]]:
    """At most `limit` passages, each a run of neighbours of one file; at most five chunks a file.

    A chunk next to one that is already shown joins it, since the end of a thought is often in the
    next chunk; the passage keeps the place of its best chunk, and never leaves its page.
    """
    groups: list[list[Candidate]] = []
    taken: dict[int, int] = {}
    for candidate in candidates:
        if taken.get(candidate.file_id, 0) >= CHUNKS_A_FILE:
            continue
        touching = [
            run
            for run in groups
            if (run[0].file_id, run[0].page) == (candidate.file_id, candidate.page)
            and any(abs(one.ordinal - candidate.ordinal) == 1 for one in run)
        ]
        if touching:
            home = touching[0]
            home.append(candidate)
            for other in touching[1:]:
                home.extend(other)
                groups.remove(other)
        elif len(groups) >= limit:
            continue
        else:
            groups.append([candidate])
        taken[candidate.file_id] = taken.get(candidate.file_id, 0) + 1
    return groups
