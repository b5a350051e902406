"""The plan of a workflow with jobs: which jobs it has, one stage of workers, one queue that is fed from inside. Pure.

JobSpecs ──select_jobs──► those of `--job`, with what they need
         ──plan_jobs────► Plan: scheduler (in the supervisor) ── ready ──► worker-1 … worker-N, each a `JobRunner`
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from runner.errors import UsageError
from runner.spec.failures import OnError, RestartPolicy
from runner.spec.graph import reachable
from runner.spec.jobs.model import JobSpec
from runner.spec.model import HandlerRef, Role, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, QueuePlan, StagePlan, WorkerPlan, make_plan
from runner.spec.resources import QueueSpec
from runner.spec.suggestions import did_you_mean

QUEUE: Final = "ready"
STAGE: Final = "jobs"

_HANDLER = HandlerRef("python", "runner.jobs.executor.runner:JobRunner")
_RESTART = RestartPolicy(max=1000, within=60.0)
"""A job that kills its worker has its own `attempts`; what this bounds is a machine on which no worker stays alive."""


def plan_for(spec: WorkflowSpec, workers: int | None = None) -> Plan:
    """Lay out a run of a checked workflow. `workers` is how many jobs run at once; None is one for each core."""
    return plan_jobs(spec, workers or len(os.sched_getaffinity(0))) if spec.jobs else make_plan(spec)


def plan_jobs(spec: WorkflowSpec, workers: int) -> Plan:
    """Lay out a run of the jobs of `spec`, of which up to `workers` run at once."""
    legs = sum(len(job.legs) for job in spec.jobs)
    names = [f"worker-{number}" for number in range(1, max(1, min(workers, legs)) + 1)]
    stage = StageSpec(
        STAGE, _HANDLER, workers=tuple(names), receives=QUEUE, description="Workers that run jobs."
    )
    return Plan(
        name=spec.name,
        path=spec.path,
        transport=spec.transport,
        stages=(StagePlan(stage, tuple(map(_worker, names))),),
        queues=(QueuePlan(QueueSpec(QUEUE, None), (), tuple(names), fed=True),),
        limits=spec.limits,
        description=spec.description,
        jobs=spec.jobs,
        params=spec.params,
        env=spec.env,
        given=spec.given,
        resume=spec.resume,
        notify=spec.notify,
    )


def _worker(name: str) -> WorkerPlan:
    return WorkerPlan(
        name=name,
        stage=STAGE,
        role=Role.CONSUMER,
        handler=_HANDLER,
        arguments={},
        receives=QUEUE,
        sends=None,
        daemon=False,
        on_error=OnError.FAIL,
        start_method="fork",
        env={},
        cwd=None,
        nice=0,
        # Not the workflow's folder: nothing of the user's is imported here.
        beside=str(Path(__file__).resolve().parent.parent.parent),
        restart=_RESTART,
    )


def select_jobs(jobs: Sequence[JobSpec], names: Iterable[str]) -> tuple[JobSpec, ...]:
    """
    Return the jobs that are named, with all that they need, in the order of the file.

    A name is that of a job, or the full id of one leg, such as `test (3.11, slow)`: then no other leg of it runs.

    Raises:
        UsageError: there is no such job or leg.
    """
    legs = {leg.id: job for job in jobs for leg in job.legs}
    chosen: dict[str, set[str]] = {}
    for name in names:
        job = next((job for job in jobs if job.name == name), legs.get(name))
        if job is None:
            # A job without a matrix is its own leg.
            known = dict.fromkeys([*(each.name for each in jobs), *legs])
            raise UsageError(f"there is no job '{name}'; {did_you_mean(name, known)}")
        whole = job.name == name
        chosen.setdefault(job.name, set()).update(leg.id for leg in job.legs if whole or leg.id == name)
    by_name = {job.name: job for job in jobs}
    needed = reachable(chosen, lambda name: (need.job for need in by_name[name].needs))
    return tuple(
        replace(
            job, legs=tuple(leg for leg in job.legs if job.name not in chosen or leg.id in chosen[job.name])
        )
        for job in jobs
        if job.name in needed
    )
