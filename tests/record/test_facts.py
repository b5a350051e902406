"""What a record says of its run as a whole, and what takes the secrets out of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jobs_specs import job

from runner.jobs.plan import plan_jobs
from runner.record.facts import mask_for
from runner.spec.model import WorkflowSpec


def mask(value: Any) -> Any:
    jobs = (job("a", secrets=("TOKEN",)),)
    found = mask_for(plan_jobs(WorkflowSpec("w", Path("w.yaml"), (), jobs=jobs), 1), {"TOKEN": "hunter2"})
    assert found is not None
    return found(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a hunter2", "a ***"),
        ({"hunter2": ["hunter2", {"x": ("hunter2",)}]}, {"***": ["***", {"x": ["***"]}]}),
        ([1, 2.5, True, None], [1, 2.5, True, None]),
        (Path("/hunter2"), "PosixPath('/***')"),
        (b"hunter2", "b'***'"),
    ],
)
def test_a_secret_is_masked_however_deep_it_stands_and_whatever_it_is_in(value: Any, expected: Any) -> None:
    assert expected == mask(value)


def test_a_run_without_secrets_has_nothing_to_mask() -> None:
    assert mask_for(plan_jobs(WorkflowSpec("w", Path("w.yaml"), (), jobs=(job("a"),)), 1), {}) is None


def test_legs_that_are_called_alike_without_their_secrets_stay_apart() -> None:
    legs = tuple(
        replace(job(name, secrets=("A", "B")).legs[0], id=f"t ({name})") for name in ("abcde", "x", "vwxyz")
    )
    jobs = (replace(job("t"), legs=legs),)
    found = mask_for(WorkflowSpec("w", Path("w.yaml"), (), jobs=jobs), {"A": "abcde", "B": "vwxyz"})

    assert found is not None
    assert ["t (***)", "t (x)", "t (***) #2"] == found([leg.id for leg in legs])
    assert "t (***) #2" == found(found(legs[2].id))
