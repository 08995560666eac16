"""Whether native code can be trusted with a grammar: it is checked here first, in linear time.

llama.cpp follows a grammar as a set of stacks without any bound of its own. It misses left recursion
through rules that are empty by way of others and then fills the memory, searches for left recursion in
exponential time, and copies a repeated text as often as asked. None of that may happen on the thread
that decodes for everybody, so a grammar that could is an InvalidRequest.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache

from localmind.engine.grammar.parse import Characters, Item, Reference, Rules, parse
from localmind.errors import InvalidRequest

MAX_ELEMENTS = 500_000
"""Characters and references after repetitions are written out; 8 bytes each in native code."""

MAX_REPEATS = 2000
"""Native code refuses more repetitions, and takes a larger maximum for none at all."""

MAX_STACKS = 5000
"""Places in the grammar where one character may stand: the cost of checking one token."""

MAX_CHAIN = 1000
"""Rules that begin with each other: the depth of native recursion."""

MAX_VISITS = 1_000_000
MAX_EMPTY = 16

PRINTABLE = (9, 10, 13, *range(32, 127))


def check_gbnf(text: str, *, root: str = "root") -> None:
    """Raise InvalidRequest for a grammar that llama.cpp would not take, or would never get done with."""
    judge(parse(text), root)


@lru_cache(maxsize=64)
def printable_ascii(text: str) -> bool:
    """Whether every character that a grammar asks for can be a printable one of ASCII, so that trying those shows
    whether anything can follow. Kept, since the same grammar comes with many requests."""
    return all(
        any(symbol.hold(code) for code in PRINTABLE)
        for alternatives in parse(text).values()
        for alternative in alternatives
        for item in alternative
        for symbol in item.symbols
        if isinstance(symbol, Characters)
    )


def judge(rules: Rules, root: str = "root") -> None:
    """The same for rules."""
    if root not in rules:
        raise InvalidRequest(f"grammar: there is no rule {root!r}")
    _check_references(rules)
    _check_size(rules)
    nullable = _fixpoint(
        rules, lambda item, empty: item.least == 0 or all(_in(symbol, empty) for symbol in item.symbols)
    )
    _check_productive(rules)
    order = _order(rules, nullable)
    _check_stacks(rules, nullable, order)


def _references(rules: Rules, alternatives: list[list[Item]]) -> Iterator[str]:
    for alternative in alternatives:
        for item in alternative:
            for symbol in item.symbols:
                if isinstance(symbol, Reference):
                    yield symbol.rule


def _check_references(rules: Rules) -> None:
    for alternatives in rules.values():
        for name in _references(rules, alternatives):
            if name not in rules:
                raise InvalidRequest(f"grammar: there is no rule {name!r}")


def _check_size(rules: Rules) -> None:
    total = 0
    for alternatives in rules.values():
        for alternative in alternatives:
            for item in alternative:
                most = item.least if item.most is None else item.most
                if most > MAX_REPEATS:
                    raise InvalidRequest(f"grammar: {most:,} repetitions are more than {MAX_REPEATS:,}")
                total += (len(item.symbols) + 3) * max(most, 1)
                if total > MAX_ELEMENTS:
                    raise InvalidRequest("grammar: too large once its repetitions are written out")


def _in(symbol: Characters | Reference, rules: set[str]) -> bool:
    return isinstance(symbol, Reference) and symbol.rule in rules


def _fixpoint(rules: Rules, holds: Callable[[Item, set[str]], bool]) -> set[str]:
    """Rules with an alternative of which `holds` is true for each item, given the rules found already."""
    users: dict[str, set[str]] = {}
    for name, alternatives in rules.items():
        for used in _references(rules, alternatives):
            users.setdefault(used, set()).add(name)
    found: set[str] = set()
    waiting = list(rules)
    while waiting:
        name = waiting.pop()
        if name in found or not any(all(holds(item, found) for item in one) for one in rules[name]):
            continue
        found.add(name)
        waiting.extend(users.get(name, ()))
    return found


def _check_productive(rules: Rules) -> None:
    """A rule without an end would keep a model writing until its tokens are spent."""

    def ends(item: Item, found: set[str]) -> bool:
        return item.least == 0 or all(isinstance(symbol, Characters) or symbol.rule in found for symbol in item.symbols)

    endless = rules.keys() - _fixpoint(rules, ends)
    if endless:
        raise InvalidRequest(f"grammar: rule {_written(min(endless))!r} can never end")


def _leftmost(alternative: list[Item], nullable: set[str]) -> Iterator[Characters | Reference]:
    """Symbols that can come first in an alternative; one that may be empty comes first as often as it is repeated."""
    for item in alternative:
        empty = False
        for symbol in item.symbols:
            yield symbol
            if not _in(symbol, nullable):
                break
        else:
            empty = True
        if empty and item.symbols:
            times = item.least if item.most is None else item.most
            if times > MAX_EMPTY:
                raise InvalidRequest(f"grammar: {times:,} repetitions of what may be empty are more than {MAX_EMPTY}")
            for _ in range(times - 1):
                yield from item.symbols
        if not empty and item.least > 0:
            return


def _order(rules: Rules, nullable: set[str]) -> list[str]:
    """Rules so that each comes after those it can begin with. Raises InvalidRequest when there is no such order."""
    firsts = {
        name: [
            symbol.rule
            for alternative in alternatives
            for symbol in _leftmost(alternative, nullable)
            if isinstance(symbol, Reference)
        ]
        for name, alternatives in rules.items()
    }
    done: dict[str, int] = {}
    active: set[str] = set()
    order = []
    for start in rules:
        if start in done:
            continue
        trail = [(start, iter(firsts[start]))]
        active.add(start)
        while trail:
            name, rest = trail[-1]
            following = next(rest, None)
            if following is None:
                trail.pop()
                active.discard(name)
                done[name] = 1 + max((done[first] for first in firsts[name]), default=0)
                order.append(name)
            elif following in active:
                raise InvalidRequest(f"grammar: rule {_written(following)!r} begins with itself (left recursion)")
            elif following not in done:
                active.add(following)
                trail.append((following, iter(firsts[following])))
    if max(done.values()) > MAX_CHAIN:
        raise InvalidRequest(f"grammar: more than {MAX_CHAIN:,} rules begin with each other")
    visits: dict[str, int] = {}
    for name in order:
        visits[name] = 1 + sum(visits[first] for first in firsts[name])
        if visits[name] > MAX_VISITS:
            raise InvalidRequest(f"grammar: rule {_written(name)!r} can begin in too many ways")
    return order


def _check_stacks(rules: Rules, nullable: set[str], order: list[str]) -> None:
    stacks: dict[str, int] = {}
    for name in order:
        total = 0
        for alternative in rules[name]:
            for symbol in _leftmost(alternative, nullable):
                total += 1 if isinstance(symbol, Characters) else stacks[symbol.rule]
        if total > MAX_STACKS:
            raise InvalidRequest(f"grammar: rule {_written(name)!r} can begin in more than {MAX_STACKS:,} ways")
        stacks[name] = total


def _written(name: str) -> str:
    """The name as the author wrote it, of a rule made from a group."""
    return name.partition("_")[0]
