"""Keys about failures that make no sense for a stage's role."""

from __future__ import annotations

from typing import Any

import pytest

from runner.loader.checks.stages import check_policy
from runner.spec.commits import BatchSpec
from runner.spec.diagnostics import Severity, UnknownPaths
from runner.spec.failures import RestartOn, RestartPolicy
from runner.spec.model import HandlerRef, StageSpec

ALWAYS = RestartPolicy(on=RestartOn.ALWAYS)


def stage(**keys: Any) -> StageSpec:
    return StageSpec("chef", HandlerRef("python", "m:f"), **keys)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"sends": "q", "restart": ALWAYS}, [("restart-for-ever", "restart")]),
        ({"restart": ALWAYS}, [("restart-for-ever", "restart")]),
        ({"receives": "q", "restart": ALWAYS}, []),
        ({"sends": "q", "restart": RestartPolicy()}, []),
        ({"receives": "q", "deterministic": True}, [("not-a-producer", "deterministic")]),
        ({"receives": "q", "total": 3}, [("not-a-producer", "total")]),
        ({"sends": "q", "deterministic": True}, []),
        ({"sends": "q", "batch": BatchSpec(8)}, [("wrong-role", "batch")]),
        ({"batch": BatchSpec(8)}, [("wrong-role", "batch")]),
        ({"receives": "q", "batch": BatchSpec(8)}, []),
        ({"daemon": True, "until": "main"}, []),
        ({"until": "main"}, [("wrong-role", "until")]),
        ({"daemon": True, "receives": "q", "until": "main"}, [("wrong-role", "until")]),
    ],
)
def test_each_key_fits_the_role(keys: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = check_policy([stage(**keys)])

    assert expected == [(diagnostic.code, diagnostic.path[2]) for diagnostic in found]


def test_a_role_that_is_not_known_is_not_judged() -> None:
    unknowns = UnknownPaths(frozenset({("stages", "chef", "from")}))

    assert [] == check_policy([stage(sends="q", restart=ALWAYS)], unknowns)


@pytest.mark.parametrize(
    ("kind", "keys", "expected"),
    [
        ("timer", {"sends": "q", "workers": ("chef-1", "chef-2")}, [("count", Severity.ERROR)]),
        ("timer", {"sends": "q", "workers": ("neo", "alex")}, [("names", Severity.ERROR)]),
        ("lines", {"sends": "q", "workers": ("chef-1", "chef-2")}, []),
        ("command", {"sends": "q", "workers": ("chef-1", "chef-2")}, [("count", Severity.WARNING)]),
        ("lines", {"sends": "q", "workers": ("chef-1",)}, []),
        ("jsonl", {"receives": "q", "workers": ("chef-1", "chef-2")}, []),
        ("command", {"receives": "q", "sends": "r", "workers": ("chef-1", "chef-2")}, []),
        ("python", {"sends": "q", "workers": ("chef-1", "chef-2")}, []),
    ],
)
def test_no_two_workers_make_the_same_items(
    kind: str, keys: dict[str, Any], expected: list[tuple[str, Severity]]
) -> None:
    found = check_policy([StageSpec("chef", HandlerRef(kind, kind, {"path": "x"}), **keys)])

    assert expected == [(diagnostic.path[2], diagnostic.severity) for diagnostic in found]


@pytest.mark.parametrize(
    ("kind", "options", "why"),
    [
        ("lines", {"path": "a.gz"}, "'a.gz' is one file, and a file in gzip is read from its beginning"),
        ("jsonl", {"path": ["a"], "compression": "xz"}, "'a' is one file, and a file in xz is"),
        (
            "csv",
            {"path": "a.csv"},
            "'a.csv' is one file, and only with `multiline: false` is each line a row",
        ),
        ("csv", {"path": "a.csv", "multiline": False}, None),
        ("csv", {"path": ["a.csv", "b.csv"]}, None),
        ("lines", {"path": "*.gz"}, None),
        ("lines", {"path": "a.log"}, None),
    ],
)
def test_no_worker_stands_idle_beside_the_one_that_reads_the_only_file(
    kind: str, options: dict[str, Any], why: str | None
) -> None:
    handler = HandlerRef(kind, kind, options)

    found = check_policy([StageSpec("chef", handler, workers=("chef-1", "chef-2"), sends="q")])

    assert ([] if why is None else ["unshared-input"]) == [each.code for each in found]
    assert all(str(why) in each.message for each in found)


@pytest.mark.parametrize("kind", ["lines", "jsonl", "csv"])
def test_a_stream_is_read_by_one_worker(kind: str) -> None:
    handler = HandlerRef(kind, kind, {"path": ["x", "-"]})

    (found,) = check_policy([StageSpec("chef", handler, workers=("chef-1", "chef-2"), sends="q")])

    words = (
        "the 2 workers of stage 'chef' can't share what it reads: `-` is one stream, which one worker reads"
    )
    assert ("unshared-input", words) == (found.code, found.message)
