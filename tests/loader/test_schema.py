"""The declaration of the file's keys: valid, closed, described, and the same as the file that ships."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from runner.handlers.registry import built_in_kinds
from runner.loader.schema.published import published
from runner.loader.schema.workflow import workflow_schema
from runner.spec.keys import NAME_PATTERN
from runner.spec.limits import SHARE_PATTERN
from runner.spec.source.reader import read_text


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return workflow_schema(built_in_kinds())


def properties(fragment: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that the schema declares, with its own fragment."""
    if isinstance(fragment, dict):
        for key, below in fragment.get("properties", {}).items():
            yield f"{path}.{key}", below
        for step, below in fragment.items():
            if step == "properties":
                for key, inner in below.items():
                    yield from properties(inner, f"{path}.{key}")
            elif isinstance(below, dict):
                yield from properties(below, f"{path}.*")


def shown(fragment: dict[str, Any]) -> list[Any]:
    """The values that a fragment shows to its reader."""
    return [*fragment.get("examples", []), *(fragment[key] for key in ("default",) if key in fragment)]


def test_the_schema_is_a_valid_schema_of_its_draft(schema: dict[str, Any]) -> None:
    faults = list(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema))

    assert [] == faults


def test_the_file_that_ships_is_the_schema_of_the_built_in_kinds(
    checkout: Path, schema: dict[str, Any]
) -> None:
    shipped = (checkout / "schemas" / "workflow.schema.json").read_text(encoding="utf-8")

    assert json.dumps(published(schema), indent=2, ensure_ascii=False) + "\n" == shipped


def test_every_key_is_described(schema: dict[str, Any]) -> None:
    silent = [path for path, fragment in properties(schema) if not fragment.get("description")]

    assert [] == silent


def test_every_mapping_with_known_keys_is_closed(schema: dict[str, Any]) -> None:
    own = workflow_schema({})
    open_ones = [
        path for path, f in properties(own) if "properties" in f and f.get("additionalProperties", True)
    ]

    # A matrix has keys of its author's own beside `include` and `exclude`; those that look misspelt are told of.
    # `to` has queues as its keys, beside `else`.
    assert ([".stages.*.to", ".jobs.*.strategy.matrix"], False) == (open_ones, schema["additionalProperties"])


def test_defaults_and_examples_fit_their_own_keys(schema: dict[str, Any]) -> None:
    wrong = [
        (path, value)
        for path, fragment in properties(schema)
        for value in shown(fragment)
        if not Draft202012Validator(fragment).is_valid(value)
    ]

    assert [] == wrong


def test_a_key_called_on_is_taken_for_text_wherever_the_format_has_one(schema: dict[str, Any]) -> None:
    owners = {path.removesuffix(".on") for path, _ in properties(schema) if path.endswith(".on")}
    lists = {path.split(".")[-2] for path in owners if path.endswith(".*")}
    mappings = {path.split(".")[-1] for path in owners if not path.endswith(".*")}
    entries = [f"{name}: {{on: x}}" for name in mappings] + [f"{name}: [{{on: x}}]" for name in lists]
    text = "\n".join(entries) + "\n"

    assert ({"attempts", "retry", "restart"} <= mappings, {"notify"}) == (True, lists)
    assert () == read_text(text + "x: {" + text.replace("\n", ", ") + "}\n", "w.yaml").traps


def test_each_kind_is_a_key_of_run(schema: dict[str, Any]) -> None:
    run = schema["properties"]["stages"]["additionalProperties"]["properties"]["run"]

    assert set(built_in_kinds()) == set(run["properties"])


@pytest.mark.parametrize(
    "name", ["a", "chef", "neo的包子", "é", "7", "a b", "worker-1", "x.y", "_a", "مرحبا", "🥟"]
)
def test_names_of_any_script_are_welcome(name: str) -> None:
    assert re.search(NAME_PATTERN, name)


@pytest.mark.parametrize(
    "name",
    ["", " ", " a", "a ", "-", "__", "...", "a\n", "a\nb", "\ta", "a\x00", "a\x1b[0m", "a\x85", "\ud800a"],
)
def test_names_that_would_not_show_are_refused(name: str) -> None:
    assert not re.search(NAME_PATTERN, name)


@pytest.mark.parametrize(
    ("text", "fits"),
    [("1%", True), ("0.5%", True), ("100%", True), ("101%", False), ("1", False), ("%", False)],
)
def test_a_share_is_a_part_of_a_hundred(text: str, fits: bool) -> None:
    assert fits == bool(re.search(SHARE_PATTERN, text))
