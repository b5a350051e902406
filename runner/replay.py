"""Dead letters back into the stages that failed on them: the same workflow, begun in its middle. Pure.

    chef ──► steamer ──► eater ──► …         as it was written
             letters ──► eater ──► …         what a replay runs: the producers and all else upstream are left out

The letters are a stage like any other, so a replay has the bounds, retries and reports of an ordinary run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from runner.errors import UsageError
from runner.spec import HandlerRef, QueueSpec, Role, StageSpec, WorkflowSpec

_WAITING_PER_WORKER = 2
_SOURCE = HandlerRef("python", "runner.dead_letters:items")


def replay_spec(spec: WorkflowSpec, letters: Mapping[str, tuple[Path, Sequence[int]]]) -> WorkflowSpec:
    """
    Return the workflow that puts `letters` into their stages: by stage, the file and the numbers in it.

    Raises:
        UsageError: the workflow has no such stage any more, or the stage reads no queue.
    """
    known = {stage.name: stage for stage in spec.stages}
    for name in letters:
        if name not in known or known[name].receives is None:
            raise UsageError(
                f"'{spec.path}' has no stage '{name}' that reads a queue: its letters have nowhere to go"
            )
    # Another stage that reads the same queue would take letters that are not its own.
    queues_to_refill = {known[name].receives for name in letters}
    rivals = {s.name for s in spec.stages if s.name not in letters and s.receives in queues_to_refill}
    kept = _reached(spec.stages, letters) - rivals
    stages = [replace(s, needs=tuple(n for n in s.needs if n in kept)) for s in spec.stages if s.name in kept]
    sources = [_source(spec, known[name], *where) for name, where in letters.items()]
    used = {queue for stage in [*stages, *sources] for queue in (stage.receives, stage.sends)}
    workers = {known[name].receives: len(known[name].workers) for name in letters}
    queues = tuple(_bounded(queue, workers) for queue in spec.queues if queue.name in used)
    return replace(spec, stages=(*sources, *stages), queues=queues)


def _reached(stages: Iterable[StageSpec], first: Iterable[str]) -> set[str]:
    """Name the stages that items can get to from those named `first`, these included."""
    reached, todo = set(first), list(first)
    by_name = {stage.name: stage for stage in stages}
    while todo:
        sends = by_name[todo.pop()].sends
        new = [
            s.name
            for s in by_name.values()
            if sends is not None and s.receives == sends and s.name not in reached
        ]
        reached.update(new)
        todo += new
    return reached


def _bounded(queue: QueueSpec, workers: Mapping[str | None, int]) -> QueueSpec:
    """Let few letters wait: a replay that is stopped works off what is in its queues, and knows those to be through."""
    if queue.name not in workers:
        return queue
    most = _WAITING_PER_WORKER * workers[queue.name]
    return replace(queue, maxsize=most if queue.maxsize is None else min(most, queue.maxsize))


def source_name(spec: WorkflowSpec, stage: str) -> str:
    """Name the stage of the replay that puts the letters of `stage` back."""
    taken = {name for each in spec.stages for name in (each.name, *each.workers)}
    name = f"letters of {stage}"
    while name in taken:
        name += "'"
    return name


def _source(spec: WorkflowSpec, stage: StageSpec, file: Path, numbers: Sequence[int]) -> StageSpec:
    name = source_name(spec, stage.name)
    assert Role.of(None, stage.receives) is Role.PRODUCER
    arguments = {"path": str(file), "numbers": list(numbers)}
    return StageSpec(name, _SOURCE, arguments, (name,), sends=stage.receives, deterministic=True)
