"""Room to run: `max-parallel` of a job, a concurrency group, and the slots of `--jobs`. Pure.

    enter ──► semaphores: max-parallel, group ──all are free──► slots, first come first served ──next──► runs ──release
                 └─ one is not: waits there, in order

A leg takes all its semaphores at once or none, so that nobody holds one and waits for another. Whoever waits for a
slot has passed its semaphores: a free slot is never kept from a leg that may have it. A leg in the background takes
nothing of all this: it would keep it for as long as others run, which might wait for just that.

A group of the machine is asked for when `max-parallel` has let a leg through, and it waits for a slot once it has been
let in: what other runs do is not known here.

    enter ──► asking ──whoever knows the group: let_in──► slots                     release, withdraw ──► leaving
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import field

from runner.facts import dataclass
from runner.spec.jobs.model import GroupScope, JobSpec, LegSpec


@dataclass(slots=True)
class _Semaphore:
    limit: int
    taken: int = 0
    waiting: deque[LegSpec] = field(default_factory=deque)

    @property
    def has_room(self) -> bool:
        return self.taken < self.limit


class ConcurrencySlots:
    """Who waits for room, and who has it."""

    def __init__(self, jobs: Sequence[JobSpec], capacity: int) -> None:
        """`capacity` is the number of slots."""
        self._free_slots = capacity
        self._queue: deque[LegSpec] = deque()
        self._queued: set[str] = set()
        self._background: deque[LegSpec] = deque()
        self._withdrawn: set[str] = set()
        self._outside: dict[str, LegSpec] = {}
        """Those that ask for a group of the machine, or have been let in."""
        self._asking: list[LegSpec] = []
        self._leaving: list[LegSpec] = []
        self._by_job = {
            job.name: _Semaphore(job.max_parallel)
            for job in jobs
            if job.max_parallel is not None and job.has_matrix
        }
        self._terminal = _Semaphore(1)
        self._by_group: dict[str, _Semaphore] = {}
        for group in (leg.concurrency for job in jobs for leg in job.legs):
            if group is None or group.scope is GroupScope.MACHINE:
                continue
            known = self._by_group.setdefault(group.group, _Semaphore(group.limit))
            known.limit = min(known.limit, group.limit)

    def enter(self, leg: LegSpec) -> None:
        """A leg is ready."""
        if leg.background:
            self._background.append(leg)
            return
        semaphores = self._semaphores(leg)
        full = next((semaphore for semaphore in semaphores if not semaphore.has_room), None)
        if full is not None:
            full.waiting.append(leg)
            return
        for semaphore in semaphores:
            semaphore.taken += 1
        if _is_outside(leg):
            self._outside[leg.id] = leg
            self._asking.append(leg)
        else:
            self._line_up(leg)

    def _line_up(self, leg: LegSpec) -> None:
        self._queue.append(leg)
        self._queued.add(leg.id)

    def let_in(self, leg: LegSpec) -> None:
        """A group of the machine has room for a leg; one that does not ask any more is ignored."""
        if leg.id in self._outside and leg.id not in self._withdrawn:
            self._line_up(leg)

    def asking(self) -> list[LegSpec]:
        """Return the legs that have begun to ask for a group of the machine, each once."""
        asking, self._asking = self._asking, []
        return [leg for leg in asking if leg.id not in self._withdrawn]

    def leaving(self) -> list[LegSpec]:
        """Return the legs that are through with a group of the machine, each once."""
        leaving, self._leaving = self._leaving, []
        return leaving

    def next(self) -> LegSpec | None:
        """Return the leg that runs next, which has its slot now; None if none waits, or there is no slot."""
        while self._background:
            leg = self._background.popleft()
            if leg.id not in self._withdrawn:
                return leg
        while self._free_slots and self._queue:
            leg = self._queue.popleft()
            self._queued.discard(leg.id)
            if leg.id not in self._withdrawn:
                self._free_slots -= 1
                return leg
        return None

    def release(self, leg: LegSpec) -> None:
        """A leg has ended: its slot, and its room at each semaphore, are for others."""
        if leg.background:
            return
        self._free_slots += 1
        self._release(leg)

    def withdraw(self, leg: LegSpec) -> None:
        """A leg that was ready is cancelled for good."""
        self._withdrawn.add(leg.id)
        if leg.id in self._queued or leg.id in self._outside:
            self._release(leg)

    def _release(self, leg: LegSpec) -> None:
        if self._outside.pop(leg.id, None) is not None:
            self._leaving.append(leg)
        semaphores = self._semaphores(leg)
        for semaphore in semaphores:
            semaphore.taken -= 1
        for semaphore in semaphores:
            while semaphore.waiting and semaphore.has_room:
                waiting = semaphore.waiting.popleft()
                if waiting.id not in self._withdrawn:
                    self.enter(waiting)

    def _semaphores(self, leg: LegSpec) -> list[_Semaphore]:
        if leg.concurrency is None and not self._by_job and not leg.interactive:
            return []
        semaphores = [
            self._by_job.get(leg.job),
            self._by_group[leg.concurrency.group] if leg.concurrency and not _is_outside(leg) else None,
            self._terminal if leg.interactive else None,
        ]
        return [semaphore for semaphore in semaphores if semaphore is not None]


def _is_outside(leg: LegSpec) -> bool:
    """Say whether others than this run know if its group has room."""
    return leg.concurrency is not None and leg.concurrency.scope is GroupScope.MACHINE
