"""Random texts out of a grammar, by our own reading of GBNF."""

import random
from functools import lru_cache

from localmind.engine.grammar.parse import Characters, Item, Reference, Rules, parse

ENDLESS = 10**6
BUDGET = 60
"""Rules deep, after which the shortest way out is taken."""


class Walk:
    def __init__(self, gbnf: str, seed: int, root: str = "root") -> None:
        self.rules: Rules = parse(gbnf)
        self.random = random.Random(seed)
        self.heights = self._heights()
        self.root = root

    def text(self) -> str:
        return "".join(self._rule(self.root, 0))

    def _rule(self, name: str, depth: int) -> list[str]:
        options = self.rules[name]
        if depth > BUDGET:
            options = [min(options, key=self._height)]
        found: list[str] = []
        for item in self.random.choice(options):
            most = item.least + 2 if item.most is None else min(item.most, item.least + 2)
            times = item.least if depth > BUDGET else self.random.choice([item.least, most])
            for _ in range(times):
                for symbol in item.symbols:
                    if isinstance(symbol, Reference):
                        found += self._rule(symbol.rule, depth + 1)
                    else:
                        found.append(self._character(symbol))
        return found

    def _character(self, characters: Characters) -> str:
        if not characters.negated:
            first, last = self.random.choice(characters.intervals)
            return chr(self.random.choice([first, last, self.random.randint(first, last)]))
        while True:
            code = self.random.choice([self.random.randint(32, 126), self.random.randint(160, 0x2FFF), 0x1F98A])
            if characters.hold(code):
                return chr(code)

    def _heights(self) -> dict[str, int]:
        self.heights = dict.fromkeys(self.rules, ENDLESS)
        changed = True
        while changed:
            changed = False
            for name, options in self.rules.items():
                height = 1 + min(map(self._height, options))
                if height < self.heights[name]:
                    self.heights[name] = height
                    changed = True
        return self.heights

    def _height(self, option: list[Item]) -> int:
        return max(
            (
                self.heights[symbol.rule]
                for item in option
                if item.least
                for symbol in item.symbols
                if isinstance(symbol, Reference)
            ),
            default=0,
        )


@lru_cache(maxsize=512)
def texts(gbnf: str, count: int = 20) -> tuple[str, ...]:
    walk = Walk(gbnf, seed=len(gbnf))
    return tuple(walk.text() for _ in range(count))
