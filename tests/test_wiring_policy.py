"""Keys about failures that make no sense for a stage's role."""

from __future__ import annotations

from typing import Any

import pytest

from runner.findings import Spoilt
from runner.spec import HandlerRef, RestartOn, RestartPolicy, StageSpec
from runner.wiring_policy import check_policy

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
        ({"sends": "q", "deterministic": True}, []),
    ],
)
def test_each_key_fits_the_role(keys: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = check_policy([stage(**keys)])

    assert expected == [(finding.code, finding.path[2]) for finding in found]


def test_a_role_that_is_not_known_is_not_judged() -> None:
    spoilt = Spoilt(frozenset({("stages", "chef", "from")}))

    assert [] == check_policy([stage(sends="q", restart=ALWAYS)], spoilt)
