"""When a cut of the run is taken, and what is in it beside the books of the transport.

    Transport.cut ── queues, states, places ──┐
    letters · outputs · inputs · who has ended ┴──► Cut ──► Recorder.cut        and back again, in the next runner

A cut is taken where every fact has been handled: what the books count as a dead letter is in its file by then.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, replace

from runner.events.run import WorkerOutcome
from runner.facts import dataclass
from runner.record.recorder import NO_RECORD, NoRecord
from runner.spec.plan import InputFile, Plan, StagePlan
from runner.store.dead_letters import DeadLetterStore
from runner.supervisor.item_failures import DeadLetterWriter, ItemFailures
from runner.supervisor.outputs import RunOutputs
from runner.supervisor.restart import WorkerSpawner
from runner.supervisor.shutdown import Phase
from runner.supervisor.workers import WorkerExit, WorkerState, WorkerTable
from runner.transports.base import Transport
from runner.transports.cut import OUTPUT, Cut, WriterCut

_QUIET_PAUSE = 10.0
"""Seconds between two looks whether there is anything new, while nothing moves."""
LOST, FAILED = "lost:", "failed:"
RENUMBERED = "renumbered:"


@dataclass(frozen=True, slots=True)
class CutParts:
    """What a cut is put together from."""

    transport: Transport
    letters: DeadLetterStore
    writer: DeadLetterWriter
    outputs: RunOutputs
    workers: WorkerTable
    failures: ItemFailures
    spawner: WorkerSpawner


class RunCuts:
    """Takes the cuts of one run, and knows what an earlier runner's last one says of its workers."""

    def __init__(self, plan: Plan, parts: CutParts, recorder: NoRecord) -> None:
        """Take none yet."""
        self._parts = parts
        self._recorder = recorder if resumable(plan) else NO_RECORD
        self._planned = {worker.name for worker in plan.workers}
        self._renumbered = {
            RENUMBERED + str(worker.receives): json.dumps(worker.renumbered).encode()
            for worker in plan.workers
            if worker.renumbered
        }
        # A record that can't be kept is to break no run; one that nobody wanted is a word about this one.
        self._are_wanted = resumable(plan) and (recorder.keeps_cuts or recorder.trouble is not None)
        self._kept = self._recorder.kept
        self._committed = _put_by(self._kept)
        self._taken, self._moves = 0.0, -1
        """When the last was sent whole, and what had moved by then."""
        self._followers: set[str] = set()
        """Producers that want to know what of theirs is kept."""
        self._awaited: set[str] = set()
        """Those that wait for it."""
        self.closed: set[str] = set()
        """Workers that have closed as the run was ended."""
        self.ended: set[str] = set()
        """Workers that have come to their own end, under an earlier runner or this one."""

    def resume(self, cut: Cut) -> None:
        """Go on from this one."""
        self._planned -= cut.added.keys()
        self.ended.update(cut.ended)
        self._committed = _put_by(cut.writers)

    @property
    def due(self) -> float:
        """When the next one is to be taken, by the monotonic clock; infinity where none is kept."""
        if self._parts.writer.behind:
            return math.inf
        due = self._recorder.cut_due(soon=bool(self._awaited))
        if self._awaited or self._recorder.has_cut_under_way or self._parts.transport.moves() != self._moves:
            return due
        return max(due, self._taken + _QUIET_PAUSE)  # there is nothing new

    def committed_of(self, worker: str) -> int | None:
        """Return how many items of a producer are in a kept cut; None where the run is to have none."""
        return self._committed.get(worker, 0) if self._are_wanted else None

    def followed(self, worker: str) -> None:
        """A producer wants to know that from now on, and may wait for more."""
        self._followers.add(worker)
        self._tell(worker)

    def worker_ended(self, worker: WorkerState, exited: WorkerExit, phase: Phase) -> None:
        """A worker is gone, and nobody takes its place."""
        self._followers.discard(worker.plan.name)
        self._awaited.discard(worker.plan.name)
        if exited.outcome is not WorkerOutcome.FINISHED or worker.retired:
            return
        (self.ended if phase is Phase.RUNNING else self.closed).add(worker.plan.name)

    def take_if_due(self) -> None:
        """Take one where it is time. Called where all that has happened has been handled."""
        due = self.due
        if self._recorder.kept is not self._kept:
            self._note_kept()
        elif self._awaited:
            for worker in tuple(self._awaited):  # who has given up is not waited for
                self._tell(worker)
        if time.monotonic() >= due:
            self.take()

    def _note_kept(self) -> None:
        """Another cut is kept: tell those who want to know."""
        self._kept = self._recorder.kept
        self._committed = _put_by(self._kept)
        for worker in self._followers:
            self._tell(worker)

    def _tell(self, worker: str) -> None:
        count = self._committed.get(worker, 0)
        if self._parts.transport.tell_committed(worker, count) > count:
            self._awaited.add(worker)
        else:
            self._awaited.discard(worker)

    def take(self, *, last: bool = False) -> None:
        """Take one, whatever the time: the last one of a run that has ended."""
        now = time.monotonic()
        moves = self._parts.transport.moves()
        cut = self._parts.transport.cut(now) if self._recorder.keeps_cuts else None
        if cut is not None and self._recorder.cut(self._completed(cut), now, last=last):
            self._taken, self._moves = now, moves

    def to_start(self, stage: str) -> list[WorkerState]:
        """Return the workers of a stage that have not come to their end under an earlier runner."""
        its = (each for each in self._parts.workers.all() if each.plan.stage == stage)
        return [each for each in its if each.plan.name not in self.ended]

    def workers(self) -> list[tuple[str, str]]:
        """Name each worker that there was, under earlier runners too, and its stage."""
        return [
            (each.plan.name, each.plan.stage)
            for each in self._parts.workers.all()
            if each.generation or each.plan.name in self.ended
        ]

    def _completed(self, cut: Cut) -> Cut:
        parts = self._parts
        outputs = {OUTPUT + stage: kept for stage, kept in parts.outputs.kept().items()}
        lost = {LOST + queue: str(count).encode() for queue, count in parts.writer.all_lost().items()}
        failed = {FAILED + queue: str(count).encode() for queue, count in parts.failures.failed.items()}
        return replace(
            cut,
            states={**cut.states, **outputs, **lost, **failed, **self._renumbered},
            ended=frozenset(self.ended),
            closed=frozenset(self.closed),
            inputs={stage: _packed(files) for stage, files in parts.spawner.inputs.items()},
            added={each.plan.name: each.plan.stage for each in parts.workers.all() if self._is_added(each)},
            letters=parts.letters.lengths(),
        )

    def _is_added(self, worker: WorkerState) -> bool:
        return worker.plan.name not in self._planned and bool(worker.generation)


def resumable(plan: Plan) -> bool:
    """Whether a runner could go on with a run of this plan after the death of another."""
    return plan.transport == "leased" and not plan.jobs and plan.resume.keeps


def with_added(plan: Plan, cut: Cut) -> Plan:
    """Return a plan with the workers that stages were scaled up by."""
    return replace(plan, stages=tuple(_with_added(stage, cut.added) for stage in plan.stages))


def _with_added(stage: StagePlan, added: Mapping[str, str]) -> StagePlan:
    known = {worker.name for worker in stage.workers}
    names = sorted(name for name, its in added.items() if its == stage.name and name not in known)
    return replace(stage, workers=(*stage.workers, *(replace(stage.workers[0], name=name) for name in names)))


def with_renumbered(plan: Plan, cut: Cut, incarnation: int) -> Plan:
    """
    Return a plan whose workers know which places in their queue are given once more under this runner.

    Where one producer alone fills a queue, what comes again has the place that it had, and so its id.
    """
    known = {queue: json.loads(packed) for queue, packed in _prefixed(cut.states, RENUMBERED)}
    producers = {worker.name for worker in plan.workers if worker.receives is None}
    given: dict[str | None, tuple[tuple[int, int], ...]] = {}
    for queue in plan.queues:
        offered = next((each.offered for each in cut.queues if each.queue == queue.name), 0)
        if len(queue.writers) == 1 and producers.issuperset(queue.writers):
            continue
        earlier = [(start, runner) for start, runner in known.get(queue.name, ()) if start < offered]
        given[queue.name] = (*earlier, (offered, incarnation))
    return replace(plan, stages=tuple(_with_renumbered(stage, given) for stage in plan.stages))


def _with_renumbered(stage: StagePlan, given: Mapping[str | None, tuple[tuple[int, int], ...]]) -> StagePlan:
    renumbered = given.get(stage.spec.receives, ())
    return replace(stage, workers=tuple(replace(each, renumbered=renumbered) for each in stage.workers))


def lost_letters_of(cut: Cut) -> dict[str, int]:
    """Return how many dead letters could not be written, by queue."""
    return {queue: int(count) for queue, count in _prefixed(cut.states, LOST)}


def failed_items_of(cut: Cut) -> dict[str, int]:
    """Return how many items had failed for good, by queue."""
    return {queue: int(count) for queue, count in _prefixed(cut.states, FAILED)}


def listed_inputs(cut: Cut) -> dict[str, tuple[InputFile, ...] | None]:
    """Return what there was to read for each stage that had begun."""
    return {
        stage: None if (files := json.loads(packed)) is None else tuple(InputFile(**each) for each in files)
        for stage, packed in cut.inputs.items()
    }


def _put_by(writers: Iterable[WriterCut]) -> dict[str, int]:
    return {writer.worker: writer.put for writer in writers}


def _packed(files: Collection[InputFile] | None) -> bytes:
    return json.dumps(None if files is None else [asdict(each) for each in files]).encode()


def _prefixed(states: Mapping[str, bytes], prefix: str) -> Iterator[tuple[str, bytes]]:
    return ((name.removeprefix(prefix), state) for name, state in states.items() if name.startswith(prefix))
