"""A radix tree of token ids: which known sequences begin like this prompt, and for how long.

It knows tokens and who holds them, running or idle, and nothing about cells, slots or time. Every
node lists all holders that pass through it, because a few dozen sequences are kept, not millions.
Holders with different adapters computed different KV, so each adapter set has a root of its own.
"""

from array import array
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

H = TypeVar("H", bound=Hashable)


@dataclass(slots=True, eq=False)
class Node(Generic[H]):
    edge: "array[int]"
    """Tokens between the parent and here; empty only at a root."""
    holders: set[H] = field(default_factory=set)
    """Everyone whose tokens lead through this whole edge."""
    children: "dict[int, Node[H]]" = field(default_factory=dict)
    """By the first token of their edge."""


class PrefixTree(Generic[H]):
    def __init__(self) -> None:
        self._roots: dict[Hashable, Node[H]] = {}
        self._tokens: dict[H, tuple[Hashable, array[int]]] = {}

    def __len__(self) -> int:
        return len(self._tokens)

    def __contains__(self, holder: H) -> bool:
        return holder in self._tokens

    def insert(self, holder: H, tokens: "array[int]", group: Hashable = ()) -> None:
        """Remember that `holder` has these tokens; a holder is inserted once."""
        if holder in self._tokens:
            raise ValueError("this holder is in the tree already")
        tokens = tokens[:]
        self._tokens[holder] = (group, tokens)
        node = self._roots.setdefault(group, Node(array("i")))
        at = 0
        while True:
            node.holders.add(holder)
            if at == len(tokens):
                return
            child = node.children.get(tokens[at])
            if child is None:
                node.children[tokens[at]] = Node(tokens[at:], {holder})
                return
            common = common_length(child.edge, tokens[at : at + len(child.edge)])
            if common < len(child.edge):
                child = node.children[tokens[at]] = _split(child, common)
            node, at = child, at + common

    def remove(self, holder: H) -> None:
        """Forget a holder; nothing happens when it is unknown."""
        if holder not in self._tokens:
            return
        group, tokens = self._tokens.pop(holder)
        node = self._roots[group]
        node.holders.discard(holder)
        if not node.holders:
            del self._roots[group]
            return
        at = 0
        while at < len(tokens):
            child = node.children[tokens[at]]
            child.holders.discard(holder)
            if not child.holders:
                del node.children[tokens[at]]
                return
            node, at = child, at + len(child.edge)

    def match(self, tokens: "array[int]", group: Hashable = ()) -> dict[H, int]:
        """For every holder of the same group: how many first tokens it has in common with `tokens`."""
        node = self._roots.get(group)
        if node is None:
            return {}
        found = dict.fromkeys(node.holders, 0)
        at = 0
        while at < len(tokens):
            child = node.children.get(tokens[at])
            if child is None:
                break
            common = common_length(child.edge, tokens[at : at + len(child.edge)])
            at += common
            for holder in child.holders:
                found[holder] = at
            if common < len(child.edge):
                break
            node = child
        return found


def _split(node: Node[H], at: int) -> Node[H]:
    """Put a new node in front of `node`, which keeps the rest of its edge."""
    front: Node[H] = Node(node.edge[:at], set(node.holders), {node.edge[at]: node})
    node.edge = node.edge[at:]
    return front


def common_length(one: "array[int]", other: "array[int]") -> int:
    """Length of the longest common beginning, by halving: comparing slices happens in C."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
