"""Text that settles while somebody speaks: what two passes in a row agree on stays, the rest may still change.

The local agreement of Liu et al. 2020 ("Low-Latency Sequence-to-Sequence Speech Recognition and Translation by
Partial Hypothesis Selection"), on words compared without case and punctuation. Pure.
"""


class Agreement:
    """Of one stretch of sound that grows. `settled` only ever gets longer."""

    def __init__(self) -> None:
        self._settled: list[str] = []
        self._latest: list[str] = []

    @property
    def settled(self) -> str:
        return " ".join(self._settled)

    @property
    def tentative(self) -> str:
        return " ".join(self._latest[len(self._settled) :])

    def add(self, text: str) -> None:
        """What the latest pass understood, from the beginning of the stretch."""
        words = text.split()
        agreed = 0
        for ours, theirs in zip(self._latest, words, strict=False):
            if plain(ours) != plain(theirs):
                break
            agreed += 1
        # The last word may have been cut by the end of the sound, twice in the same way.
        agreed = min(agreed, len(words) - 1)
        if agreed > len(self._settled):
            self._settled += words[len(self._settled) : agreed]
        self._latest = words


def plain(word: str) -> str:
    """A word as it is compared: letters and digits in lower case."""
    return "".join(c for c in word.lower() if c.isalnum())
