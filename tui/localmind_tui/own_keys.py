"""Keys of the user's own, [tui.keys]: those that can be pressed and mean one thing count, what is wrong is told.

Of two that want the same key the first has it. A key of ours that the user gave away is told once a start: it may
have been meant.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from localmind.clean import clean_line
from localmind_tui.keymap import KEYS, Key
from localmind_tui.pressable import pressable

TOGETHER = (
    frozenset(("models", "list", "window")),
    frozenset(("folders", "list", "window")),
    frozenset(("threads", "window")),
    frozenset(("themes", "window")),
    frozenset(("confirm", "window")),
)
"""Places that are one for who sits before them."""
IN_CHAT = frozenset(("composer", "picture", "turn", "sources"))
KNOWN = {key.id: key for key in KEYS}
RIGHT = '"ctrl+k", "f7", "alt+up" and "f7,ctrl+k" are right'
LONGEST = 40
Wishes = dict[str, tuple[str, ...]]


def own_keys(table: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Textual's names of keys by id, comma-separated, and what is wrong with the others."""
    wishes: Wishes = {}
    problems: list[str] = []
    for name, wanted in table.items():
        if name not in KNOWN:
            problems.append(f"settings: tui.keys: there is no key `{_short(name)}` (F1 lists them)")
        elif not isinstance(wanted, str) or not wanted.strip():
            problems.append(f'settings: tui.keys."{name}" is a text: {RIGHT}')
        else:
            parts = [part.strip() for part in wanted.split(",")]
            named = [pressable(part) for part in parts]
            wishes[name] = tuple(dict.fromkeys(key for key in named if key))
            if None in named:
                wrong = parts[named.index(None)]
                del wishes[name]
                problems.append(f'settings: tui.keys."{name}": there is no key to press `{_short(wrong)}`; {RIGHT}')
    while (clash := next(_clashes(wishes), None)) is not None:
        name, taken = clash
        del wishes[name]
        problems.append(f'settings: tui.keys."{name}": {taken}; it stays {KNOWN[name].shown()}')
    return {name: ",".join(keys) for name, keys in wishes.items()}, [*problems, *_lost(wishes)]


def _clashes(wishes: Wishes) -> Iterator[tuple[str, str]]:
    """A wish that cannot be, and why."""
    before: Wishes = {}
    for name, keys in wishes.items():
        for other, theirs in before.items():
            if (both := _shared(keys, theirs)) and _meet(KNOWN[name], KNOWN[other]):
                yield name, f"`{both}` is `{other}` already"
        for key in KEYS:
            if key.id not in wishes and _over(key, KNOWN[name]) and (both := _shared(keys, key.keys.split(","))):
                yield name, f"`{both}` is `{key.id}` there"
        before[name] = keys


def _lost(wishes: Wishes) -> list[str]:
    return [
        f"settings: tui.keys: `{both}` is `{name}` now and no longer `{key.id}`"
        for name, keys in wishes.items()
        for key in KEYS
        if key.id not in wishes and _meet(KNOWN[name], key) and (both := _shared(keys, key.keys.split(",")))
    ]


def _meet(one: Key, other: Key) -> bool:
    """Whether one and the same key cannot be both."""
    beside = one.where == other.where or any({one.where, other.where} <= places for places in TOGETHER)
    return beside or _over(one, other) or _over(other, one)


def _over(one: Key, other: Key) -> bool:
    """Whether the first one takes a key before the place of the other one sees it."""
    if not one.priority or one.where == other.where:
        return False
    return one.where == "app" or (one.where == "chat" and other.where in IN_CHAT)


def _shared(one: Sequence[str], other: Sequence[str]) -> str:
    return next((key for key in one if key in other), "")


def _short(text: str) -> str:
    cleaned = clean_line(text)
    return cleaned if len(cleaned) <= LONGEST else f"{cleaned[: LONGEST - 1]}…"
