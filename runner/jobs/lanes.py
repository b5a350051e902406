"""Room to run: `max-parallel` of a job, a concurrency group, and the seats of `--jobs`. Pure.

    enter ──► gates: max-parallel, group ──all have room──► seats, first come first served ──next──► runs ──leave
                 └─ one has none: parked there, in order

A leg takes room at all its gates at once or at none, so that nobody holds one and waits for another. Whoever waits for
a seat has passed its gates: a free seat is never kept from a leg that may have it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from runner.spec_jobs import JobSpec, LegSpec


@dataclass(slots=True)
class _Gate:
    limit: int
    taken: int = 0
    parked: deque[LegSpec] = field(default_factory=deque)

    @property
    def has_room(self) -> bool:
        return self.taken < self.limit


class Lanes:
    """Who waits for room, and who has it."""

    def __init__(self, jobs: Sequence[JobSpec], capacity: int) -> None:
        """`capacity` is the number of seats."""
        self._free_seats = capacity
        self._seats: deque[LegSpec] = deque()
        self._seated: set[str] = set()
        self._withdrawn: set[str] = set()
        self._parallel = {
            job.name: _Gate(job.max_parallel)
            for job in jobs
            if job.max_parallel is not None and job.has_matrix
        }
        self._groups: dict[str, _Gate] = {}
        for group in (leg.concurrency for job in jobs for leg in job.legs if leg.concurrency is not None):
            known = self._groups.setdefault(group.group, _Gate(group.limit))
            known.limit = min(known.limit, group.limit)

    def enter(self, leg: LegSpec) -> None:
        """A leg is ready."""
        gates = self._gates(leg)
        full = next((gate for gate in gates if not gate.has_room), None)
        if full is not None:
            full.parked.append(leg)
            return
        for gate in gates:
            gate.taken += 1
        self._seats.append(leg)
        self._seated.add(leg.id)

    def next(self) -> LegSpec | None:
        """Return the leg that runs next, which has its seat now; None if none waits, or there is no seat."""
        while self._free_seats and self._seats:
            leg = self._seats.popleft()
            self._seated.discard(leg.id)
            if leg.id not in self._withdrawn:
                self._free_seats -= 1
                return leg
        return None

    def leave(self, leg: LegSpec) -> None:
        """A leg has ended: its seat, and its room at each gate, are for others."""
        self._free_seats += 1
        self._give_back(leg)

    def withdraw(self, leg: LegSpec) -> None:
        """A leg that was ready is called off for good."""
        self._withdrawn.add(leg.id)
        if leg.id in self._seated:
            self._give_back(leg)

    def _give_back(self, leg: LegSpec) -> None:
        gates = self._gates(leg)
        for gate in gates:
            gate.taken -= 1
        for gate in gates:
            while gate.parked and gate.has_room:
                waiting = gate.parked.popleft()
                if waiting.id not in self._withdrawn:
                    self.enter(waiting)

    def _gates(self, leg: LegSpec) -> list[_Gate]:
        if leg.concurrency is None and not self._parallel:
            return []
        gates = [
            self._parallel.get(leg.job),
            self._groups[leg.concurrency.group] if leg.concurrency else None,
        ]
        return [gate for gate in gates if gate is not None]
