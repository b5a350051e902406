"""`mprun plan`: what would exist if the file were run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.options import examples, output_format, values, workflow_file
from runner.cli.output import write

if TYPE_CHECKING:
    from runner.plan import Plan, StagePlan, WorkerPlan


EXAMPLES = examples(
    "mprun plan workflows/baozi.yaml",
    "mprun plan workflows/baozi.yaml --set stages.eater.count=4",
    "mprun plan workflows/baozi.yaml --format json | jq '.queues'",
)


@click.command(epilog=EXAMPLES)
@workflow_file
@output_format(["text", "json"])
@values
def command(file: Path, form: str, params: Sequence[str], overrides: Sequence[str]) -> int:
    """Show every worker by name, every queue, and the order of start and stop; or every job, in waves.

    The file is checked first, and nothing is started. Environment variables are shown by name only.
    """
    from runner.cli.checking import checked_plan

    plan = checked_plan(file, params, overrides)
    if form == "json":
        write(json.dumps(as_dict(plan), indent=2, ensure_ascii=False, default=str) + "\n")
    else:
        write(as_text(plan))
    return 0


def as_text(plan: Plan) -> str:
    """Show a plan as aligned tables without colour."""
    if plan.jobs:
        from runner.cli import plan_jobs

        return plan_jobs.as_text(plan)
    from runner.cells import columns

    blocks = [_heading(plan), columns(_worker_rows(plan))]
    if plan.queues:
        blocks.append(columns(_queue_rows(plan)))
    blocks.append(columns(_order_rows(plan)))
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def as_dict(plan: Plan) -> dict[str, Any]:
    """Show a plan as plain data. Stages are in start order."""
    if plan.jobs:
        from runner.cli import plan_jobs

        return plan_jobs.as_dict(plan)
    return {
        "name": plan.name,
        "file": str(plan.path),
        "description": plan.description,
        "transport": plan.transport,
        "limits": {
            "timeout": plan.limits.timeout,
            "stop_timeout": plan.limits.stop_timeout,
            "max_errors": plan.limits.max_errors,
        },
        "stages": [_stage_dict(stage) for stage in plan.stages],
        "queues": [
            {
                "name": queue.name,
                "maxsize": queue.maxsize,
                "max_bytes": queue.max_bytes,
                "when_full": queue.when_full.value,
                "writers": list(queue.writers),
                "readers": list(queue.readers),
                "description": queue.description,
            }
            for queue in plan.queues
        ],
        "locks": list(plan.locks),
        "shared": [{"name": each.name, "kind": each.kind} for each in plan.shared],
        "pipes": [{"name": pipe.name, "ends": list(pipe.ends)} for pipe in plan.pipes],
        "start_order": [stage.name for stage in plan.stages],
        "stop_order": [stage.name for stage in plan.stop_order],
    }


def _heading(plan: Plan) -> list[str]:
    from runner.cells import visible
    from runner.plan_labels import count

    parts = (
        count(len(plan.stages), "stage"),
        count(len(plan.workers), "worker"),
        count(len(plan.queues), "queue"),
    )
    lines = [f"{visible(plan.name)}: {', '.join(parts)}, transport {plan.transport}"]
    return lines + [visible(line) for line in plan.description.splitlines()]


def _worker_rows(plan: Plan) -> list[list[str]]:
    from runner.graph_layout import as_read

    heading = ["WORKER", "STAGE", "ROLE", "RUNS", "FROM", "TO", "DAEMON"]
    return [heading, *(_worker_row(worker) for stage in as_read(plan.stages) for worker in stage.workers)]


def _worker_row(worker: WorkerPlan) -> list[str]:
    daemon = "yes" if worker.daemon else "-"
    ends = [worker.receives or "-", worker.sends or "-"]
    return [worker.name, worker.stage, worker.role, worker.handler.target, *ends, daemon]


def _queue_rows(plan: Plan) -> list[list[str]]:
    from runner.plan_labels import size_label

    rows = [[q.name, size_label(q), _names(q.writers), _names(q.readers)] for q in plan.queues]
    return [["QUEUE", "SIZE", "WRITERS", "READERS"], *rows]


def _order_rows(plan: Plan) -> list[list[str]]:
    needs = [[f"{s.name} waits for", " and ".join(s.needs)] for s in plan.stages if s.needs]
    serial = [[f"{s.name} starts", "one worker after the other"] for s in plan.stages if s.serial]
    locks = {s.name: s.workers[0].lock for s in plan.stages if s.workers}
    locked = [[f"{name} holds", f"the lock {lock}"] for name, lock in locks.items() if lock is not None]
    pipes = [[f"pipe {pipe.name}", f"joins {' and '.join(pipe.ends)}"] for pipe in plan.pipes]
    kept = [[f"shared {each.name}", f"a {each.kind} in a process of its own"] for each in plan.shared]
    return [
        ["start order", ", ".join(stage.name for stage in plan.stages)],
        ["stop order", ", ".join(stage.name for stage in plan.stop_order)],
        *needs,
        *serial,
        *locked,
        *_listening_rows(plan),
        *pipes,
        *kept,
    ]


def _listening_rows(plan: Plan) -> list[list[str]]:
    from runner.listeners import address_of

    addresses = [(stage.name, address_of(stage)) for stage in plan.stages]
    return [
        [f"{name} listens", f"on {address.host}, port {address.port or 'any that is free'}"]
        for name, address in addresses
        if address is not None
    ]


def _names(workers: Sequence[str]) -> str:
    shown = ", ".join(workers[:6])
    return f"{shown} and {len(workers) - 6} more" if len(workers) > 6 else shown or "-"


def _stage_dict(stage: StagePlan) -> dict[str, Any]:
    shared = stage.workers[0] if stage.workers else None
    return {
        "name": stage.name,
        "role": stage.role.value,
        "daemon": stage.daemon,
        "from": stage.receives,
        "to": stage.sends,
        "needs": list(stage.needs),
        "start": "serial" if stage.serial else "parallel",
        "description": stage.description,
        "workers": [worker.name for worker in stage.workers],
        "run": None if shared is None else _worker_dict(shared),
    }


def _worker_dict(worker: WorkerPlan) -> dict[str, Any]:
    """Show what the workers of a stage share. Of the environment, names only: values may be secret."""
    return {
        "kind": worker.handler.kind,
        "target": worker.handler.target,
        "options": _plain(worker.handler.options),
        "args": _plain(worker.places),
        "with": _plain(worker.arguments),
        "lock": worker.lock,
        "on_error": worker.on_error.value,
        "start_method": worker.start_method,
        "env": sorted(worker.env),
        "cwd": worker.cwd,
        "nice": worker.nice,
    }


def _plain(value: Any) -> Any:
    """Turn read-only mappings into dicts, which is what JSON knows."""
    from collections.abc import Mapping

    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
