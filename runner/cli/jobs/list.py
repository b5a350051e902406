"""`mprun list`: what a file has to run, for whoever wants to type its name.

checked spec ──► jobs: by default or when named, needs, description · or stages ──► params ──► text, JSON
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from runner.cli.options import examples, output_format, values, workflow_file
from runner.cli.output import write
from runner.errors import SpecError
from runner.facts import dataclass
from runner.jobs.selection import plain_run
from runner.jobs.templates import takes_arguments
from runner.loader.load import MISSING_PARAM, check
from runner.render.graph import needs_words
from runner.render.tables import table, width_of
from runner.spec.jobs.model import JobSpec
from runner.spec.model import StageSpec, WorkflowSpec
from runner.text import visible
from runner.units import counted

_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
_PLAIN = "by default"
_NAMED = "when named"
EXAMPLES = examples(
    "mprun list ci.yaml            what there is to run",
    "mprun ci.yaml lint            run one of them",
    "mprun list ci.yaml --format json | jq -r '.jobs[].name'",
)


@click.command(epilog=EXAMPLES)
@workflow_file
@output_format(["text", "json"])
@values
def command(file: Path, form: str, params: Sequence[str], overrides: Sequence[str]) -> int:
    """List the jobs of FILE with what each is for, and the params that it takes; of a file with stages those.

    A job runs by default, which is without being named, where `default` names it, or, in a file without `default`,
    where it is not `manual`; and where a job that does so needs it. The others run where they are named: `mprun FILE
    JOB`.
    """
    checked = check(file, params=params, overrides=overrides, forgiven=frozenset({MISSING_PARAM}))
    if checked.spec is None or checked.source is None:
        raise SpecError(checked.diagnostics)
    spec, taken = checked.spec, params_of(checked.source.data, checked.spec.params)
    if form == "json":
        write(json.dumps(tasks_as_dict(spec, taken), indent=2, ensure_ascii=False, default=str) + "\n")
    else:
        write(tasks_as_text(spec, taken, width_of(sys.stdout)))
    return 0


@dataclass(frozen=True, slots=True)
class TakenParam:
    """A param of a file, for whoever wants to give it."""

    name: str
    type: str
    default: Any
    """None for one that has to be given."""
    description: str


def params_of(data: Any, values: Mapping[str, Any]) -> list[TakenParam]:
    """Return the params that a checked file declares; `values` has what each is without being given."""
    declared = data.get("params") or {}
    return [
        TakenParam(
            name,
            str(keys.get("type") or _TYPES.get(type(keys.get("default")), "string")),
            values.get(name) if "default" in keys else None,
            str(keys.get("description", "")),
        )
        for name, keys in declared.items()
    ]


def tasks_as_text(spec: WorkflowSpec, params: Sequence[TakenParam], width: int | None = None) -> str:
    """Show what a file has as tables without colour, for lines of `width` cells."""
    what = counted(len(spec.jobs), "job") if spec.jobs else counted(len(spec.stages), "stage")
    heading = [visible(f"{spec.name}: {what}"), *map(visible, spec.description.splitlines())]
    blocks = [heading, table(_job_rows(spec) if spec.jobs else _stage_rows(spec.stages), width)]
    if params:
        blocks.append(table(_param_rows(params), width))
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def tasks_as_dict(spec: WorkflowSpec, params: Sequence[TakenParam]) -> dict[str, Any]:
    """Show the same as plain data."""
    plain = plain_run(spec.jobs, spec.default)
    return {
        "name": spec.name,
        "file": str(spec.path),
        "description": spec.description,
        "default": list(spec.default),
        "jobs": [_job_dict(job, job.name in plain) for job in spec.jobs],
        "stages": [{"name": stage.name, "description": stage.description} for stage in spec.stages],
        "params": [
            {"name": each.name, "type": each.type, "default": each.default, "description": each.description}
            for each in params
        ],
    }


def _job_rows(spec: WorkflowSpec) -> list[list[str]]:
    plain = plain_run(spec.jobs, spec.default)
    rows = [["JOB", "RUNS", "NEEDS", "DESCRIPTION"]]
    for job in spec.jobs:
        runs = _PLAIN if job.name in plain else _NAMED
        rows.append([job.name, runs, _one_line(needs_words(job.needs)) or "-", _about(job)])
    return rows


def _about(job: JobSpec) -> str:
    legs = counted(len(job.legs), "leg") if job.has_matrix else ""
    more = ", ".join(filter(None, (legs, "takes arguments after --" if _takes_arguments(job) else "")))
    said = _one_line(job.description)
    return f"{said} ({more})" if said and more else said or more or "-"


def _stage_rows(stages: Sequence[StageSpec]) -> list[list[str]]:
    rows = [["STAGE", "FROM", "TO", "DESCRIPTION"]]
    for stage in stages:
        ends = [stage.receives or "-", ", ".join(stage.targets) or "-"]
        rows.append([stage.name, *ends, _one_line(stage.description) or "-"])
    return rows


def _param_rows(params: Sequence[TakenParam]) -> list[list[str]]:
    rows = [["PARAM", "TYPE", "DEFAULT", "DESCRIPTION"]]
    for each in params:
        rows.append([each.name, each.type, _default(each.default), _one_line(each.description) or "-"])
    return rows


def _default(value: Any) -> str:
    if value is None:
        return "none: give it"
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)) or "''"


def _job_dict(job: JobSpec, is_plain: bool) -> dict[str, Any]:
    return {
        "name": job.name,
        "description": job.description,
        "manual": job.manual,
        "runs_by_default": is_plain,
        "needs": [need.job for need in job.needs],
        "legs": [leg.id for leg in job.legs] if job.has_matrix else [],
        "takes_arguments": _takes_arguments(job),
    }


def _takes_arguments(job: JobSpec) -> bool:
    return any(map(takes_arguments, job.legs))


def _one_line(text: str) -> str:
    return " ".join(text.split())
