"""Which idle models give back what, so that another fits: as few as possible, and those used longest ago first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from localmind.machine.amounts import NOTHING, Bytes, plus

How = Literal["", "context", "all"]
"""What a model gives back: nothing, its context, or its weights as well."""


@dataclass(slots=True, frozen=True)
class Idle:
    """What an idle model can give back; `context` is empty when that has gone already."""

    context: Bytes
    weights: Bytes

    def gives(self, how: How) -> Bytes:
        if not how:
            return NOTHING
        return self.context if how == "context" else plus(self.context, self.weights)


def choose(enough: Callable[[Bytes], bool], room: Bytes, idle: Sequence[Idle]) -> list[How] | None:
    """For each of `idle`, in order of last use, what it gives back; None when even all of it is not enough.

    Nothing is given in vain: with any one model giving less, it would not be enough.
    """
    choice: list[How] = [""] * len(idle)

    def after() -> Bytes:
        found = room
        for each, how in zip(idle, choice, strict=True):
            found = plus(found, each.gives(how))
        return found

    ways: list[tuple[int, How]] = []
    for index, each in enumerate(idle):
        if any(each.context.values()):
            ways.append((index, "context"))
        ways.append((index, "all"))
    for index, how in ways:
        if enough(after()):
            break
        choice[index] = how
    if not enough(after()):
        return None
    for index in reversed(range(len(idle))):
        had = choice[index]
        lesser: tuple[How, ...] = ("", "context") if had == "all" else ("",)
        for less in lesser if had else ():
            choice[index] = less
            if enough(after()):
                break
            choice[index] = had
    return choice
