"""A contender: mprun, by `runner.composition` in a fresh interpreter. Says how long the run itself took.

python by_mprun.py WORKLOAD COUNT MAXSIZE TRANSPORT
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workloads import Workload, workload

from runner.composition import run
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec


def workflow(carried: Workload, count: int, maxsize: int, transport: str) -> WorkflowSpec:
    """The workflow that a file with these stages would give."""
    queues = [f"queue-{number}" for number in range(carried.chain + 1)]
    stages = [
        stage("producer", carried.make, carried.producers, carried.each(count), sends=queues[0]),
        stage("consumer", carried.take, carried.consumers, carried.take_with, receives=queues[-1]),
    ]
    for number, (inbox, outbox) in enumerate(itertools.pairwise(queues), 1):
        stages.append(
            stage(f"pipe-{number}", carried.between, carried.pipes, {}, receives=inbox, sends=outbox)
        )
    return WorkflowSpec(
        "compare",
        Path(__file__).with_name("compare.yaml"),
        stages=tuple(stages),
        queues=tuple(QueueSpec(name, maxsize) for name in queues),
        transport=transport,
    )


def stage(
    name: str,
    handler: Any,
    workers: int,
    arguments: Mapping[str, Any],
    *,
    receives: str | None = None,
    sends: str | None = None,
) -> StageSpec:
    names = tuple(f"{name}-{number}" for number in range(1, workers + 1))
    reference = HandlerRef("python", f"workloads:{handler.__name__}")
    return StageSpec(name, reference, arguments=arguments, workers=names, receives=receives, sends=sends)


if __name__ == "__main__":
    name, items, bound, transport = sys.argv[1:]
    plan = make_plan(workflow(workload(name), int(items), int(bound), transport))
    began = time.perf_counter()
    report = run(plan)
    print(json.dumps({"run": time.perf_counter() - began}))
    if report.outcome != "done":
        sys.exit(f"{report.outcome}: {report.reason}")
