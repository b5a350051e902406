"""The plan of a run of jobs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from jobs_specs import job

from runner.jobs.plan import QUEUE, STAGE, plan_for, plan_jobs
from runner.spec.jobs.model import JobSpec
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.resume import ResumePolicy


def workflow(*jobs: JobSpec) -> WorkflowSpec:
    return WorkflowSpec("w", Path("w.yaml"), (), jobs=jobs)


@pytest.mark.parametrize(("legs", "workers", "expected"), [(5, 2, 2), (2, 8, 2), (1, 1, 1)])
def test_there_are_as_many_workers_as_can_be_of_use(legs: int, workers: int, expected: int) -> None:
    plan = plan_jobs(workflow(job("a", legs=legs)), workers)

    assert expected == len(plan.workers)


def test_one_stage_reads_one_queue_that_is_fed_from_inside() -> None:
    plan = plan_jobs(workflow(job("a"), job("b")), 2)

    [stage], [queue] = plan.stages, plan.queues
    assert (STAGE, QUEUE, ()) == (stage.name, stage.receives, stage.targets)
    assert (QUEUE, (), ("worker-1", "worker-2"), True) == (
        queue.name,
        queue.writers,
        queue.readers,
        queue.fed,
    )


def test_what_the_file_says_of_going_on_holds_for_jobs_too() -> None:
    said = ResumePolicy(fsync=True, keeps=False)

    assert said == plan_jobs(replace(workflow(job("a")), resume=said), 1).resume


def test_nothing_is_imported_from_beside_the_users_file() -> None:
    [worker] = plan_jobs(WorkflowSpec("w", Path("/somewhere/w.yaml"), (), jobs=(job("a"),)), 1).workers

    assert Path(worker.beside) / "runner" / "jobs" / "executor" / "runner.py" in Path(worker.beside).rglob(
        "runner.py"
    )


def test_a_workflow_of_stages_is_planned_as_ever() -> None:
    stage = StageSpec("s", HandlerRef("python", "m:f"), workers=("s-1",))

    plan = plan_for(WorkflowSpec("w", Path("w.yaml"), (stage,)), 3)

    assert (["s"], ()) == ([each.name for each in plan.stages], plan.jobs)
