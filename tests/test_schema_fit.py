"""Whether a value plainly fits a schema: never yes where jsonschema says no, and yes for what people write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from runner.handlers.base import built_in_kinds
from runner.schema import workflow_schema
from runner.schema_fit import plainly_fits
from runner.source import read

WORKFLOWS = Path(__file__).resolve().parent.parent / "workflows"

# Schema, values that plainly fit, values for which jsonschema is asked.
RULES: list[tuple[Any, list[Any], list[Any]]] = [
    (True, [1, "a", None, {}], []),
    (False, [], [1, "a", None, {}]),
    ({}, [1, "a", [], {"a": {"b": 1}}], [object(), (1,), {1: "a"}]),
    ({"type": "string"}, ["a"], [1, None, [], {}]),
    ({"type": "integer"}, [1], [True, 1.0, "1"]),
    ({"type": "number"}, [1, 1.5], [True]),
    ({"type": "boolean"}, [True], [1]),
    ({"type": "null"}, [None], [False]),
    ({"type": ["string", "array"]}, ["a", []], [1, {}]),
    ({"enum": ["a", 1]}, ["a", 1], ["b", True, 1.0, []]),
    ({"minimum": 1, "maximum": 3}, [1, 3, 2.5, "a", True], [0, 4, float("nan")]),
    ({"exclusiveMinimum": 0}, [1, 0.1], [0]),
    ({"pattern": "^a", "minLength": 2, "maxLength": 3}, ["ab", "abc", 1], ["a", "abcd", "ba"]),
    ({"items": {"type": "string"}, "minItems": 1, "maxItems": 2}, [["a"], "a"], [[], [1], ["a"] * 3]),
    ({"uniqueItems": True}, [["a", "b"]], [["a", "a"], [1, 2]]),
    ({"required": ["a"], "minProperties": 1, "maxProperties": 2}, [{"a": 1}, 1], [{}, {"b": 1}]),
    ({"properties": {"a": {"type": "string"}}}, [{"a": "b"}, {"b": 1}], [{"a": 1}]),
    ({"properties": {"a": True}, "additionalProperties": False}, [{"a": 1}, {}], [{"b": 1}]),
    ({"patternProperties": {"^x-": {"type": "string"}}}, [{"x-a": "b"}, {"a": 1}], [{"x-a": 1}]),
    ({"patternProperties": {"^x-": {}}, "additionalProperties": False}, [{"x-a": 1}], [{"a": 1}]),
    ({"propertyNames": {"pattern": "^a"}}, [{"ab": 1}], [{"b": 1}]),
    ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, [{"a": 1}, {"b": 1}], [{}]),
    ({"not": {"required": ["a", "b"]}}, [{"a": 1}], [{"a": 1, "b": 1}, "a"]),
    ({"not": {"type": "object"}}, [], [{}, "a"]),
    ({"oneOf": [{}]}, [], [1]),
    ({"properties": {"a": {"format": "date"}}}, [{}], [{"a": "b"}]),
]


@pytest.mark.parametrize(("schema", "fitting"), [(schema, fitting) for schema, fitting, _ in RULES], ids=repr)
def test_what_fits_by_the_keywords_of_the_workflow_schema_fits_plainly(
    schema: Any, fitting: list[Any]
) -> None:
    assert [True for _ in fitting] == [plainly_fits(schema, value) for value in fitting]
    assert [True for _ in fitting] == [Draft202012Validator(schema).is_valid(value) for value in fitting]


@pytest.mark.parametrize(("schema", "unsure"), [(schema, unsure) for schema, _, unsure in RULES], ids=repr)
def test_what_may_not_fit_is_left_to_jsonschema(schema: Any, unsure: list[Any]) -> None:
    assert [False for _ in unsure] == [plainly_fits(schema, value) for value in unsure]


KEYWORDS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(
        ["string", "integer", "number", "boolean", "array", "object", ["string", "array"]]
    ),
    "enum": st.lists(st.sampled_from(["a", 1, True, 1.0, 0]), min_size=1, max_size=3),
    "minimum": st.integers(-1, 2),
    "maximum": st.integers(-1, 2),
    "exclusiveMinimum": st.integers(-1, 1),
    "pattern": st.sampled_from(["^a", "b$", "^[ab]+$"]),
    "minLength": st.integers(0, 2),
    "maxLength": st.integers(0, 2),
    "minItems": st.integers(0, 2),
    "maxItems": st.integers(0, 2),
    "uniqueItems": st.booleans(),
    "required": st.lists(st.sampled_from(["a", "b"]), unique=True),
    "minProperties": st.integers(0, 2),
    "maxProperties": st.integers(0, 2),
}


def widened(schemas: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Add the keywords that hold schemas themselves."""
    by_key = st.dictionaries(st.sampled_from(["a", "b"]), schemas)
    return st.fixed_dictionaries(
        {},
        optional={
            **KEYWORDS,
            "items": schemas,
            "properties": by_key,
            "patternProperties": by_key,
            "additionalProperties": schemas,
            "propertyNames": schemas,
            "anyOf": st.lists(schemas, min_size=1, max_size=2),
            "not": schemas,
        },
    )


SCHEMAS = st.recursive(st.booleans() | st.fixed_dictionaries({}, optional=KEYWORDS), widened, max_leaves=4)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 2)
    | st.floats(-1, 2)
    | st.sampled_from(["", "a", "ab", "ba"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "ab"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(SCHEMAS, VALUES)
def test_nothing_fits_plainly_that_jsonschema_refuses(schema: Any, value: Any) -> None:
    assert not plainly_fits(schema, value) or Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize("workflow", sorted(WORKFLOWS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_workflow_that_ships_fits_plainly(workflow: Path) -> None:
    assert plainly_fits(workflow_schema(built_in_kinds()), read(workflow).data)


def test_a_good_file_is_checked_without_waiting_for_jsonschema() -> None:
    check = "import sys; from runner.load import load; load(sys.argv[1]); print('jsonschema' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", check, WORKFLOWS / "baozi.yaml"], capture_output=True, text=True, check=True
    )

    assert "False\n" == told.stdout
