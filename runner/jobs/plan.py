"""The plan of a workflow with jobs: which jobs it has, one stage of workers, one queue that is fed from inside. Pure.

JobSpecs ──select_jobs──► those that are asked for, with what they need
         ──plan_jobs────► Plan: scheduler (in the supervisor) ── ready ──► worker-1 … worker-N, each a `JobRunner`
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from runner.jobs.selection import Selection, select_jobs
from runner.spec.failures import OnError, RestartPolicy
from runner.spec.model import HandlerRef, Role, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, QueuePlan, StagePlan, WorkerPlan, make_plan
from runner.spec.resources import QueueSpec

QUEUE: Final = "ready"
STAGE: Final = "jobs"

_WITHOUT_NAMES: Final = Selection()
_HANDLER = HandlerRef("python", "runner.jobs.executor.runner:JobRunner")
_RESTART = RestartPolicy(max=1000, within=60.0)
"""A job that kills its worker has its own `attempts`; what this bounds is a machine on which no worker stays alive."""


def plan_for(
    spec: WorkflowSpec, workers: int | None = None, selection: Selection | None = _WITHOUT_NAMES
) -> Plan:
    """
    Lay out a run of a checked workflow. `workers` is how many jobs run at once; None is one for each core.

    A `selection` of None is all jobs of the file, those too that run only where they are named.

    Raises:
        UsageError: `select_jobs` says no.
    """
    if not spec.jobs:
        return make_plan(spec)
    jobs = spec.jobs if selection is None else select_jobs(spec.jobs, selection, spec.default)
    return plan_jobs(replace(spec, jobs=jobs), workers or len(os.sched_getaffinity(0)))


def plan_jobs(spec: WorkflowSpec, workers: int) -> Plan:
    """Lay out a run of the jobs of `spec`, of which up to `workers` run at once."""
    legs = [leg for job in spec.jobs for leg in job.legs]
    beyond = sum(
        leg.background for leg in legs
    )  # each goes on for as long as others run: it has a worker of its own
    count = max(1, min(workers, len(legs) - beyond) + beyond)
    names = [f"worker-{number}" for number in range(1, count + 1)]
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
        contexts=spec.contexts,
        context_sources=spec.context_sources,
        env=spec.env,
        given=spec.given,
        resume=spec.resume,
        notify=spec.notify,
    )


def most_at_once(plan: Plan) -> int:
    """Return how many jobs of a plan run at once, beside those in the background."""
    return len(plan.workers) - sum(leg.background for job in plan.jobs for leg in job.legs)


def part_of(plan: Plan, selection: Selection) -> Plan:
    """Return the plan of a run that has some jobs of another. Raises UsageError: `select_jobs` says no."""
    return replace(plan, jobs=select_jobs(plan.jobs, selection))


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
