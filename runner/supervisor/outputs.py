"""What stages leave, in the supervisor's hands: made ready before their first worker, put right after the last.

plan ──► open_outputs ──► a plan whose workers know what was made ready        refused: nothing was started
          ▲     each cut ◄── RunOutputs.kept
          └─── the last cut, where another runner goes on with the run
the run has ended ──► RunOutputs.finish ──► cut back, renamed, or taken away   failed: so has the run
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field, replace
from pathlib import Path

from runner.errors import ResumeRefused, StartFailed
from runner.facts import dataclass
from runner.handlers.outputs import HiddenOutput, KeptOutput, Opening, OutputRefused, StageOutput
from runner.handlers.registry import writes_of
from runner.spec.plan import Plan, StagePlan
from runner.transports.cut import OUTPUT, Cut
from runner.units import counted


@dataclass(slots=True)
class RunOutputs:
    """The outputs of one run, by stage."""

    outputs: dict[str, StageOutput] = field(default_factory=dict)
    before: dict[str, KeptOutput] = field(default_factory=dict)
    """What another runner had left of them."""
    stays: bool = False
    """Whether somebody may go on with the run: there is a cut that speaks of it."""
    resumable: bool = False

    def kept(self) -> dict[str, bytes]:
        """Return what whoever opens them again for the same run has to know, by stage: for a cut that is taken."""
        self.stays = self.resumable
        return {stage: output.kept() for stage, output in self.outputs.items()}

    def finish(
        self, *, complete: bool, workers: Sequence[tuple[str, str]], state_of: Callable[[str], bytes | None]
    ) -> str | None:
        """
        See to each once, now that no worker is left; return what went wrong.

        `workers` are the names of all that there were, each with its stage. Where the run can be resumed, a cut in
        which all is done has to be kept before what is complete is put in place.
        """
        faults = []
        for stage, output in self.outputs.items():
            states = {worker: state_of(worker) for worker, its in workers if its == stage}
            kept = {worker: state for worker, state in states.items() if state is not None}
            try:
                output.finish(
                    complete=complete,
                    states=self._with_earlier(stage, kept) if len(kept) == len(states) else None,
                    stays=self.stays,
                )
            except (OutputRefused, OSError) as error:
                faults.append(f"stage '{stage}': {error}")
        self.outputs.clear()
        return "; ".join(faults) or None

    def _with_earlier(self, stage: str, states: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Add those of workers that had ended under another runner, and were not started again."""
        return {**self.before[stage].states, **states} if stage in self.before else states

    def close(self) -> None:
        """Leave what `finish` has not seen to: nothing was started, or the runner has failed in the middle."""
        if not self.stays:
            self.finish(complete=False, workers=(), state_of=lambda _worker: None)
            return
        for output in self.outputs.values():
            with suppress(OutputRefused, OSError):
                output.finish(complete=False, states=None, stays=True)
        self.outputs.clear()


NO_OUTPUTS = RunOutputs()


def leaves_output(plan: Plan) -> bool:
    """Tell whether something is made ready before the first worker, and seen to after the last."""
    return any((its := writes_of(stage.spec.handler, stage.role)) and its.open for stage in plan.stages)


def hidden_by(plan: Plan) -> list[HiddenOutput]:
    """Say what a run may leave beside what its stages write, unless it ends well."""
    found: list[HiddenOutput] = []
    for stage in plan.stages:
        writes = writes_of(stage.spec.handler, stage.role)
        if writes is not None and writes.hides is not None:
            found += writes.hides(Opening(_folder_of(stage), plan.origin))
    return found


@contextmanager
def open_outputs(
    plan: Plan, *, resumable: bool = False, cut: Cut | None = None
) -> Iterator[tuple[Plan, RunOutputs]]:
    """
    Make ready what stages write to, and return the plan in which their workers know of it.

    `resumable`: cuts of the run are kept. `cut`: the last one, where this runner goes on with the run.

    Raises:
        StartFailed: one of them can't be had; all that can't are named.
        ResumeRefused: the same, where this runner was to go on.
    """
    opened, faults = RunOutputs(resumable=resumable, stays=cut is not None), []
    for stage in plan.stages:
        writes = writes_of(stage.spec.handler, stage.role)
        if writes is None or writes.open is None:
            continue
        before = None if cut is None else _before(stage, cut)
        if before is not None:
            opened.before[stage.name] = before
        sync = any(worker.fsync for worker in stage.workers)
        opening = Opening(_folder_of(stage), plan.origin, resumable, sync, before)
        try:
            opened.outputs[stage.name] = writes.open(opening)
        except OutputRefused as error:
            faults.append(f"stage '{stage.name}': {error}")
        except OSError as error:
            named = f"'{error.filename}': " if error.filename else ""
            faults.append(f"stage '{stage.name}': {named}{error.strerror or error}")
    try:
        if faults:
            those = "" if len(faults) == 1 else f"{counted(len(faults), 'output')} can't be written: "
            message = those + "; ".join(faults)
            if cut is not None:
                raise ResumeRefused(f"run '{plan.origin}' can't be gone on with: {message}")
            raise StartFailed(message)
        yield _told(plan, opened), opened
    finally:
        opened.close()


def surplus(plan: Plan, run: str, cut: Cut) -> Iterator[tuple[str, int]]:
    """
    Yield what would be cut off where a run is gone on with: files, and how many bytes of each. Changes nothing.

    Raises:
        OutputRefused: it can't be gone on with.
    """
    for stage in plan.stages:
        writes, before = writes_of(stage.spec.handler, stage.role), _before(stage, cut)
        if writes is not None and writes.surplus is not None and before is not None:
            yield from writes.surplus(Opening(_folder_of(stage), run, before=before))


def _folder_of(stage: StagePlan) -> str:
    """Return the folder that its workers work in; one that is told from elsewhere would be another there."""
    return str((stage.spec.cwd or Path()).absolute())


def _before(stage: StagePlan, cut: Cut) -> KeptOutput | None:
    """Return what a cut says of the output of a stage; None where it had none yet."""
    if (data := cut.states.get(OUTPUT + stage.name)) is None:
        return None
    names = [worker.name for worker in stage.workers]
    return KeptOutput(
        data,
        {name: cut.states[name] for name in names if name in cut.states},
        over=cut.ended.issuperset(names),
        queue=next((queue for queue in cut.queues if queue.queue == stage.spec.receives), None),
    )


def _told(plan: Plan, opened: RunOutputs) -> Plan:
    if not opened.outputs:
        return plan
    return replace(plan, stages=tuple(_told_stage(stage, opened) for stage in plan.stages))


def _told_stage(stage: StagePlan, opened: RunOutputs) -> StagePlan:
    if stage.name not in opened.outputs:
        return stage
    prepared = opened.outputs[stage.name].prepared
    return replace(stage, workers=tuple(replace(each, prepared=prepared) for each in stage.workers))
