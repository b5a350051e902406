"""The tree of an `if`: walked in the order of the text, each node with its own characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.spec.expressions.ast import Node, Operation, parse_expression, walk

OPERANDS = st.sampled_from(["needs.a.result", "'x'", "42", "always()", "contains(env.A, 'b')", "matrix['k']"])
TEXTS = st.recursive(
    OPERANDS,
    lambda inner: (
        st.builds("{} {} {}".format, inner, st.sampled_from(["&&", "||", "==", "<"]), inner)
        | st.builds("!({})".format, inner)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a && !b || c", ["a", "a && !b", "!b", "b", "a && !b || c", "c"]),
        ("f(a, g(b)) == 'c'", ["f(a, g(b))", "a", "g(b)", "b", "f(a, g(b)) == 'c'", "'c'"]),
    ],
)
def test_a_tree_is_walked_in_the_order_of_the_text(text: str, expected: list[str]) -> None:
    assert expected == [text[node.start : node.end] for node in walk(parse_expression(text))]


@given(TEXTS)
def test_a_part_stands_within_the_whole(text: str) -> None:
    tree = parse_expression(text)

    assert all(tree.start <= node.start < node.end <= len(text) for node in walk(tree))
    assert all(sides_in_order(node) for node in walk(tree))


def sides_in_order(node: Node) -> bool:
    return not isinstance(node, Operation) or node.left.end < node.right.start
