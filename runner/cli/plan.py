"""`mprun plan`: what would exist if the file were run; of jobs, every leg in the order in which it may run."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import click

from runner.cli.checking import JobsChoice, checked_plan
from runner.cli.options import examples, output_format, values, workflow_file
from runner.cli.output import write
from runner.handlers.listeners import address_of
from runner.jobs.plan import most_at_once
from runner.jobs.templates import display_command
from runner.render.graph import needs_words, waves
from runner.render.tables import table, width_of
from runner.spec.dotted_names import follow
from runner.spec.expressions.values import format_value
from runner.spec.jobs.commands import StepSpec
from runner.spec.jobs.model import JobSpec, LegSpec
from runner.spec.plan import Plan, StagePlan, WorkerPlan, done_label, size_label
from runner.text import clip, summarize, visible
from runner.units import counted

_MOST_SHOWN = 60

EXAMPLES = examples(
    "mprun plan workflows/baozi.yaml",
    "mprun plan workflows/baozi.yaml --set stages.eater.count=4",
    "mprun plan workflows/baozi.yaml --format json | jq '.queues'",
)


@click.command(epilog=EXAMPLES)
@workflow_file
@output_format(["text", "json"])
@values
@click.option("--job", "jobs", metavar="NAME", multiple=True, help="Only this job or leg, and what it needs.")
def command(
    file: Path, form: str, params: Sequence[str], overrides: Sequence[str], jobs: Sequence[str]
) -> int:
    """Show every worker by name, every queue, and the order of start and stop; or every job, in waves.

    The file is checked first, and nothing is started. Environment variables are shown by name only.
    """
    plan = checked_plan(file, params, overrides, choice=JobsChoice(jobs))
    if form == "json":
        write(json.dumps(plan_as_dict(plan), indent=2, ensure_ascii=False, default=str) + "\n")
    else:
        write(plan_as_text(plan, width_of(sys.stdout)))
    return 0


def plan_as_text(plan: Plan, width: int | None = None) -> str:
    """Show a plan as tables without colour, for lines of `width` cells."""
    if plan.jobs:
        return _jobs_as_text(plan, width)
    things = {"stage": plan.stages, "worker": plan.workers, "queue": plan.queues}
    facts = (counted(len(of_a_kind), word) for word, of_a_kind in things.items())
    blocks = [_heading(plan, *facts, f"transport {plan.transport}"), table(_worker_rows(plan), width)]
    if plan.queues:
        blocks.append(table(_queue_rows(plan), width))
    blocks.append(table(_order_rows(plan), width))
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def plan_as_dict(plan: Plan) -> dict[str, Any]:
    """Show a plan as plain data. Stages are as they are fed."""
    if plan.jobs:
        return _jobs_as_dict(plan)
    return {
        "name": plan.name,
        "file": str(plan.path),
        "description": plan.description,
        "transport": plan.transport,
        "limits": _plain(plan.limits),
        "resume": _plain(plan.resume),
        "stages": [_stage_dict(stage) for stage in plan.flow],
        "queues": [
            {**_fields(queue.spec, without={"declared"}), **_fields(queue, without={"spec"})}
            for queue in plan.queues
        ],
        "locks": list(plan.locks),
        "shared": _plain(plan.shared),
        "pipes": _plain(plan.pipes),
        "start_order": [stage.name for stage in plan.stages],
        "stop_order": [stage.name for stage in plan.stop_order],
    }


def _heading(plan: Plan, *facts: str) -> list[str]:
    return [f"{visible(plan.name)}: {', '.join(facts)}", *map(visible, plan.description.splitlines())]


def _worker_rows(plan: Plan) -> list[list[str]]:
    heading = ["WORKER", "STAGE", "ROLE", "RUNS", "FROM", "TO", "DONE WHEN", "RESUME", "DAEMON"]
    return [heading, *(_worker_row(stage, worker) for stage in plan.flow for worker in stage.workers)]


def _worker_row(stage: StagePlan, worker: WorkerPlan) -> list[str]:
    daemon = "yes" if worker.daemon else "-"
    ends = [worker.receives or "-", ", ".join(worker.targets) or "-"]
    promises = [done_label(worker), stage.spec.over_death]
    return [worker.name, worker.stage, worker.role, worker.handler.target, *ends, *promises, daemon]


def _queue_rows(plan: Plan) -> list[list[str]]:
    rows = [
        [q.name, size_label(q), summarize(q.writers, 6) or "-", summarize(q.readers, 6) or "-"]
        for q in plan.queues
    ]
    return [["QUEUE", "SIZE", "WRITERS", "READERS"], *rows]


def _order_rows(plan: Plan) -> list[list[str]]:
    needs = [[f"{s.name} waits for", " and ".join(s.spec.needs)] for s in plan.stages if s.spec.needs]
    serial = [[f"{s.name} starts", "one worker after the other"] for s in plan.stages if s.serial]
    locks = {s.name: s.workers[0].lock for s in plan.stages if s.workers}
    locked = [[f"{name} holds", f"the lock {lock}"] for name, lock in locks.items() if lock is not None]
    paced = [[f"{s.name} begins", f"at most {s.spec.rate}"] for s in plan.stages if s.spec.rate is not None]
    pipes = [[f"pipe {pipe.name}", f"joins {' and '.join(pipe.ends)}"] for pipe in plan.pipes]
    kept = [[f"shared {each.name}", f"a {each.kind} in a process of its own"] for each in plan.shared]
    return [
        ["start order", ", ".join(stage.name for stage in plan.stages)],
        ["stop order", ", ".join(stage.name for stage in plan.stop_order)],
        *needs,
        *serial,
        *locked,
        *paced,
        *_route_rows(plan),
        *_listening_rows(plan),
        *_command_rows(plan),
        *pipes,
        *kept,
    ]


def _route_rows(plan: Plan) -> list[list[str]]:
    """Say what goes where, and what goes round, where that is more than the columns do."""
    rows = []
    for stage in plan.flow:
        ways = [(queue, stage.spec.label_to(queue)) for queue in stage.writes]
        if any(label for _, label in ways):
            rows.append(
                [f"{stage.name} sends", ", ".join(f"{queue} ({label or 'all'})" for queue, label in ways)]
            )
    back = sorted(plan.loops.back)
    for queue in plan.queues:
        writers = [stage for stage, to in back if to == queue.name]
        rows += (
            [[f"{queue.name} goes round", f"{' and '.join(writers)} writes back to it"]] if writers else []
        )
        unique = queue.spec.unique
        rows += [] if unique is None else [[f"{queue.name} takes once", f"each {unique.by}"]]
    return rows


def _listening_rows(plan: Plan) -> list[list[str]]:
    addresses = [(stage.name, address_of(stage)) for stage in plan.stages]
    return [
        [f"{name} listens", f"on {address.host}, port {address.port or 'any that is free'}"]
        for name, address in addresses
        if address is not None
    ]


def _command_rows(plan: Plan) -> list[list[str]]:
    """Say of each command what runs it: whether a failure within a pipe is seen depends on that."""
    runs = {stage.name: _runs_as(stage.workers[0]) for stage in plan.stages if stage.workers}
    return [[f"{name} runs", by] for name, by in runs.items() if by is not None]


def _runs_as(worker: WorkerPlan) -> str | None:
    if worker.handler.kind != "command":
        return None
    from runner.handlers.command.words import runs_as  # only those who have commands wait for it

    return runs_as(worker.handler.options)


_OF_STAGE = {"name", "stage", "role", "receives", "sends", "routes", "errors_to", "daemon"}
_IN_WORKER = {field.name for field in fields(WorkerPlan)} - _OF_STAGE
"""What the workers of a stage share, and is shown once, under `run`."""
_RENAMED = {"arguments": "with", "places": "args", "receives": "from", "sends": "to"}  # where it is one
"""Fields that go by the names that the file has for them."""


def _stage_dict(stage: StagePlan) -> dict[str, Any]:
    shared = stage.workers[0] if stage.workers else None
    return {
        "name": stage.name,
        "role": stage.role.value,
        **_fields(stage.spec, without={*_IN_WORKER, "sends", "routes"}),
        "to": stage.spec.sends or [_plain(route) for route in stage.spec.routes] or None,
        "workers": [worker.name for worker in stage.workers],
        "run": None if shared is None else _worker_dict(shared),
    }


def _worker_dict(worker: WorkerPlan) -> dict[str, Any]:
    """Show what the workers of a stage share. Of the environment, names only: values may be secret."""
    own = _fields(worker, without={*_OF_STAGE, "handler", "env"})
    by = _runs_as(worker)
    shell = {} if by is None else {"runs_as": by}
    return {**_fields(worker.handler, without={"values"}), **shell, **own, "env": sorted(worker.env)}


def _fields(fact: Any, without: Set[str] = frozenset()) -> dict[str, Any]:
    """Show all fields of a dataclass but these, so that a new one is shown too."""
    return {
        _RENAMED.get(field.name, field.name): _plain(getattr(fact, field.name))
        for field in fields(fact)
        if field.name not in without
    }


def _plain(value: Any) -> Any:
    """Turn facts and read-only mappings into dicts, which is what JSON knows, and words of enumerations into texts."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return _fields(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _jobs_as_text(plan: Plan, width: int | None) -> str:
    legs = sum(len(job.legs) for job in plan.jobs)
    facts = (counted(len(plan.jobs), "job"), counted(legs, "leg"), f"{most_at_once(plan)} at once")
    rows = [["WAVE", "JOB", "NEEDS", "IF", "RUNS", "DESCRIPTION"]]
    for number, wave in enumerate(waves(plan.jobs), start=1):
        rows += [_row(number, job, leg) for job in wave for leg in job.legs]
    if not any(job.description for job in plan.jobs):
        rows = [row[:-1] for row in rows]
    said = ["", *table(_context_rows(plan), width)] if plan.context_sources else []
    return "\n".join([*_heading(plan, *facts), "", *table(rows, width, named_by=2), *said]) + "\n"


def _context_rows(plan: Plan) -> list[list[str]]:
    """Show what the jobs ask of contexts, and where that is from."""
    rows = [["CONTEXT", "VALUE", "FROM"]]
    for dotted, source in plan.context_sources.items():
        value, depth = follow(plan.contexts, dotted.split("."))
        known = depth == dotted.count(".") + 1 and value is not None
        rows.append(
            [dotted, clip(format_value(value), _MOST_SHOWN) if known else "-", source or "nobody knows it"]
        )
    return rows


def _jobs_as_dict(plan: Plan) -> dict[str, Any]:
    """Show the jobs as plain data, in waves."""
    return {
        "name": plan.name,
        "file": str(plan.path),
        "description": plan.description,
        "at_once": most_at_once(plan),
        "limits": {"timeout": plan.limits.timeout, "stop_timeout": plan.limits.stop_timeout},
        "contexts": dict(plan.context_sources),
        "jobs": [
            _job_dict(job, number) for number, wave in enumerate(waves(plan.jobs), start=1) for job in wave
        ],
    }


def _row(wave: int, job: JobSpec, leg: LegSpec) -> list[str]:
    runs = leg.steps[0].name if len(leg.steps) == 1 else counted(len(leg.steps), "step")
    runs = f"background: {runs}" if leg.background else runs
    told = (needs_words(job.needs), leg.condition, runs, job.description)
    needs, condition, runs, description = (" ".join(each.split()) for each in told)
    return [str(wave), leg.id, needs or "-", condition or "-", runs, description]


def _job_dict(job: JobSpec, wave: int) -> dict[str, Any]:
    return {
        "name": job.name,
        "description": job.description,
        "wave": wave,
        "needs": [{"job": need.job, "optional": need.optional} for need in job.needs],
        "outputs": list(job.values),
        "fail_fast": job.fail_fast,
        "max_parallel": job.max_parallel,
        "legs": [_leg_dict(leg) for leg in job.legs],
    }


def _leg_dict(leg: LegSpec) -> dict[str, Any]:
    """Of the environment, names only: values may be secret."""
    return {
        "id": leg.id,
        "matrix": dict(leg.matrix),
        "if": leg.condition or "success()",
        "steps": _steps(leg.steps),
        "ensure": _steps(leg.ensure),
        "services": [service.name for service in leg.services],
        "background": leg.background,
        "env": sorted(leg.env),
        "secrets": list(leg.secrets),
        "timeout": leg.timeout,
        "idle_timeout": leg.idle_timeout,
        "attempts": leg.attempts.max,
        "may_fail": leg.may_fail,
        "concurrency": None if leg.concurrency is None else leg.concurrency.group,
    }


def _steps(steps: Sequence[StepSpec]) -> list[dict[str, Any]]:
    return [
        {
            "name": step.name,
            "run": display_command(step.command),
            "if": step.condition or "success()",
            "timeout": step.timeout,
        }
        for step in steps
    ]
