"""What is let through without jsonschema is what jsonschema would let through."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from runner.loader.interpolation import replace_references
from runner.loader.schema.fitting import surely_fits
from runner.loader.schema.validate import schema_for
from runner.spec.source.reader import read

KEYS = st.sampled_from(["a", "b", "x-c", "a b"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats(-2, 3)
    | st.sampled_from([float("inf"), "", "a", "ab", "x-c"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.integers(0, 1), inner, max_size=3),
    max_leaves=6,
)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "array", "object", "null"])
BOUNDS = st.integers(0, 2)
PATTERNS = st.sampled_from(["^x-", "a", "b$"])
LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "type": TYPES | st.lists(TYPES, min_size=1, max_size=2),
    "enum": st.lists(SCALARS, min_size=1, max_size=3),
    "const": SCALARS,
    "pattern": PATTERNS,
    "required": st.lists(KEYS, max_size=2, unique=True),
    "uniqueItems": st.just(True),
    "title": st.just("a thing"),
    "x-note": st.just(1),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), BOUNDS),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), BOUNDS),
    **dict.fromkeys(("minProperties", "maxProperties"), BOUNDS),
}


def _with(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    each = inner | st.booleans()
    branches = {
        **dict.fromkeys(("items", "not", "propertyNames", "additionalProperties", "contains"), each),
        **dict.fromkeys(("anyOf", "oneOf"), st.lists(each, min_size=1, max_size=2)),
        "properties": st.dictionaries(KEYS, each, max_size=2),
        "patternProperties": st.dictionaries(PATTERNS, each, max_size=2),
    }
    return st.fixed_dictionaries({}, optional={**LEAVES, **branches})


FRAGMENTS = st.recursive(st.fixed_dictionaries({}, optional=LEAVES), _with, max_leaves=3)


@given(FRAGMENTS, VALUES)
@example({"uniqueItems": True}, [1, True])
@example({"enum": [1]}, True)
@example({"not": {"enum": [1]}}, 1.0)
@example({"additionalProperties": False, "properties": {"a": {}}}, {"b": 1})
def test_what_surely_fits_has_nothing_wrong_for_jsonschema(fragment: Any, value: Any) -> None:
    if surely_fits(fragment, value):
        assert [] == [error.message for error in Draft202012Validator(fragment).iter_errors(value)]


@pytest.mark.parametrize(
    ("fragment", "value"),
    [
        ({"type": ["integer", "null"], "minimum": 1, "exclusiveMaximum": 3}, 2),
        ({"type": "number", "maximum": 1}, 0.5),
        ({"type": "string", "pattern": "^a", "minLength": 1, "title": "a word"}, "ab"),
        ({"enum": ["a", "b"]}, "b"),
        ({"items": {"type": "string"}, "uniqueItems": True, "minItems": 1}, ["a", "b"]),
        ({"properties": {"a": {"type": "null"}}, "additionalProperties": False}, {"a": None}),
        ({"patternProperties": {"^x-": {}}, "additionalProperties": False}, {"x-c": 1}),
        ({"propertyNames": {"pattern": "^a"}, "required": ["a"], "maxProperties": 1}, {"a": 1}),
        ({"not": {"required": ["a", "b"], "description": "keep one"}}, {"a": 1}),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"b": 1}),
    ],
)
def test_each_keyword_of_the_own_schema_is_known(fragment: dict[str, Any], value: Any) -> None:
    assert surely_fits(fragment, value)


def test_shipped_workflows_of_stages_are_let_through(checkout: Path) -> None:
    sources = {file.name: read(file) for file in (checkout / "workflows").rglob("*.yaml")}
    data = {
        name: replace_references(source, {}, {}).data
        for name, source in sources.items()
        if "stages" in source.data
    }

    assert len(data) > 10
    assert [] == [name for name, each in data.items() if not surely_fits(schema_for(each), each)]


def test_a_file_with_nothing_wrong_is_checked_without_jsonschema(checkout: Path) -> None:
    code = "import sys; from runner.loader.load import load; load(sys.argv[1]); sys.exit('jsonschema' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, checkout / "workflows/baozi.yaml"], check=False)

    assert done.returncode == 0
