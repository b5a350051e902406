"""The jobs of a workflow, from data of the right shape to checked specs. Imported where a file has some.

jobs ──► expand ──► build ──► keys · needs · conditions ──► references ──► files and secrets
                                                                 problems, all of them, beside the spec
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from runner.loader.checks.jobs import JobCheckContext, check_jobs, check_keys, check_outside, check_texts
from runner.loader.checks.steps import check_steps
from runner.loader.checks.tasks import check_tasks
from runner.loader.contexts import NO_CONTEXTS, KnownContexts, context_names, with_inputs
from runner.loader.jobs import build_jobs, expand_jobs, waits_for_matrix
from runner.loader.schema.workflow import workflow_schema
from runner.spec.diagnostics import Diagnostic, LocatedDiagnostic, UnknownPaths
from runner.spec.model import WorkflowSpec
from runner.spec.source.positions import SourceDocument


def with_jobs(
    source: SourceDocument,
    jobs: Any,
    spec: WorkflowSpec,
    unknowns: UnknownPaths,
    known: KnownContexts | None = None,
) -> tuple[WorkflowSpec, list[LocatedDiagnostic]]:
    """Return the workflow with its jobs, and what is wrong with how they hang together."""
    contexts = with_inputs(known or NO_CONTEXTS, spec.params)
    expanded = expand_jobs(source, jobs, workflow_schema({}))
    around_env = {"params": spec.params, "env": {**os.environ, **spec.env}}
    built = build_jobs(expanded, spec.env, {**contexts.texts, **around_env})
    around = JobCheckContext(spec.params, spec.transport, unknowns, context_names(spec.params))
    diagnostics = [
        *expanded.diagnostics,
        *source.place_all(each for each in check_keys(source.data) if not _is_for_others(source, each)),
        *source.place_all(check_jobs(expanded, built, around)),
        *source.place_all(found for job in expanded.jobs for found in check_steps(job.name, job.data)),
        *source.place_all(check_tasks(source.data, built, spec.default)),
        *check_texts(source, expanded, built),
        *check_outside(source, built, spec.path.parent, os.environ),
    ]
    spec = replace(spec, jobs=built, contexts=contexts.values, context_sources=contexts.sources)
    return spec, diagnostics


def _is_for_others(source: SourceDocument, diagnostic: Diagnostic) -> bool:
    """Say whether it is about defaults of a file that is included: others that include it may have stages."""
    return diagnostic.path[0] == "defaults" and source.locate(diagnostic.path).file != source.file


def judged_by_now(diagnostics: Iterable[Diagnostic], data: Any) -> list[Diagnostic]:
    """Leave out what is said of values that a matrix gives: they are judged once it has been put in."""
    waiting = waits_for_matrix(data)
    return [diagnostic for diagnostic in diagnostics if diagnostic.path not in waiting]
