"""A contender: mprun, by `runner.composition` in a fresh interpreter. Says how long the run itself took.

python by_mprun.py WORKLOAD COUNT MAXSIZE TRANSPORT
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from workloads import WORKLOADS, Workload

from runner.composition import run
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec


def workflow(workload: Workload, count: int, maxsize: int, transport: str) -> WorkflowSpec:
    """The workflow that a file with these stages would give."""
    between = workload.between
    stages = [
        stage("producer", workload.make, workload.producers, workload.each(count), sends="first"),
        stage("consumer", workload.take, workload.consumers, {}, receives="last" if between else "first"),
    ]
    if between is not None:
        stages.append(stage("pipe", between, workload.pipes, {}, receives="first", sends="last"))
    queues = ["first", "last"] if between else ["first"]
    return WorkflowSpec(
        "compare",
        Path(__file__).with_name("compare.yaml"),
        stages=tuple(stages),
        queues=tuple(QueueSpec(name, maxsize) for name in queues),
        transport=transport,
    )


def stage(name: str, handler: Any, workers: int, arguments: dict[str, int], **queues: str) -> StageSpec:
    names = tuple(f"{name}-{number}" for number in range(1, workers + 1))
    return StageSpec(name, HandlerRef("python", f"workloads:{handler.__name__}"), arguments, names, **queues)


if __name__ == "__main__":
    name, items, bound, transport = sys.argv[1:]
    report = run(make_plan(workflow(WORKLOADS[name], int(items), int(bound), transport)))
    if report.outcome != "done":
        sys.exit(f"{report.outcome}: {report.reason}")
