"""Whether `mprun resume` has something to go on with, by what a run has come to and by what its producers read.

    the run has ended ──► is_way_on ──► `resumable` in `run.finished`, and from there in the report and the record
    a cut, or the end ──► changed_inputs ──► files that are gone, or shorter than when their stage began

What is in the way by the plan and the cut alone is said by `runner/spec/obstacles.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from runner.errors import ExitCode
from runner.events.run import RunOutcome
from runner.handlers.registry import rereads_inputs
from runner.ledger.accounts import Account
from runner.spec.model import Role
from runner.spec.plan import InputFile, Plan, StagePlan
from runner.supervisor.outcome import Cause
from runner.supervisor.outputs import leaves_output
from runner.units import counted

Inputs = Mapping[str, Sequence[InputFile] | None]
"""What there was to read for each stage when it began."""


def is_way_on(
    plan: Plan,
    cause: Cause,
    accounts: Sequence[Account],
    inputs: Inputs,
    ended: Collection[str],
    closed: Collection[str],
) -> bool:
    """Say whether going on would do something, and not only find once more why it can't be."""
    if cause.exit_code == ExitCode.RESUME_REFUSED:  # it is the producer that can't
        return False
    if cause.outcome is RunOutcome.INTERRUPTED and is_nothing_left(plan, accounts, ended, closed):
        return False
    return next(changed_inputs(plan, inputs, ended), None) is None


def is_nothing_left(
    plan: Plan, accounts: Sequence[Account], ended: Collection[str], closed: Collection[str]
) -> bool:
    """Say whether a run that was stopped had done all: nobody is needed, and no output is to be put in place."""
    if plan.jobs or leaves_output(plan) or not all(account.settled for account in accounts):
        return False
    stages = [stage for stage in plan.stages if not stage.spec.daemon]
    return all(
        worker.name in ended or (stage.role is Role.CONSUMER and worker.name in closed)
        for stage in stages
        for worker in stage.workers
    )


def changed_inputs(plan: Plan, inputs: Inputs, ended: Collection[str]) -> Iterator[str]:
    """Yield why producers can't go on with what they read. `ended` are the workers that need not."""
    for stage in plan.stages:
        for file in _needed(stage, inputs.get(stage.name) or (), ended):
            if (why := _why_changed(stage, file)) is not None:
                yield f"stage '{stage.name}': {why}"


def _needed(stage: StagePlan, files: Sequence[InputFile], ended: Collection[str]) -> Sequence[InputFile]:
    left = [worker for worker in stage.workers if worker.name not in ended]
    if not left or not rereads_inputs(stage.spec.handler, stage.role):
        return ()
    # Whose share of several files is read to its end, is known to the kind alone.
    return files if len(left) == len(stage.workers) or len(files) == 1 else ()


def _why_changed(stage: StagePlan, file: InputFile) -> str | None:
    """Say what a source of ours would, when it opens the file once more; nothing of a stream, or what has a URL."""
    if file.size is None or "://" in file.path:
        return None
    try:
        size = Path(stage.spec.cwd or "", file.path).stat().st_size
    except FileNotFoundError:
        return f"there is no '{file.path}' any more, and it goes on behind what it had read there"
    except OSError as error:
        return f"'{file.path}' can't be opened: {error.strerror or error}"
    if size >= file.size:
        return None
    return f"'{file.path}' has become shorter since the stage began: it has {counted(size, 'byte')} of {file.size:,}"
