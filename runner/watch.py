"""The supervisor's watch over its workers: looks at each in turn of the clock and says who can't be waited for.

    pulses, stopped workers ──► look(now) ──► Condemned: kill it, as one that has died
                                              Stalled: the run can't go on

What is too long is decided in `deadlines`; nothing is done here.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from runner import deadlines
from runner.deadlines import DEADLOCK, Sighting, Station, Stillness
from runner.facts import Exited
from runner.memory_limit import OomWatch
from runner.plan import Plan
from runner.roster import Ending, Record
from runner.transports.base import Transport
from runner.units import format_duration

STOPPED_GRACE = 1.0
"""Seconds that a worker may be stopped by a signal: a debugger or a job control that lets it go on is left alone."""
_GAP = 2.0
"""Seconds late that a look may come. After a longer gap it was this process that was stopped: all begins anew."""


@dataclass(frozen=True, slots=True)
class Condemned:
    """A worker that can't be waited for any longer: it is to be killed, which counts as its death."""

    worker: str
    reason: str
    has_stacks: bool
    """Whether it can still be asked what it does."""
    where: str = ""
    """The item that it is at, to be added to the reason."""


@dataclass(frozen=True, slots=True)
class Stalled:
    """Nothing moves, and nothing will."""

    reason: str
    holder: str | None
    """The worker that most likely holds the others up."""
    charge: str = ""
    """What is held against that one."""


Finding = Condemned | Stalled


class Watch:
    """Remembers what it saw of each worker from look to look."""

    def __init__(self, plan: Plan, transport: Transport, now: float) -> None:
        self._transport = transport
        self._stall_timeout = plan.limits.stall_timeout
        self._every = deadlines.interval([*(w.timeout for w in plan.workers), plan.limits.stall_timeout])
        self._sightings: dict[str, Sighting] = {}
        self._stopped: dict[str, float] = {}
        self._stillness: Stillness | None = None
        self._since = now
        self._oom = OomWatch()
        # Strands of one process can't be killed one by one, and who waits for ever there is found at once.
        self.next_look = math.inf if plan.transport == "inline" else now + self._every

    def look(self, alive: Collection[Record], now: float, *, may_stall: bool) -> list[Finding]:
        """Look at whoever is alive, if it is time to; `may_stall` is false once the run is being stopped."""
        if now < self.next_look:
            return []
        if now - self.next_look > _GAP:
            self._forget(now)
        self.next_look = now + self._every
        stations = [self._station(record) for record in alive]
        self._sight(stations, now)
        condemned: list[Finding] = [*self._long_stopped(now), *self._overdue(stations, now)]
        if condemned or not may_stall:
            return condemned
        return list(self._stalled(stations, now))

    def explain(self, ending: Ending, exited: Exited) -> Ending:
        """Add what is known of a SIGKILL that was none of ours."""
        if ending.outcome == "died" and exited.code == -signal.SIGKILL and self._oom.has_struck():
            return replace(ending, reason=f"{ending.reason}: the kernel had no memory left (oom_kill)")
        return ending

    def doing(self, record: Record) -> str:
        """Say what a worker does right now, as the rest of a sentence."""
        item = ", ".join(self._transport.items_at_stake(record.plan.name))
        doing = deadlines.doing(self._station(record))
        return f"{doing}, {item}," if item else doing

    def _forget(self, now: float) -> None:
        self._sightings.clear()
        self._stopped.clear()
        self._stillness = None
        self._since = now

    def _station(self, record: Record) -> Station:
        plan = record.plan
        return Station(
            name=plan.name,
            stage=plan.stage,
            pid=record.pid,
            role=plan.role,
            receives=plan.receives,
            sends=plan.sends,
            daemon=plan.daemon,
            timeout=plan.timeout,
            pulse=self._transport.pulse(plan.name),
            finished=record.finished,
        )

    def _sight(self, stations: Collection[Station], now: float) -> None:
        before = self._sightings
        self._sightings = {s.name: deadlines.sight(before.get(s.name), s, now) for s in stations}
        self._stillness = deadlines.still(self._stillness, stations, now)

    def _long_stopped(self, now: float) -> Iterator[Condemned]:
        stopped = self._transport.stopped()
        self._stopped = {name: self._stopped.get(name, now) for name in stopped}
        for name, since in self._stopped.items():
            if now - since >= STOPPED_GRACE:
                yield Condemned(name, "was stopped (SIGSTOP)", has_stacks=False)

    def _overdue(self, stations: Collection[Station], now: float) -> Iterator[Condemned]:
        for station in stations:
            if station.name not in self._stopped and deadlines.is_overdue(
                self._sightings[station.name], station, now
            ):
                assert station.timeout is not None
                item = ", ".join(self._transport.items_at_stake(station.name))
                on = f" on item {item}" if item else ""
                reason = f"timed out after {format_duration(station.timeout)}"
                yield Condemned(station.name, reason, has_stacks=True, where=on)

    def _stalled(self, stations: Collection[Station], now: float) -> Iterator[Stalled]:
        assert self._stillness is not None
        bound, still_for = self._stall_timeout, now - self._stillness.since
        if still_for < min(DEADLOCK, DEADLOCK if bound is None else bound) or self._stopped:
            return
        if deadlines.is_excused(stations, self._waiting(stations)):
            self._stillness = None
            return
        if bound is not None and still_for >= bound:
            yield self._stall(
                stations, f"nothing moved for limits.stall_timeout, {format_duration(bound)}", now
            )
        elif deadlines.all_wait(stations, self._since, now):
            yield self._stall(stations, "every worker waits for another, and nothing can move", now)

    def _waiting(self, stations: Collection[Station]) -> dict[str, int]:
        queues = {station.receives for station in stations if station.receives is not None}
        return {queue: self._transport.account(queue).waiting for queue in queues}

    def _stall(self, stations: Collection[Station], what: str, now: float) -> Stalled:
        accused = deadlines.accuse(self._sightings, stations, now)
        if accused is None:
            return Stalled(what, None)
        item = ", ".join(self._transport.items_at_stake(accused.worker))
        reason = f"{what}: {accused.reason}{f'; it holds {item}' if item else ''}"
        return Stalled(reason, accused.worker, accused.charge)
