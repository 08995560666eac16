"""Counts the tokens of pieces of text, fast enough for a first read of a whole disk.

A BERT tokenizer takes about a second a megabyte. It cuts at blanks and punctuation first and looks at each word by
itself, so the count of a text is the sum over its words, and a text has few different ones: each is
counted once and remembered. The count is for cutting documents, where a token more or less
does no harm (combining accents may give one); what is embedded is tokenized for good.
"""

import re
from collections.abc import Sequence
from pathlib import Path

# Words that are remembered, 100 bytes each; then it begins anew.
WORDS_KEPT = 200_000
# Longer ones are mostly runs of a language without blanks, which do not come back.
WORD_LIMIT = 40

# As BERT cuts: blanks away, every sign by itself, an underscore is a sign.
_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")


class Tokens:
    """A counter. Reading the tokenizer's file takes 30 ms."""

    def __init__(self, tokenizer_file: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._lowercase = bool(getattr(self._tokenizer.normalizer, "lowercase", False))
        self._vocabulary = frozenset(self._tokenizer.get_vocab())
        self._known: dict[str, int] = {}

    def counts(self, pieces: Sequence[str]) -> list[int]:
        """Tokens of each piece, without the special ones."""
        cut = [_WORD.findall(piece) for piece in pieces]
        if len(self._known) > WORDS_KEPT:
            self._known.clear()
        known = self._known
        unknown = set().union(*cut).difference(known)
        rare = []
        for word in unknown:
            # A word of the vocabulary is one token; the tokenizer takes five times as long to say so.
            if (word.lower() if self._lowercase else word) in self._vocabulary:
                known[word] = 1
            else:
                rare.append(word)
        encodings = self._tokenizer.encode_batch_fast(rare, add_special_tokens=False)
        known.update(zip(rare, (len(one.ids) for one in encodings), strict=True))
        found = [sum(map(known.__getitem__, words)) for words in cut]
        for word in rare:
            if len(word) > WORD_LIMIT:
                del known[word]
        return found
