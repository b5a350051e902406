"""Conditions on items: what they say of one, and what is found wrong with them before there is any."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from runner.spec.expressions.check import check_condition
from runner.spec.expressions.evaluate import parse_condition
from runner.spec.expressions.predicate import compile_condition, names_for_items


@dataclass
class Page:
    status: int
    url: str = "https://example.org/a.tar.gz"


@pytest.mark.parametrize(
    ("written", "item", "expected"),
    [
        ("item.status < 500", {"status": 200}, True),
        ("item.status < 500", {"status": 503}, False),
        ("item.status < 500", Page(200), True),
        ("${{ item.status >= params.limit }}", {"status": 503}, True),
        ("item > 3", 4, True),
        ("item[0] == 'a'", ("A", 1), True),
        ("item.user['first name'] == '小明'", {"user": {"first name": "小明"}}, True),
        ("item.gone == null", {"status": 1}, True),
        ("item.gone < 500", {}, True),  # null counts as 0
        ("item.gone && item.gone < 500", {}, False),
        ("!item.ok || contains(item.tags, 'x')", {"ok": True, "tags": ["X"]}, True),
        ("suffix(item.url) == '.gz' && env.HOME == '/root'", Page(1), True),
        ("item.status == '200'", {"status": 200}, True),
    ],
)
def test_a_condition_says_which_items_it_takes(written: str, item: object, expected: bool) -> None:
    condition, mistakes = parse_condition(written, ())
    assert condition is not None

    holds = compile_condition(condition.tree, {"params": {"limit": 500}, "env": {"HOME": "/root"}})

    assert ([], expected) == (mistakes, holds(item))


@pytest.mark.parametrize(
    ("written", "code", "shown", "help_"),
    [
        ("status < 500", "unknown-reference", "status", "write item.status for what the item has"),
        ("itme.status < 500", "unknown-reference", "itme", "did you mean 'item'?"),
        ("params.limti > 3", "unknown-reference", "limti", "did you mean 'limit'?"),
        ("failure()", "unknown-function", "failure", "known here: contains"),
        ("needs.a.result == 'passed'", "unknown-reference", "needs", "write item.needs.a.result"),
        ("item.ok && startWith(item.a, 'b')", "unknown-function", "startWith", "did you mean 'startsWith'?"),
        ("1 == 2", "constant-condition", "1 == 2", "write false if that is meant"),
    ],
)
def test_what_is_wrong_with_one_is_found_at_its_characters(
    written: str, code: str, shown: str, help_: str
) -> None:
    condition, _ = parse_condition(written, ())
    assert condition is not None

    (found,) = check_condition(condition, names_for_items({"limit": 500}), ())

    assert found.stretch is not None and found.help is not None
    start, width = found.stretch
    assert (code, shown) == (found.code, written[start : start + width])
    assert found.help.startswith(help_)
