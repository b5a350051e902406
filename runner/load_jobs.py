"""The jobs of a workflow, from data of the right shape to checked specs. Imported where a file has some.

jobs ──► expand ──► build ──► keys · needs · conditions ──► references ──► files and secrets
                                                                 problems, all of them, beside the spec
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from runner.build_jobs import build_jobs
from runner.findings import Finding, Spoilt, located
from runner.jobs.check_texts import check_texts
from runner.jobs.checks import Surroundings, check_jobs, check_keys
from runner.jobs.expansion import expand_jobs, waits_for_matrix
from runner.jobs.outside import check_outside
from runner.problems import Problem
from runner.schema import workflow_schema
from runner.source_marks import Source
from runner.spec import WorkflowSpec


def with_jobs(
    source: Source, jobs: Any, spec: WorkflowSpec, spoilt: Spoilt
) -> tuple[WorkflowSpec, list[Problem]]:
    """Return the workflow with its jobs, and what is wrong with how they hang together."""
    expanded = expand_jobs(source, jobs, workflow_schema({}))
    built = build_jobs(expanded, spec.env, {"params": spec.params, "env": {**os.environ, **spec.env}})
    around = Surroundings(spec.params, spec.transport, spoilt)
    problems = [
        *expanded.problems,
        *located(check_keys(source.data), source),
        *located(check_jobs(expanded, built, around), source),
        *check_texts(source, expanded, built),
        *check_outside(source, built, spec.path.parent, os.environ),
    ]
    return replace(spec, jobs=built), problems


def judged_by_now(findings: Iterable[Finding], data: Any) -> list[Finding]:
    """Leave out what is said of values that a matrix gives: they are judged once it has been put in."""
    waiting = waits_for_matrix(data)
    return [finding for finding in findings if finding.path not in waiting]
