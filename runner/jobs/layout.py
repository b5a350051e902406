"""The plan of a workflow with jobs: one stage of workers, one queue that is fed from inside. Pure.

JobSpecs ──► Plan:  conductor (in the supervisor) ── ready ──► worker-1 … worker-N, each a `Hand`
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from runner.plan import Plan, QueuePlan, StagePlan, WorkerPlan, make_plan
from runner.spec import HandlerRef, OnError, RestartPolicy, Role, WorkflowSpec

QUEUE: Final = "ready"
STAGE: Final = "jobs"

_HAND = HandlerRef("python", "runner.jobs.hand:Hand")
_RESTART = RestartPolicy(max=1000, within=60.0)
"""A job that kills its worker has its own `attempts`; what this bounds is a machine on which no worker stays alive."""


def plan_for(spec: WorkflowSpec, workers: int | None = None) -> Plan:
    """Lay out a run of a checked workflow. `workers` is how many jobs run at once; None is one for each core."""
    return lay_out(spec, workers or len(os.sched_getaffinity(0))) if spec.jobs else make_plan(spec)


def lay_out(spec: WorkflowSpec, workers: int) -> Plan:
    """Lay out a run of the jobs of `spec`, of which up to `workers` run at once."""
    legs = sum(len(job.legs) for job in spec.jobs)
    names = [f"worker-{number}" for number in range(1, max(1, min(workers, legs)) + 1)]
    stage = StagePlan(
        name=STAGE,
        role=Role.CONSUMER,
        daemon=False,
        receives=QUEUE,
        sends=None,
        needs=(),
        workers=tuple(_worker(name) for name in names),
        description="Workers that run jobs.",
    )
    return Plan(
        name=spec.name,
        path=spec.path,
        transport=spec.transport,
        stages=(stage,),
        queues=(QueuePlan(QUEUE, None, (), tuple(names), fed=True),),
        limits=spec.limits,
        description=spec.description,
        jobs=spec.jobs,
        params=spec.params,
        env=spec.env,
        given=spec.given,
    )


def _worker(name: str) -> WorkerPlan:
    return WorkerPlan(
        name=name,
        stage=STAGE,
        role=Role.CONSUMER,
        handler=_HAND,
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
