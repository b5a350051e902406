"""Tests in a workflow file: what they give, what goes wrong meanwhile, and what is to come of it.

    tests:
      clean drops bad rows: {stage: clean, items: [{a: 1}, {a: x}], expect: {outputs: [{a: 1}], failures: […]}}
      whole: {replace: {read: {items: […]}, save: collect}, faults: [{kill: {…}}], expect: {outputs: {save: […]}}}

Nobody but `mprun test` looks at them once they are checked, so a run neither waits for them nor carries them along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from runner.facts import dataclass
from runner.spec.file_tests.faults import FaultSpec, fault_schema, read_faults
from runner.spec.keys import (
    DURATION,
    NAME,
    TEXT,
    Fragment,
    Key,
    Shape,
    choice,
    closed_mapping,
    declares,
    integer,
    key,
    mapping,
    named,
    text,
    texts,
    values_of,
)
from runner.spec.model import HANDLER_PATTERN, TRANSPORTS

TEST_TIMEOUT = 60.0
ANY_ITEM: Any = object()
"""Where an expected failure does not say which item it is of."""


class Stand(StrEnum):
    """What a stage of the workflow is in a test, where it is not given items."""

    COLLECT = "collect"
    REAL = "real"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class ExpectedFailure:
    """An item that is to fail for good."""

    item: Any = key(Shape({}), "The item; left out, any.", default=ANY_ITEM, shown=None)
    error: str = key(
        TEXT,
        "The exception, as `Type: message`; `…` stands for anything.",
        default="…",
        more={"examples": ["ValueError: …"]},
    )
    stage: str | None = key(NAME, "Where; left out, anywhere.", default=None)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is to come of a test. What is left out is not looked at, but for failures and the exit code: no item is to
    fail, and the exit code is to be 0."""

    outputs: Any = key(
        Shape({"type": ["array", "object"], "title": "a list of items, or lists by the names of stages"}),
        "What comes out: of the stage, as a list, or where it writes to several queues a list for each; of the "
        "workflow, a list for each stage with `collect`. The order "
        "counts where it is certain: behind stages with one worker, or with `order: keep`.",
        default=None,
    )
    failures: tuple[ExpectedFailure, ...] = key(
        Shape(
            {
                "type": "array",
                "items": closed_mapping(ExpectedFailure),
                "title": "a list of failures",
            },
            lambda written: tuple(ExpectedFailure(**values_of(ExpectedFailure, each)) for each in written),
        ),
        "The items that fail for good, in any order.",
        default=(),
        more={"examples": [[{"item": {"a": "x"}, "error": "ValueError: …"}]]},
    )
    exit: int = key(integer(0, 255), "The exit code of the run.", default=0)
    ledger: Mapping[str, Mapping[str, int]] = key(
        Shape(
            named(
                {
                    "type": "object",
                    "title": "counts by name",
                    "properties": {
                        "put": {**integer(0).fragment, "description": "Items put on it."},
                        "done": {**integer(0).fragment, "description": "Items that are done."},
                        "dropped": {**integer(0).fragment, "description": "Items that were given up."},
                        "dead_lettered": {**integer(0).fragment, "description": "Items that were set aside."},
                    },
                    "additionalProperties": False,
                },
                "Counts by queue.",
            )
        ),
        "What the ledger says of queues, by their names. Counts that are left out are not looked at.",
        default_factory=dict,
        more={"examples": [{"rows": {"put": 100, "done": 100}}]},
    )
    said: frozenset[str] = frozenset()
    """The keys that the file has."""


def _read_expectation(**given: Any) -> Expectation:
    declared = {"outputs", "failures", "exit", "ledger"}
    return Expectation(**given, said=frozenset(given) & declared)


_ITEMS: Any = {
    "type": ["array", "string"],
    "pattern": HANDLER_PATTERN,
    "title": "a list of items, or `module:callable`, which makes them",
}
_REPLACEMENT: Any = {
    "type": ["object", "string"],
    "title": f"{{items: […]}}, or one of {', '.join(Stand)}",
    "pattern": f"^({'|'.join(Stand)})$",
    "properties": {"items": {**_ITEMS, "description": "For a source: the items that it makes here."}},
    "required": ["items"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class FileTest:
    """One test: of one stage alone, with `stage` and `items`, or of the whole workflow, with `replace`."""

    name: str
    expect: Expectation = field(
        metadata=declares(Key(mapping(Expectation, read=_read_expectation), "What is to come of it."))
    )
    description: str = key(TEXT, "What it is about.", default="")
    stage: str | None = key(
        NAME, "The one stage that is tested, alone. Without it, it is the workflow.", default=None
    )
    items: Any = key(
        Shape(_ITEMS),
        "What the stage gets: a list, or `module:callable` of a function beside the file that makes the items, for "
        "such as YAML can't write.",
        default=None,
        more={"examples": [[{"a": 1}, {"a": "x"}]]},
    )
    replace: Mapping[str, Any] = key(
        Shape(named(_REPLACEMENT, "Stages by name.")),
        "What stands for each stage of the workflow that makes items or takes them out. A source: "
        "`{items: […]}`. A sink: `collect`, which keeps what it gets for `outputs`. `real`: a handler in Python that"
        "does nothing outside, and runs as it is. `skip`: the stage is left out, and nobody waits for it. A source or "
        "a sink that is not named here is a problem: a test neither reads nor writes what is not in it.",
        default_factory=dict,
        more={"examples": [{"read": {"items": [1, 2]}, "save": "collect"}]},
    )
    faults: tuple[FaultSpec, ...] = key(
        Shape({"type": "array", "items": fault_schema(), "title": "a list of faults"}, read_faults),
        "What goes wrong meanwhile. One that is never reached fails the test.",
        default=(),
        more={"examples": [[{"kill": {"stage": "clean", "at_item": 50}}]]},
    )
    files: tuple[str, ...] = key(
        texts(text(minLength=1), "the path of a file or folder, or a list of paths"),
        "Files and folders that its handlers are to find in the folder that they work in, which is a new one for each "
        "test: they are copied there, under these paths. Paths start at the folder of this file.",
        default=(),
        more={"examples": ["testdata", ["testdata/cat.jpg", "rates.csv"]]},
    )
    params: Mapping[str, Any] = key(
        Shape({"type": "object"}),
        "Params of the workflow that have another value here.",
        default_factory=dict,
    )
    transport: str | None = key(
        choice(TRANSPORTS),
        "The transport, instead of the workflow's own. `inline` is the quickest, and knows no deaths.",
        default=None,
    )
    timeout: float = key(DURATION, "The longest that it may take.", default=TEST_TIMEOUT, shown="60s")


def file_tests_of(data: Mapping[str, Any]) -> tuple[FileTest, ...]:
    """Return the tests in the data of a file, which fits the schema."""
    return tuple(
        FileTest(name, **values_of(FileTest, keys))
        for name, keys in (data.get("tests") or {}).items()
        if isinstance(keys, dict) and isinstance(keys.get("expect"), dict)
    )


def file_tests_schema() -> Fragment:
    """Return the schema of `tests`."""
    return named(
        closed_mapping(FileTest),
        "Tests by name, which `mprun test` runs. References in them stay as they are.",
    )
