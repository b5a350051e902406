"""Keys that have no effect beside others."""

from __future__ import annotations

from typing import Any

import pytest

from runner.loader.checks.stages import check_effect
from runner.spec.diagnostics import Severity, UnknownPaths


def check(keys: dict[str, Any], unknowns: UnknownPaths = UnknownPaths()) -> list[tuple[str, str]]:  # noqa: B008 - frozen
    """The last key of each diagnostic, and how grave it is."""
    found = check_effect({"stages": {"eater": {"from": "q", **keys}}}, unknowns)
    assert {"no-effect"} >= {diagnostic.code for diagnostic in found}
    return [(str(diagnostic.path[-1]), str(diagnostic.severity)) for diagnostic in found]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"retry": {"attempts": 3, "backoff": "5s", "on": "OSError"}}, []),
        ({"retry": {"attempts": 1}}, []),
        ({"retry": {"backoff": "5s"}}, [("backoff", "warning")]),
        ({"retry": {"attempts": 1, "on": "OSError"}}, [("on", "warning")]),
        ({"retry": {"attempts": 3, "backoff": "5s", "max_backoff": "1s"}}, [("max_backoff", "error")]),
        ({"retry": {"attempts": 3, "backoff": "5s", "max_backoff": "5s"}}, []),
        ({"restart": {"on": "never", "max": 3, "within": "1m"}}, [("max", "warning"), ("within", "warning")]),
        ({"restart": {"on": "crash", "max": 3}}, []),
        ({"restart": {"max": 3}}, []),
        ({"restart": "never"}, []),
    ],
)
def test_what_another_key_takes_the_effect_from_is_told(
    keys: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert expected == check(keys)


def test_a_stage_that_takes_no_items_has_none_to_try_again() -> None:
    (found,) = check_effect({"stages": {"chef": {"to": "q", "retry": {"attempts": 3}}}}, UnknownPaths())

    assert (("stages", "chef", "retry"), Severity.WARNING) == (found.path, found.severity)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"to": "q", "on_error": "skip"}, ["on_error"]),
        ({"on_error": "dead_letter", "state": "none"}, ["on_error", "state"]),
        ({"to": "q", "on_error": "fail"}, []),
        ({"from": "q", "on_error": "skip"}, []),
    ],
)
def test_what_is_said_of_items_has_no_effect_where_none_are_taken(
    keys: dict[str, Any], expected: list[str]
) -> None:
    found = check_effect({"stages": {"chef": keys}}, UnknownPaths())

    assert expected == [diagnostic.path[2] for diagnostic in found]
    assert {Severity.WARNING} >= {diagnostic.severity for diagnostic in found}


@pytest.mark.parametrize(
    ("run", "schema"), [({"jsonl": {"path": "x"}}, False), ("m:f", True)], ids=["a source", "a contract"]
)
def test_items_of_a_producer_that_can_fail_go_their_way(run: object, schema: bool) -> None:
    queues = {"q": {"schema": {}}} if schema else {"q": None}
    stages = {"chef": {"run": run, "to": "q", "on_error": "skip"}}

    assert [] == check_effect({"queues": queues, "stages": stages}, UnknownPaths())


def test_what_stages_have_by_default_is_judged_once_and_fits_those_that_it_fits() -> None:
    usual = {"retry": {"attempts": 3}, "restart": {"on": "never", "max": 3}}
    data = {"defaults": {"stage": usual}, "stages": {"chef": {"to": "q"}, "eater": {"from": "q"}}}

    (found,) = check_effect(data, UnknownPaths())

    assert ("defaults", "stage", "restart", "max") == found.path


def test_what_is_not_known_is_not_judged() -> None:
    unknowns = UnknownPaths(frozenset({("stages", "eater", "retry")}))

    assert [] == check({"retry": {"backoff": "5s"}}, unknowns)


def test_to_say_what_becomes_of_state_is_for_those_who_take_items() -> None:
    found = check_effect({"stages": {"chef": {"to": "q", "state": "none"}}}, UnknownPaths())

    assert [("stages", "chef", "state")] == [diagnostic.path for diagnostic in found]
