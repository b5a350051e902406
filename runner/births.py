"""Births: of the workers that a stage begins with, and of those that take a dead one's place.

    StartStage ──► give_birth ──► transport, census, lifecycle, event
    a death ──► after ──► Restart ──► bring_back, when it is due ──► the next generation, under the same name

Whether a dead worker gets a successor is decided in restart.py. Until it is born the dead one has not ended, for all
that the lifecycle can tell: its queues stay open and its stage lives.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

from runner.announcer import Announcer
from runner.errors import StartFailed
from runner.facts import Exited
from runner.lifecycle import Lifecycle
from runner.restart import GiveUp, Restart
from runner.roster import Ending, Record, Roster
from runner.spec import Role
from runner.status import Counters
from runner.stock import Stock
from runner.stopping import Phase
from runner.succession import Succession, death_of
from runner.transports.base import Transport


class Census(Protocol):
    """Whoever must know which processes exist, to end them if the supervisor itself is killed."""

    def born(self, pid: int) -> None:
        """A worker exists."""

    def died(self, pid: int) -> None:
        """A worker was reaped."""


class Births:
    """Gives birth to workers, and remembers whose successors are to come."""

    def __init__(
        self,
        transport: Transport,
        lifecycle: Lifecycle,
        roster: Roster,
        stock: Stock,
        announce: Announcer,
        census: Census | None,
    ) -> None:
        self._transport = transport
        self._lifecycle = lifecycle
        self._roster = roster
        self._stock = stock
        self._announce = announce
        self._census = census
        self._succession = Succession()
        self._dispensable: set[str] = set()

    @property
    def next_due(self) -> float:
        """When the next successor is to be born; infinity if none is."""
        return self._succession.soonest

    def give_birth(self, record: Record) -> None:
        """Start a worker's first or next generation. Raises `StartFailed`."""
        if record.generation:
            record.earlier = self._stock.counters(record)
        spawned = self._transport.start(record.plan, record.generation + 1)
        record.be_born(spawned.pid)
        self._lifecycle.started(record.plan.name, record.plan.stage)
        if self._census is not None:
            self._census.born(spawned.pid)
        self._announce.spawned(record, spawned)

    def bring_back(self, now: float) -> None:
        """Give birth to the successors that are due. Raises `StartFailed`."""
        for name in self._succession.due(now):
            record = self._roster[name]
            self._announce.restarted(record)
            try:
                self.give_birth(record)
            except StartFailed:
                self._lifecycle.ended(name)
                raise

    def after(
        self, record: Record, exited: Exited, ending: Ending, counters: Counters, phase: Phase, now: float
    ) -> Restart | GiveUp | None:
        """Decide whether another takes a worker's place; None where that is no question, or would be of no use.

        While the run drains, only those are replaced who empty the queues.
        """
        if self._census is not None:
            self._census.died(exited.pid)
        # Who is at no queue takes no lock of one along.
        if not self._transport.outlives_workers and record.plan.role is not Role.PLAIN:
            return None
        reads = record.plan.receives is not None
        wanted = phase is Phase.RUNNING or (phase is Phase.DRAINING and reads)
        early = ending.outcome == "finished" and self._lifecycle.expects_more(record.plan.name)
        if (
            not wanted
            or record.retired
            or record.plan.stage in self._dispensable
            or not (early or ending.outcome == "died")
        ):
            return None
        if record.failure is not None and not record.plan.restart.after_exceptions:
            return None
        death = death_of(record.plan, exited, counters, now, crashed=not early)
        return self._succession.died(record.plan.stage, record.plan.restart, death)

    def suspect(self, pid: int) -> None:
        """A worker that is about to be told dead had an item in hand, which answers for it."""
        self._succession.suspect(pid)

    def forgive(self, pids: Iterable[int]) -> None:
        """Deaths that one item is to blame for don't count against their stage."""
        self._succession.forgive(pids)

    def charge(self, pids: Iterable[int]) -> str | None:
        """These deaths are the stage's own after all; return why the run must end if that is more than it may have."""
        return self._succession.charge(pids, time.monotonic())

    def leave_vacant(self, stages: Iterable[str]) -> None:
        """Let nobody be born any more in place of those who died in these stages: they have ended."""
        for name in self._succession.cancel(stages):
            self._lifecycle.ended(name)

    def dispense_with(self, stage: str) -> None:
        """Nothing needs this stage any more: whoever dies in it has no successor."""
        self._dispensable.add(stage)
        self.leave_vacant([stage])
