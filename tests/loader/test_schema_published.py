"""The schema for editors: what is written in a file, references and all, and words that every validator takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from runner.handlers.registry import built_in_kinds
from runner.loader.load import check
from runner.loader.schema.published import published
from runner.loader.schema.workflow import workflow_schema
from runner.spec.source.reader import read

SCHEMA = published(workflow_schema(built_in_kinds()))


def values(fragment: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every value that a file may have below the top, with what it must fit; what takes no reference is left out."""
    below = dict(fragment.get("properties", {}))
    below |= {f"[{word}]": fragment[word] for word in ("items", "additionalProperties") if word in fragment}
    for key, each in below.items():
        if isinstance(each, dict) and (path or key not in ("params", "include", "tests")):
            yield f"{path}.{key}", each
            yield from values(each, f"{path}.{key}")


VALUES = dict(values(SCHEMA))


def fits(fragment: dict[str, Any], value: object) -> bool:
    return bool(Draft202012Validator(fragment).is_valid(value))


def test_a_reference_may_stand_for_every_value() -> None:
    assert len(VALUES) > 150
    assert [] == [path for path, fragment in VALUES.items() if not fits(fragment, "${{ params.x }}")]


def test_what_is_no_reference_is_judged_as_before() -> None:
    plain = {"string", "null"}
    typed = {
        path: fragment
        for path, fragment in VALUES.items()
        if fragment.get("pattern", "").startswith(r"^\$\{\{") and not plain >= set(fragment["type"])
    }

    assert len(typed) > 50
    for text in ("3", "x ${{ params.x }}", "${{ params.x"):
        assert [] == [path for path, fragment in typed.items() if fits(fragment, text)]
    assert not fits(VALUES[".limits.timeout"], "ten")
    assert fits(VALUES[".limits.timeout"], "${{ params.x }}s")
    assert not fits(VALUES[".transport"], "laesed")
    assert not fits(VALUES[".stages.[additionalProperties].run"], {"lines": {"path": "a"}, "command": "b"})
    assert not fits(VALUES[".stages.[additionalProperties]"], {"run": "a:b", "count": 2, "names": ["a"]})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"name": "x", "include": "part.yaml"}, True),
        ({"queues": {"q": {}}}, True),
        ({"name": "x"}, False),
        ({"name": "x", "stages": {}, "jobs": {}}, False),
    ],
)
def test_files_that_are_parts_of_a_whole(data: object, expected: bool) -> None:
    assert expected is fits(SCHEMA, data)


def test_it_has_no_word_that_a_strict_validator_or_an_editor_stumbles_over() -> None:
    text = json.dumps(SCHEMA)
    typed = [
        f for f in VALUES.values() if type(f.get("default")) in (int, float) and isinstance(f["type"], list)
    ]

    assert [] == [word for word in ('"x-also', r"\\\\ud800", '"maxProperties"') if word in text]
    assert {"number", "integer"} >= {fragment["type"][0] for fragment in typed}


@pytest.mark.slow
def test_every_file_that_mprun_takes_fits(checkout: Path) -> None:
    files = [*checkout.glob("workflows/**/*.yaml"), *checkout.glob("tests/conformance/jobs/*.yaml")]
    good = [file for file in files if check(file).spec is not None]

    assert len(good) > 100
    assert [] == [file.name for file in good if not fits(SCHEMA, read(file).data)]


def test_a_stage_runs_something_or_uses_a_template() -> None:
    stage = VALUES[".stages.[additionalProperties]"]

    assert fits(
        stage, {"use": "resize.yaml", "with": {"size": 1}, "queues": {"in": "a"}, "stages": {"b": "c"}}
    )
    assert not fits(stage, {"count": 2})


def test_tests_are_judged_as_they_are_written() -> None:
    tests = SCHEMA["properties"]["tests"]

    assert fits(tests, {"t": {"stage": "a", "items": [1], "expect": {"outputs": [1]}}})
    assert not fits(tests, {"t": {"stage": "a", "items": [1], "expect": {"output": [1]}}})
    assert not fits(tests, {"t": {"faults": [{"kill": {"stage": "a"}}], "expect": {}}})
