"""Whether a run can be gone on with after the death of its runner, and what that promises of each stage.

with_over_death  notes it in each stage: `mprun plan` shows it
check_resume     `resume: required` where something could not be gone on with, each with its remedy

From the source of handlers alone: no user code runs. After `with_done_when`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from runner.handlers.arguments import Signature, goes_on_by_itself
from runner.handlers.inspection.imports import Missing, Opaque
from runner.handlers.inspection.signatures import read_signature
from runner.handlers.over_death import StageFacts, promise
from runner.handlers.registry import find_kind
from runner.loader.checks.outputs import valid_writes
from runner.spec.diagnostics import DataPath, Diagnostic, UnknownPaths
from runner.spec.model import Role, StageSpec, WorkflowSpec
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
    facts = StageFacts(stage.role, loses_state=_loses_state(stage))
    if stage.role is Role.PRODUCER:
        return promise(_of_producer(facts, stage, read))
    return promise(replace(facts, writes=valid_writes(stage)))


def _of_producer(facts: StageFacts, stage: StageSpec, read: _Read) -> StageFacts:
    if _reads_stream(stage):
        live = find_kind(stage.handler.kind).of_role(stage.role).live
        return replace(facts, live=live, is_stream=True)
    if stage.deterministic or not stage.handler.is_known:
        return facts
    if stage.handler.kind != "python":
        return replace(facts, seeks=stage.resumes)
    signature = read(stage.handler.target)
    return replace(facts, seeks=isinstance(signature, Signature) and goes_on_by_itself(signature))


def _loses_state(stage: StageSpec) -> bool:
    return stage.misses_state and stage.kept is not None and stage.kept.seen


class Lacking(Enum):
    """What is lacking where a run can't be gone on with."""

    LEDGER = "who knows what is in the queues"
    SHARED = "what is in a shared object, or under way in a pipe"
    STATE = "what a handler kept"
    POSITION = "how far a stage is that is round no queue"
    LIVE = "what was on its way to a source that nobody can ask again"
    INPUT = "what was read of a stream"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a run of a file could not be gone on with."""

    lacking: Lacking
    path: DataPath
    why: str
    remedy: str
    stage: str = ""
    """Empty where it is not about one."""


def check_resume(spec: WorkflowSpec, unknowns: UnknownPaths) -> Iterator[Diagnostic]:
    """Return what could not be gone on with, where the file says that this has to be. After `with_over_death`."""
    keys = ("run", "from", "to", "restart", "state")
    for each in obstacles(spec) if spec.resume.required else ():
        if not each.stage or all(unknowns.knows("stages", each.stage, key) for key in keys):
            why = f"`resume: required`: {each.why}"
            yield Diagnostic(each.path, "cannot-resume", why, "key", each.remedy)


def obstacles(spec: WorkflowSpec) -> Iterator[Obstacle]:
    """Yield all that is in the way of going on with a run. After `with_over_death`."""
    if spec.transport != "leased":
        why = f"under `{spec.transport}` nobody knows what is in the queues once the runner is gone"
        yield Obstacle(Lacking.LEDGER, ("resume",), why, "use `leased`, or leave it out")
        return
    for shared in spec.shared:
        why = f"what is in the shared object '{shared.name}' is gone with the runner"
        remedy = "put what has to last into items, or into a file or a database"
        yield Obstacle(Lacking.SHARED, ("shared", shared.name), why, remedy)
    for pipe in spec.pipes:
        why = f"what is under way in the pipe '{pipe.name}' is gone with the runner"
        yield Obstacle(Lacking.SHARED, ("pipes", pipe.name), why, "let a queue join the two stages")
    for stage in spec.stages:
        if (found := _of_stage(stage)) is not None:
            lacking, why, remedy = found
            path = ("stages", stage.name, "run")
            yield Obstacle(lacking, path, why, remedy, stage.name)


def _of_stage(stage: StageSpec) -> tuple[Lacking, str, str] | None:
    name = stage.name
    if _loses_state(stage):
        assert stage.kept is not None
        why = f"what stage '{name}' keeps of its items in {stage.kept.shown} is gone with the runner"
        return (
            Lacking.STATE,
            why,
            "`state: checkpoint` keeps it, `state: none` says that it does not matter",
        )
    if stage.role is Role.PLAIN:
        why = f"stage '{name}' is round no queue, so that nobody knows how far it is: it would begin anew"
        return Lacking.POSITION, why, "let it read or write a queue, or run it in a workflow of its own"
    live = stage.over_death is OverDeath.AT_MOST_ONCE
    if not live and not _reads_stream(stage):
        return None
    why = f"stage '{name}' reads what can't be read again: what is on its way to it is lost with it"
    remedy = "let something else write it to a file, and read that"
    return (Lacking.LIVE if live else Lacking.INPUT), why, remedy


def _reads_stream(stage: StageSpec) -> bool:
    """Whether a source of ours reads something that is gone once it is read, as stdin."""
    own = stage.handler.is_known and stage.handler.kind not in ("python", "command")
    return own and stage.role is Role.PRODUCER and not stage.resumes
