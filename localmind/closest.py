"""Which known name somebody may have meant by one that is not known; an odd guess is worse than none."""

from collections.abc import Iterable

SURE = 0.8
"""So much alike (difflib's ratio) is a slip of the fingers wherever it stands."""
LIKELY = 0.7
"""Enough where the first letter is right, which is hardly ever the one that slips."""
BEGUN = 3
"""Letters from which on the beginning of a name is taken for it."""


def closest(typed: str, known: Iterable[str]) -> list[str]:
    """The likely ones of `known`, best first; none where nothing is."""
    import difflib  # the terminal app and `--help` start without it

    names = list(known)
    begun = [name for name in names if len(typed) >= BEGUN and name.startswith(typed)]
    alike = [
        name
        for name in difflib.get_close_matches(typed, names, n=10, cutoff=LIKELY)
        if name[:1] == typed[:1] or difflib.SequenceMatcher(None, typed, name).ratio() >= SURE
    ]
    return list(dict.fromkeys([*sorted(begun, key=len), *alike]))
