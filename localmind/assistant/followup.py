"""What to look for when a question only makes sense after the ones before it.

"And when was that?" finds nothing by itself. Such a question is recognised by its small words or its shortness
and looked for together with what it follows: the question before, and the names and figures of its answer.
No model is asked to rewrite it, since a small one invents, and a search costs milliseconds.
"""

import re
from collections.abc import Sequence

from localmind.messages import Message

LONGEST_QUESTION = 2000
"""Characters of what the user said that are searched for: the end of it, where a question stands."""
LONGEST_ANSWER = 200
SHORT = 1
"""Words; a question of no more than so many besides small ones, and without a name, lacks its subject."""
WHOLE = 3
"""Words; a question of so many besides small ones, or with a name, says what it is about: where nothing is found
for it, passages of the question before would answer something else."""

# What refers to something said before, in the languages that search knows the small words of.
_REFERS = re.compile(
    r"\b(it|its|he|him|his|she|her|they|them|their|that|those|this|these|there|then|one|ones|former|latter|same|else|too"
    r"|es|er|sie|ihn|ihm|ihr|ihre|sein|seine|das|dies|diese[rsmn]?|dort|da|davon|dazu|damit|daran|dafür|dann|deren|dessen"
    r"|il|elle|ils|elles|lui|leur|son|sa|ses|cela|ça|ce|celui|celle|là|y|en)\b",
    re.I,
)
_CONTINUES = re.compile(
    r"\s*(?:(?:and|or|but|also|so|then|what about|how about|und|oder|aber|auch|et|ou|mais|aussi)\b|[它他她那这])", re.I
)
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-ZÄÖÜÉÈ][\w'-]+|\d[\d.,:]*\d|\b\d\b")


def queries(messages: Sequence[Message]) -> list[str]:
    """What to search for, the first that finds something counts; empty when nobody asked anything."""
    said = [message.content[-LONGEST_QUESTION:] for message in messages if message.role == "user"]
    if not said or not said[-1].strip():
        return []
    question = said[-1]
    if len(said) == 1:
        return [question]
    if depends(question):
        return [_together(messages, said), question]
    if _NAME.search(question) or _subjects(question) >= WHOLE:
        return [question]
    return [question, _together(messages, said)]


def depends(question: str) -> bool:
    """Whether a question points to something that was said before."""
    if _CONTINUES.match(question) or _REFERS.search(question):
        return True
    return not _NAME.search(question) and _subjects(question) <= SHORT


def _subjects(question: str) -> int:
    """Words besides small ones."""
    from localmind.knowledge.language import STOP_WORDS, language

    small = STOP_WORDS[language(question)]
    return sum(word.lower() not in small for word in re.findall(r"\w+", question))


def _together(messages: Sequence[Message], said: Sequence[str]) -> str:
    """The question after the one before it and the names in the answer to that. A chain of such questions is
    followed back to the one that names its subject."""
    begin = len(said) - 2
    while begin > 0 and depends(said[begin]):
        begin -= 1
    answers = [message.content for message in messages if message.role == "assistant"]
    names = " ".join(dict.fromkeys(_NAME.findall(answers[-1])))[:LONGEST_ANSWER] if answers else ""
    return "\n".join(part for part in (*said[begin:-1], names, said[-1]) if part)
