"""What things are called in messages."""

from __future__ import annotations

from typing import Any

import pytest

from runner.loader.schema.wording import expected, subject


@pytest.mark.parametrize(
    ("fragment", "words"),
    [
        ({"type": "integer", "minimum": 1}, "an integer of at least 1"),
        ({"type": "integer", "minimum": 1, "maximum": 5}, "an integer from 1 to 5"),
        ({"type": "number", "maximum": 5}, "a number of at most 5"),
        ({"type": "number", "exclusiveMinimum": 0}, "a number above 0"),
        ({"type": ["integer", "string"]}, "an integer or text"),
        ({"type": "string", "minLength": 1}, "text that is not empty"),
        ({"type": "string", "minLength": 2, "maxLength": 3}, "text with from 2 to 3 characters"),
        ({"type": "string", "pattern": "^a"}, "text that matches ^a"),
        ({"type": "boolean"}, "true or false"),
        ({"type": "array", "minItems": 1}, "a list with at least 1 entries"),
        ({"type": "object"}, "a mapping"),
        ({"enum": ["fail", 1, None]}, "one of fail, 1, null"),
        ({"anyOf": [{"type": "integer"}, {"const": "all"}]}, "an integer or all"),
        ({"type": "string", "title": "a duration"}, "a duration"),
        ({}, "another value"),
    ],
)
def test_what_a_fragment_expects(fragment: dict[str, Any], words: str) -> None:
    assert words == expected(fragment)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ((), "the workflow"),
        (("name",), "'name'"),
        (("limits", "timeout"), "'limits.timeout'"),
        (("queues", "steamer"), "queue 'steamer'"),
        (("stages", "chef", "count"), "'count' of stage 'chef'"),
        (("stages", "chef", "names", 1), "entry 2 of 'names' of stage 'chef'"),
        (("params", "p", "type"), "'type' of param 'p'"),
        (("stages",), "'stages'"),
    ],
)
def test_what_a_path_is_about(path: tuple[str | int, ...], words: str) -> None:
    assert words == subject(path)
