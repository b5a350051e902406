"""What stages leave, in the supervisor's hands: made ready before their first worker, put right after the last.

plan ──► open_outputs ──► a plan whose workers know what was made ready        refused: nothing was started
the run has ended ──► RunOutputs.finish ──► cut back, renamed, or taken away   failed: so has the run
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from runner.errors import StartFailed
from runner.handlers.outputs import OutputRefused, StageOutput
from runner.handlers.registry import writes_of
from runner.spec.plan import Plan, StagePlan
from runner.units import counted


@dataclass(slots=True)
class RunOutputs:
    """The outputs of one run, by stage."""

    outputs: dict[str, StageOutput] = field(default_factory=dict)

    def kept(self) -> dict[str, bytes]:
        """Return what whoever opens them again for the same run has to know, by stage."""
        return {}

    def finish(
        self, *, complete: bool, workers: Sequence[tuple[str, str]], state_of: Callable[[str], bytes | None]
    ) -> str | None:
        """
        See to each once, now that no worker is left; return what went wrong.

        `workers` are the names of all that there were, each with its stage.
        """
        faults = []
        for stage, output in self.outputs.items():
            states = {worker: state_of(worker) for worker, its in workers if its == stage}
            kept = {worker: state for worker, state in states.items() if state is not None}
            try:
                output.finish(complete=complete, states=kept if len(kept) == len(states) else None)
            except (OutputRefused, OSError) as error:
                faults.append(f"stage '{stage}': {error}")
        self.outputs.clear()
        return "; ".join(faults) or None


NO_OUTPUTS = RunOutputs()


@contextmanager
def open_outputs(plan: Plan) -> Iterator[tuple[Plan, RunOutputs]]:
    """
    Make ready what stages write to, and return the plan in which their workers know of it.

    Raises:
        StartFailed: one of them can't be had; all that can't are named.
    """
    opened, faults = RunOutputs(), []
    for stage in plan.stages:
        writes = writes_of(stage.spec.handler, stage.role)
        if writes is None or writes.open is None:
            continue
        try:
            opened.outputs[stage.name] = writes.open(str(stage.spec.cwd or Path.cwd()), plan.origin)
        except OutputRefused as error:
            faults.append(f"stage '{stage.name}': {error}")
        except OSError as error:
            named = f"'{error.filename}': " if error.filename else ""
            faults.append(f"stage '{stage.name}': {named}{error.strerror or error}")
    try:
        if faults:
            those = "" if len(faults) == 1 else f"{counted(len(faults), 'output')} can't be written: "
            raise StartFailed(those + "; ".join(faults))
        yield _told(plan, opened), opened
    finally:
        opened.finish(complete=False, workers=(), state_of=lambda _worker: None)


def _told(plan: Plan, opened: RunOutputs) -> Plan:
    if not opened.outputs:
        return plan
    return replace(plan, stages=tuple(_told_stage(stage, opened) for stage in plan.stages))


def _told_stage(stage: StagePlan, opened: RunOutputs) -> StagePlan:
    if stage.name not in opened.outputs:
        return stage
    prepared = opened.outputs[stage.name].prepared
    return replace(stage, workers=tuple(replace(each, prepared=prepared) for each in stage.workers))
