"""The demo of jobs has each key that the schema has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from runner.loader.schema.jobs import jobs_section

DEMO = Path(__file__).resolve().parent.parent.parent / "workflows" / "jobs-demo.yaml"
_ALIKE = {"steps": "", "ensure": "", "services": ""}
"""Their keys are mostly those of a job, and are shown where they say most."""


def in_schema(schema: Any, under: str) -> Iterator[tuple[str, str]]:
    """Yield the keys of a schema, each after the key that it stands under."""
    for key, below in schema.get("properties", {}).items():
        yield under, key
        yield from in_schema(below, _ALIKE.get(key, key))
    for more in ("items", "additionalProperties"):
        if isinstance(schema.get(more), dict):
            yield from in_schema(schema[more], under)


def in_data(data: Any, under: str) -> Iterator[tuple[str, str]]:
    """Yield the keys of some data in the same way."""
    if isinstance(data, list):
        for entry in data:
            yield from in_data(entry, under)
    elif isinstance(data, dict):
        for key, below in data.items():
            yield under, key
            named = below.values() if key == "services" else [below]
            for each in named:
                yield from in_data(each, _ALIKE.get(key, key))


def test_the_demo_has_each_key_that_there_is() -> None:
    jobs = yaml.safe_load(DEMO.read_text(encoding="utf-8"))["jobs"]
    used = {pair for job in jobs.values() for pair in in_data(job, "")}
    known = set(in_schema(jobs_section(), ""))

    assert len(known) > 40
    assert set() == known - used
