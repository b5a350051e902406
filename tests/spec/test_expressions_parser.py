"""The text of an `if` as a tree: what binds tighter, and where a mistake shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.spec.expressions.ast import (
    MOST_CHARACTERS,
    MOST_LEVELS,
    MOST_OPERATORS,
    Call,
    ConditionMistake,
    Literal,
    Node,
    Not,
    Operation,
    Reference,
    parse_expression,
)


def drawn(node: Node) -> str:
    """Write a tree with a bracket round each operation."""
    match node:
        case Literal(value=value):
            return repr(value)
        case Reference():
            return "/".join(node.names)
        case Call():
            return f"{node.function}({', '.join(map(drawn, node.arguments))})"
        case Not():
            return f"!{drawn(node.operand)}"
        case Operation():
            return f"({drawn(node.left)} {node.operator} {drawn(node.right)})"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", "True"),
        ("false", "False"),
        ("null", "None"),
        ("42", "42"),
        ("-1.5e3", "-1500.0"),
        ("0x1F", "31"),
        (".5", "0.5"),
        ("'it''s'", '"it\'s"'),
        ("''", "''"),
        ("needs.build.result", "needs/build/result"),
        ("needs['build it'].result", "needs/build it/result"),
        ("params.list[1]", "params/list/1"),
        ("params.list.1", "params/list/1"),
        ("matrix.py-version", "matrix/py-version"),
        ("needs.and.result", "needs/and/result"),
        ("matrix.größe", "matrix/größe"),
        ("success()", "success()"),
        ("contains( a , 'b' )", "contains(a, 'b')"),
        ("a || b && c", "(a || (b && c))"),
        ("a && b || c", "((a && b) || c)"),
        ("a == b && c != d", "((a == b) && (c != d))"),
        ("a < b == c", "((a < b) == c)"),
        ("!a == b", "(!a == b)"),
        ("!!a", "!!a"),
        ("!(a || b)", "!(a || b)"),
        ("a && b && c", "((a && b) && c)"),
        ("a<=1&&b>=2", "((a <= 1) && (b >= 2))"),
    ],
)
def test_operators_bind_as_in_the_expressions_of_github(text: str, expected: str) -> None:
    assert expected == drawn(parse_expression(text))


def test_each_name_knows_its_characters() -> None:
    text = "  needs.build['x'].result"

    tree = parse_expression(text)

    assert isinstance(tree, Reference)
    assert ["needs", "build", "'x'", "result"] == [text[start:end] for start, end in tree.places]


@pytest.mark.parametrize(
    ("text", "wrong", "words"),
    [
        ("a = 'b'", "=", "write '=='"),
        ("a === b", "===", "write '=='"),
        ("a !== b", "!==", "write '!='"),
        ("a <> b", "<>", "write '!='"),
        ("a => b", "=>", "write '>='"),
        ("a & b", "&", "write '&&'"),
        ("a | b", "|", "write '||'"),
        ("a and b", "and", "write '&&'"),
        ("a OR b", "OR", "write '||'"),
        ("not a", "not", "write '!'"),
        ("a == 'b", "'b", "close it"),
        ('a == "it\'s"', '"it\'s"', "write 'it''s'"),
        ('a == "b', '"b', "write 'b'"),
        ("a b", "b", "join two conditions"),
        ("a ==", "==", None),
        ("(a", "(", "add a ')'"),
        ("contains(a, b", "(", "add a ')'"),
        ("a)", ")", "nothing before it is open"),
        ("a == 3.11.2", "3.11.2", "in quotes"),
        ("a == 1st", "1st", "in quotes"),
        ("a @ b", "@", "a condition has"),
        ("a && ${{ b }}", "${{", "leave the braces out"),
        ("== a", "==", "comes before an operator"),
        ("x[y", "[", "add a ']'"),
        ("!" * (MOST_LEVELS + 1) + "a", "!", None),
        ("1" + "&&1" * (MOST_OPERATORS + 1), "&&", "move the decision into a step"),
        ("a. *", ". *", "join names with dots alone"),
        ("'a'[0]", "[", "a name, a 'text' or a number comes before an operator"),
        ("params .s", ".s", "join names with dots alone: a.b"),
        ("(" * (MOST_LEVELS + 1) + "a", "(", None),
        ("a " * MOST_CHARACTERS, "a", "move the decision"),
    ],
)
def test_a_mistake_stands_at_its_characters(text: str, wrong: str, words: str | None) -> None:
    with pytest.raises(ConditionMistake) as caught:
        parse_expression(text)

    mistake = caught.value
    assert wrong == text[mistake.start : mistake.start + mistake.width]
    assert (words or "") in (mistake.help or "")


@given(st.text(alphabet="ab.'\"()[]!&|=<>,0x ${}1-\n", max_size=40))
def test_any_text_is_a_tree_or_a_mistake_within_it(text: str) -> None:
    try:
        parse_expression(text)
    except ConditionMistake as mistake:
        assert 0 <= mistake.start <= len(text)
        assert mistake.start + mistake.width <= max(len(text), 1)
