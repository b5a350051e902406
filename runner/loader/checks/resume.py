"""Whether a run can be gone on with after the death of its runner, and what that promises of each stage.

with_over_death  notes it in each stage: `mprun plan` shows it
check_resume     `resume: required` where something could not be gone on with, each with its remedy

From the source of handlers alone: no user code runs. After `with_done_when`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace

from runner.handlers.arguments import Signature, goes_on_by_itself
from runner.handlers.inspection.imports import Missing, Opaque
from runner.handlers.inspection.signatures import read_signature
from runner.handlers.over_death import StageFacts, promise
from runner.handlers.registry import find_kind
from runner.loader.checks.outputs import valid_writes
from runner.spec.diagnostics import Diagnostic, UnknownPaths
from runner.spec.model import Role, StageSpec, WorkflowSpec
from runner.spec.obstacles import loses_state, obstacles, reads_stream
from runner.spec.resume import OverDeath

_Read = Callable[[str], Signature | Missing | Opaque]


def with_over_death(spec: WorkflowSpec) -> WorkflowSpec:
    """Note in each stage what becomes of it when the runner is killed, and another goes on with the run."""
    read = functools.cache(lambda target: read_signature(target, spec.path.parent))
    possible = spec.transport == "leased" and spec.resume.keeps

    def noted(stage: StageSpec) -> StageSpec:
        return replace(stage, over_death=_promise(stage, read) if possible else OverDeath.NOT)

    return replace(spec, stages=tuple(map(noted, spec.stages)))


def _promise(stage: StageSpec, read: _Read) -> OverDeath:
    facts = StageFacts(stage.role, loses_state=loses_state(stage))
    if stage.role is Role.PRODUCER:
        return promise(_of_producer(facts, stage, read))
    return promise(replace(facts, writes=valid_writes(stage)))


def _of_producer(facts: StageFacts, stage: StageSpec, read: _Read) -> StageFacts:
    if reads_stream(stage):
        live = find_kind(stage.handler.kind).of_role(stage.role).live
        return replace(facts, live=live, is_stream=True)
    if stage.deterministic or not stage.handler.is_known:
        return facts
    if stage.handler.kind != "python":
        return replace(facts, seeks=stage.resumes)
    signature = read(stage.handler.target)
    return replace(facts, seeks=isinstance(signature, Signature) and goes_on_by_itself(signature))


def check_resume(spec: WorkflowSpec, unknowns: UnknownPaths) -> Iterator[Diagnostic]:
    """Return what could not be gone on with, where the file says that this has to be. After `with_over_death`."""
    keys = ("run", "from", "to", "restart", "state")
    found = obstacles(spec.transport, spec.shared, spec.pipes, spec.stages)
    for each in found if spec.resume.required else ():
        if not each.stage or all(unknowns.knows("stages", each.stage, key) for key in keys):
            why = f"`resume: required`: {each.why}"
            yield Diagnostic(each.path, "cannot-resume", why, "key", each.remedy)
