"""Pages of reference: every key is on them, once, with what the schema says of it; those in docs/ are fresh."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.cli.main import main
from runner.handlers.registry import built_in_kinds
from runner.loader.schema.reference_page import TO_READ, schema_page
from runner.loader.schema.workflow import workflow_schema

PAGES = {"reference.md": "workflow", "events.md": "event", "report.md": "report"}


def page_of(**properties: Any) -> str:
    return schema_page({"title": "Kitchen", "properties": properties})


@pytest.mark.parametrize(("page", "which"), PAGES.items())
def test_the_page_in_docs_is_fresh(
    checkout: Path, capsys: pytest.CaptureFixture[str], page: str, which: str
) -> None:
    main(["schema", which, "--format", "markdown"])

    fresh = capsys.readouterr().out
    if os.environ.get("UPDATE_DOCS"):
        (checkout / "docs" / page).write_text(fresh, encoding="utf-8")
    written = (checkout / "docs" / page).read_text(encoding="utf-8")
    assert fresh == written, f"run: mprun schema {which} --format markdown > docs/{page}"


def test_every_key_of_a_workflow_has_its_line() -> None:
    schema = workflow_schema(built_in_kinds())
    stage = schema["properties"]["stages"]["additionalProperties"]

    section = re.search(r"## `stages.<name>`\n(.*?)\n## ", schema_page(schema), re.DOTALL)

    assert section is not None
    assert list(stage["properties"]) == re.findall(r"^- `([^`]+)`:", section[1], re.MULTILINE)


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ({"type": "boolean", "description": "Whether."}, "- `key`: true or false. Whether."),
        ({"type": "string", "pattern": "^x", "description": "A word."}, "- `key`: text. A word."),
        ({"title": "a number of buns", "type": "integer"}, "- `key`: a number of buns."),
        ({"enum": ["a", 1], "description": "Pick."}, "- `key`: one of `a`, `1`. Pick."),
        ({"type": "integer", "default": 3}, "- `key`: an integer. Default: `3`."),
        ({"type": "string", "examples": ["x", ["y"]]}, '- `key`: text. Such as `x`, `["y"]`.'),
        ({"description": "Anything."}, "- `key`: Anything."),
    ],
)
def test_a_line_says_what_the_value_is_and_means(fragment: dict[str, Any], expected: str) -> None:
    assert expected == page_of(key=fragment).splitlines()[-1]


def test_what_a_mapping_holds_has_a_section_of_its_own() -> None:
    keys = {"type": "object", "properties": {"size": {"type": "integer"}}}
    nested = {"one": keys, "named": {"additionalProperties": keys}, "listed": {"items": keys}}

    page = schema_page({"title": "Kitchen", "properties": nested}, TO_READ)

    assert ["one", "named.<name>", "listed[]"] == re.findall(r"^## `(.*)`$", page, re.MULTILINE)


def test_a_key_that_is_declared_once_and_used_twice_is_described_once() -> None:
    size = {"type": "integer", "description": "How big."}
    keys = {"type": "object", "properties": {"size": size}}

    page = page_of(stage=keys, defaults=keys)

    assert (1, 1) == (page.count("How big."), page.count("- `size`: as in `stage`."))


def test_a_document_of_several_kinds_says_first_what_all_have() -> None:
    when = {"type": "string", "description": "When."}
    kinds = [
        {"title": title, "properties": {"at": when, "event": {"const": title}, title: {"type": "string"}}}
        for title in ("one", "two")
    ]

    page = schema_page({"title": "Event", "oneOf": kinds}, TO_READ)

    assert ["at", "one", "two"] == re.findall(r"^- `(.*?)`", page, re.MULTILINE)


@pytest.mark.parametrize("line", ["- `x-…`: Ignored", "(required)", "## `limits`"])
def test_the_page_of_workflows_shows(line: str) -> None:
    assert line in schema_page(workflow_schema(built_in_kinds()))


@pytest.mark.slow
def test_the_command_prints_the_page(run_mprun: Callable[..., Any]) -> None:
    done = run_mprun("schema", "report", "--format", "markdown")

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("# mprun report\n")
