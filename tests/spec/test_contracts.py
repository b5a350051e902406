"""The schema of a queue: what it lets through, and the words for what it does not."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import ContractBroken
from runner.spec.contracts import contract_check, faults_of_contract

ROW = {
    "type": "object",
    "required": ["price"],
    "properties": {
        "price": {"type": "number", "minimum": 0},
        "size": {"enum": ["small", "large", 3]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
        "at": {"type": "string", "format": "date"},
        "code": {"type": "string", "pattern": "^[a-z]+$"},
        "either": {"anyOf": [{"type": "integer"}, {"const": "none"}]},
    },
    "additionalProperties": False,
    "$defs": {"tag": {"type": "string"}},
}


@pytest.mark.parametrize(
    "item",
    [
        {"price": 1},
        {"price": Decimal("1.5"), "tags": ("a", "b"), "size": "small"},
        {"price": 0.0, "at": "2026-01-31", "code": "bun", "either": "none"},
    ],
)
def test_what_keeps_it_comes_back_as_it_is(item: object) -> None:
    assert item is contract_check(ROW, "rows")(item)


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("x", "$: expected object, got 'x'"),
        ({}, "$.price: it is missing"),
        ({"prise": 1}, "$.price: it is missing; did you mean 'prise'?"),
        ({"price": "free"}, "$.price: expected number, got 'free'"),
        ({"price": True}, "$.price: expected number, got True"),
        ({"price": -1}, "$.price: -1 is less than the minimum of 0"),
        (
            {"price": 1, "size": "smal"},
            "$.size: expected 'small' or 'large' or 3, got 'smal'; did you mean 'small'?",
        ),
        ({"price": 1, "tags": ("a", 2)}, "$.tags[1]: expected string, got 2"),
        ({"price": 1, "at": "31 January"}, "$.at: '31 January' is not a 'date'"),
        ({"price": 1, "code": "B"}, "$.code: 'B' does not match '^[a-z]+$'"),
        ({"price": 1, "either": 1.5}, "$.either: expected integer or 'none', got 1.5"),
        ({"price": 1, "a b": 1}, "$: Additional properties are not allowed ('a b' was unexpected)"),
        ({"price": "x" * 300}, "$.price: expected number, got 'xxx"),
    ],
)
def test_what_does_not_is_told_with_its_place_what_was_expected_and_what_was_got(
    item: object, told: str
) -> None:
    with pytest.raises(ContractBroken) as caught:
        contract_check(ROW, "rows")(item)

    [line] = str(caught.value).splitlines()
    assert line.startswith("queue 'rows': ")
    assert told in line
    assert len(line) < 400


def test_the_first_three_are_told_and_that_there_are_more() -> None:
    with pytest.raises(ContractBroken, match=r"\$\[0\].*\$\[1\].*\$\[2\].*; and more$"):
        contract_check({"items": {"type": "string"}}, "q")([1, 2, 3, 4])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers(), inner),
    )
)
def test_any_item_is_let_through_or_refused_in_one_line(item: object) -> None:
    try:
        assert item is contract_check(ROW, "rows")(item)
    except ContractBroken as broken:
        assert str(broken).isprintable()


@pytest.mark.parametrize(
    ("schema", "path", "told"),
    [
        ({"type": "nmuber"}, ("type",), "got 'nmuber'; did you mean 'number'?"),
        ({"properties": {"a": {"minimum": "1"}}}, ("properties", "a", "minimum"), "expected number, got '1'"),
        ({"required": "price"}, ("required",), "expected array, got 'price'"),
        ({"pattern": "("}, ("pattern",), "is not a 'regex'"),
        (
            {"items": {"$ref": "#/$defs/tga"}},
            ("items", "$ref"),
            "'#/$defs/tga' leads to nothing in this schema",
        ),
        ({"$ref": "tag.json"}, ("$ref",), "'tag.json' is in another document, which no worker loads"),
    ],
)
def test_a_schema_that_is_none_is_told_of_at_the_key(
    schema: Mapping[str, Any], path: tuple[str, ...], told: str
) -> None:
    [(found, message)] = faults_of_contract(schema)

    assert path == found
    assert told in message


def test_a_good_schema_has_no_fault_in_any_dialect() -> None:
    old = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"a": {}},
        "$ref": "#/definitions/a",
    }

    assert [] == [*faults_of_contract(ROW), *faults_of_contract(old), *faults_of_contract({})]
