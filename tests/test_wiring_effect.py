"""Keys that have no effect beside others."""

from __future__ import annotations

from typing import Any

import pytest

from runner.findings import Spoilt
from runner.problems import Severity
from runner.wiring_effect import check_effect


def check(keys: dict[str, Any], spoilt: Spoilt = Spoilt()) -> list[tuple[str, str]]:  # noqa: B008 - frozen
    """The last key of each finding, and how grave it is."""
    found = check_effect({"stages": {"eater": {"from": "q", **keys}}}, spoilt)
    assert {"no-effect"} >= {finding.code for finding in found}
    return [(str(finding.path[-1]), str(finding.severity)) for finding in found]


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
    (found,) = check_effect({"stages": {"chef": {"to": "q", "retry": {"attempts": 3}}}}, Spoilt())

    assert (("stages", "chef", "retry"), Severity.WARNING) == (found.path, found.severity)


def test_what_stages_have_by_default_is_judged_once_and_fits_those_that_it_fits() -> None:
    usual = {"retry": {"attempts": 3}, "restart": {"on": "never", "max": 3}}
    data = {"defaults": {"stage": usual}, "stages": {"chef": {"to": "q"}, "eater": {"from": "q"}}}

    (found,) = check_effect(data, Spoilt())

    assert ("defaults", "stage", "restart", "max") == found.path


def test_what_is_not_known_is_not_judged() -> None:
    spoilt = Spoilt(frozenset({("stages", "eater", "retry")}))

    assert [] == check({"retry": {"backoff": "5s"}}, spoilt)
