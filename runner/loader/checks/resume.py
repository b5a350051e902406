"""Whether a run can be gone on with after the death of its runner, and what that promises of each stage.

with_over_death  notes it in each stage: `mprun plan` shows it
check_resume     `resume: required` where something could not be gone on with, each with its remedy
check_committed  `worker.committed` in the source of a producer of whose items nobody could tell, or that begins again

From the source of handlers alone: no user code runs. After `with_done_when`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from runner.handlers.arguments import Signature, goes_on_by_itself
from runner.handlers.inspection.imports import Missing, Opaque
from runner.handlers.inspection.signatures import read_signature, speaks_of
from runner.handlers.over_death import StageFacts, promise
from runner.handlers.registry import find_kind
from runner.loader.checks.outputs import valid_writes
from runner.spec.diagnostics import Diagnostic, Severity, UnknownPaths
from runner.spec.model import Role, StageSpec, WorkflowSpec
from runner.spec.obstacles import loses_state, obstacles, reads_stream
from runner.spec.resume import OverDeath

_ACKNOWLEDGING = frozenset({"committed", "wait_until_committed"})
_Read = Callable[[str], Signature | Missing | Opaque]


def with_over_death(spec: WorkflowSpec) -> WorkflowSpec:
    """Note in each stage what becomes of it when the runner is killed, and another goes on with the run."""
    read = functools.cache(lambda target: read_signature(target, spec.path.parent))
    possible = spec.transport == "leased" and spec.resume.keeps

    def noted(stage: StageSpec) -> StageSpec:
        return replace(
            stage, over_death=_promise(stage, read, spec.path.parent) if possible else OverDeath.NOT
        )

    return replace(spec, stages=tuple(map(noted, spec.stages)))


def _promise(stage: StageSpec, read: _Read, beside: Path) -> OverDeath:
    facts = StageFacts(stage.role, loses_state=loses_state(stage))
    if stage.role is Role.PRODUCER:
        return promise(_of_producer(facts, stage, read, beside))
    return promise(replace(facts, writes=valid_writes(stage)))


def _of_producer(facts: StageFacts, stage: StageSpec, read: _Read, beside: Path) -> StageFacts:
    if reads_stream(stage):
        live = find_kind(stage.handler.kind).of_role(stage.role).live
        return replace(facts, live=live, is_stream=True)
    if stage.deterministic or not stage.handler.is_known:
        return facts
    if stage.handler.kind != "python":
        return replace(facts, seeks=stage.resumes)
    signature = read(stage.handler.target)
    seeks = isinstance(signature, Signature) and goes_on_by_itself(signature)
    return replace(facts, seeks=seeks, acknowledges=seeks and _acknowledges(stage, beside))


def _acknowledges(stage: StageSpec, beside: Path) -> bool:
    """Whether the source of a producer in Python speaks of what is committed."""
    is_own = stage.role is Role.PRODUCER and stage.handler.kind == "python"
    return is_own and speaks_of(stage.handler.target, _ACKNOWLEDGING, beside)


def check_resume(spec: WorkflowSpec, unknowns: UnknownPaths) -> Iterator[Diagnostic]:
    """Return what could not be gone on with, where the file says that this has to be. After `with_over_death`."""
    keys = ("run", "from", "to", "restart", "state")
    found = obstacles(spec.transport, spec.shared, spec.pipes, spec.stages)
    for each in found if spec.resume.required else ():
        if not each.stage or all(unknowns.knows("stages", each.stage, key) for key in keys):
            why = f"`resume: required`: {each.why}"
            yield Diagnostic(each.path, "cannot-resume", why, "key", each.remedy)


def check_committed(spec: WorkflowSpec, unknowns: UnknownPaths) -> Iterator[Diagnostic]:
    """Warn of producers that look at what is committed in vain, or whose run could not be gone on with. After
    `with_over_death`. It is seen that they may look, and not whether they do."""
    for stage in spec.stages:
        keys = ("run", "from", "to")
        if not all(unknowns.knows("stages", stage.name, key) for key in keys):
            continue
        if (why := _in_vain(spec, stage)) and _acknowledges(stage, spec.path.parent):
            message = f"stage '{stage.name}' looks at `worker.committed`, {why[0]}"
            path = ("stages", stage.name, "run")
            yield Diagnostic(path, "cannot-acknowledge", message, "value", why[1], Severity.WARNING)


def _in_vain(spec: WorkflowSpec, stage: StageSpec) -> tuple[str, str] | None:
    if spec.transport != "leased":
        return f"and under `{spec.transport}` no cut of the run is kept: it raises an error", "use `leased`"
    if not spec.resume.keeps:
        return (
            "and with `resume: none` no cut of the run is kept: it raises an error",
            "leave out `resume: none`",
        )
    if stage.over_death is OverDeath.RUN_AGAIN and not stage.deterministic:
        return (
            "and begins again with its first item where another runner goes on, though that was acknowledged",
            "give it a parameter `offset` or `resume`, so that it goes on by itself",
        )
    return None
