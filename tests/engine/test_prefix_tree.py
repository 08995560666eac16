"""The radix tree against comparing with everybody."""

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localmind.engine.prefix_tree import Node, PrefixTree, common_length

GROUPS = ((), ("lora", 1.0))
tokens = st.lists(st.integers(0, 2), max_size=14).map(lambda ids: array("i", ids))
holders = st.integers(0, 7)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), holders, tokens, st.sampled_from(GROUPS)),
        st.tuples(st.just("remove"), holders, st.none(), st.none()),
    ),
    max_size=40,
)


def common(one, other) -> int:
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count


def nodes(node: Node) -> list[Node]:
    return [node, *(below for child in node.children.values() for below in nodes(child))]


@settings(deadline=None, max_examples=600)
@given(changes, tokens, st.sampled_from(GROUPS))
def test_the_tree_finds_what_comparing_with_everybody_finds(changes, wanted, group):
    tree: PrefixTree[int] = PrefixTree()
    known: dict[int, tuple] = {}
    for what, holder, theirs, place in changes:
        if what == "remove":
            tree.remove(holder)
            known.pop(holder, None)
        elif holder in known:
            with pytest.raises(ValueError):
                tree.insert(holder, theirs, place)
        else:
            tree.insert(holder, theirs, place)
            known[holder] = (theirs, place)
        expected = {each: common(wanted, theirs) for each, (theirs, place) in known.items() if place == group}
        assert tree.match(wanted, group) == expected
        assert len(tree) == len(known)
        assert [holder in tree for holder in range(8)] == [holder in known for holder in range(8)]


@settings(deadline=None, max_examples=200)
@given(changes)
def test_nodes_that_nobody_needs_do_not_stay(changes):
    tree: PrefixTree[int] = PrefixTree()
    for what, holder, theirs, place in changes:
        if what == "insert" and holder not in tree:
            tree.insert(holder, theirs, place)
        elif what == "remove":
            tree.remove(holder)
        for root in tree._roots.values():
            assert all(node.holders for node in nodes(root))
            assert all(len(node.edge) for node in nodes(root)[1:])
    for holder in range(8):
        tree.remove(holder)
    assert tree._roots == {}


def test_what_the_owner_does_to_its_tokens_later_does_not_reach_the_tree():
    tree: PrefixTree[str] = PrefixTree()
    mine = array("i", [1, 2, 3])
    tree.insert("me", mine)
    mine.append(4)
    del mine[1]
    assert tree.match(array("i", [1, 2, 3, 4])) == {"me": 3}
    tree.remove("me")
    assert len(tree) == 0


@given(tokens, tokens)
def test_the_common_length_is_what_counting_gives(one, other):
    assert common_length(one, other) == common(one, other)
