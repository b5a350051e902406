"""What takes too long: an item in a worker's hand, or a run in which nothing moves. Pure: looks and a clock go in.

    pulse of each worker ──► sight ──► Sighting: at one piece of work since …
                                          ├──► worked     seconds at work on it, waits at queues left out
                                          └──► stillness  seconds in which nothing moved ──► accuse: who holds it up

Nobody notes when an item began: that would cost every item a look at the clock. What has not changed between two looks
has lasted at least that long, so a worker is never accused too early, and by one look at most too late.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from runner.spec import Role
from runner.status import Pulse, Wait
from runner.units import format_duration

DEADLOCK = 60.0
"""Seconds after which a run in which every worker waits for another is given up, whatever its limits say."""
_LONGEST_LOOK = 1.0
_SHORTEST_LOOK = 0.05
_LOOKS = 10
"""Looks in the time of the shortest bound: an overdue item is found a tenth too late at the most."""


@dataclass(frozen=True, slots=True)
class Station:
    """A worker that is alive: what it is, how far it is."""

    name: str
    stage: str
    pid: int
    role: Role
    receives: str | None
    sends: str | None
    daemon: bool
    timeout: float | None
    pulse: Pulse
    finished: bool = False
    """It has said that all its work is done, and is still there."""

    @property
    def holds(self) -> int:
        """Items that it took and has not acknowledged."""
        return (
            max(0, self.pulse.received - self.pulse.done - self.pulse.failed)
            if self.receives is not None
            else 0
        )

    @property
    def is_at_work(self) -> bool:
        """Whether its handler has the word, and something to do."""
        return self.pulse.waiting is Wait.NOTHING and (self.receives is None or self.holds > 0)

    @property
    def piece(self) -> tuple[int, ...]:
        """What changes from one piece of work to the next: items taken and ended; for a producer, items put."""
        pulse = self.pulse
        if self.receives is None:
            return self.pid, pulse.sent, pulse.failed
        return self.pid, pulse.received, pulse.done, pulse.failed, pulse.mark

    @property
    def motion(self) -> tuple[int, ...]:
        """What changes whenever an item moves."""
        return (*self.piece, self.pulse.sent)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A worker as it was when it was first seen at a piece of work."""

    station: Station
    at: float


@dataclass(frozen=True, slots=True)
class Accusation:
    """Who holds a run up, and the words for it."""

    worker: str
    queue: str | None
    reason: str
    charge: str
    """What is held against it, without its name."""


def sight(before: Sighting | None, station: Station, now: float) -> Sighting:
    """Keep the first look at a piece of work; a new piece begins now."""
    return before if before is not None and before.station.piece == station.piece else Sighting(station, now)


def worked(first: Sighting, station: Station, now: float) -> float:
    """Seconds at work since the first sighting. What was spent waiting at a queue does not count."""
    return now - first.at - (_waited(station.pulse, now) - _waited(first.station.pulse, first.at))


def is_overdue(first: Sighting, station: Station, now: float) -> bool:
    """Whether a worker has been at one piece of work for longer than its stage allows."""
    return (
        station.timeout is not None and station.is_at_work and worked(first, station, now) >= station.timeout
    )


def interval(timeouts: Iterable[float | None]) -> float:
    """Seconds between two looks, so that the shortest of the bounds is kept well enough."""
    shortest = min((bound for bound in timeouts if bound is not None), default=_LONGEST_LOOK * _LOOKS)
    return min(_LONGEST_LOOK, max(_SHORTEST_LOOK, shortest / _LOOKS))


@dataclass(frozen=True, slots=True)
class Stillness:
    """Since when nothing has moved."""

    motions: Mapping[str, tuple[int, ...]]
    since: float


def still(before: Stillness | None, stations: Collection[Station], now: float) -> Stillness:
    """Keep the time since which nothing has moved; whoever is born or gone is a movement too."""
    motions = {station.name: station.motion for station in stations}
    return before if before is not None and before.motions == motions else Stillness(motions, now)


def is_excused(stations: Collection[Station], waiting: Mapping[str, int]) -> bool:
    """Whether that nothing moves is in order: something is sure to move, or to be ended, by itself.

    A worker within its stage's `timeout` will, and so will items that wait although a reader is hungry: they are held
    back until their retry is due. Plain processes move no items, so they can't show that they are stuck, unless they
    wait for a lock; a daemonic one may hold it.
    """
    locked = any(station.pulse.waiting is Wait.LOCK for station in stations)
    return any(
        (station.is_at_work and station.timeout is not None)
        or (_is_plainly_at_work(station) and (locked or not station.daemon))
        or (station.pulse.waiting is Wait.ITEM and waiting.get(station.receives or "", 0) > 0)
        for station in stations
    )


def all_wait(stations: Collection[Station], since: float, now: float) -> bool:
    """Whether everyone waits for another, and has done so for too long: nothing can ever move again."""
    in_question = _in_question(stations)
    return bool(in_question) and all(
        station.pulse.waiting is not Wait.NOTHING
        and now - max(since, station.pulse.waiting_since) >= DEADLOCK
        for station in in_question
    )


def accuse(sightings: Mapping[str, Sighting], stations: Collection[Station], now: float) -> Accusation | None:
    """Name who most likely holds the run up. Whoever waits for room holds up nobody: others do not make it."""
    in_question = _in_question(stations)
    if not in_question:
        return None
    worst = max(in_question, key=lambda s: (_suspicion(s), now - sightings[s.name].at))
    others = sum(_suspicion(station) == _suspicion(worst) for station in in_question) - 1
    lasted = format_duration(round(now - sightings[worst.name].at, 1))
    also = f", and so do {others} more" if others > 1 else ", and so does one more" if others else ""
    queue = worst.sends if worst.receives is None else worst.receives
    who = f"worker '{worst.name}' (pid {worst.pid}) of stage '{worst.stage}'"
    charge = f"{_charge(worst)} for {lasted}"
    return Accusation(worst.name, queue, f"{who} {charge}{also}", charge)


def _is_plainly_at_work(station: Station) -> bool:
    return station.role is Role.PLAIN and station.pulse.waiting is not Wait.LOCK


def _in_question(stations: Iterable[Station]) -> list[Station]:
    """Those of whom one can tell that they wait: at a queue, or for a lock."""
    return [station for station in stations if not _is_plainly_at_work(station)]


def _suspicion(station: Station) -> int:
    if station.is_at_work:
        return 5 if station.holds else 3
    if station.pulse.waiting is Wait.NOTHING:
        return 2
    if station.pulse.waiting is Wait.ITEM:
        return 4 if station.holds else 0
    return 1


def _charge(station: Station) -> str:
    """What is held against a worker, as the end of a sentence that goes on with how long."""
    if station.finished:
        return "is done with all its work, and a thread of its handler has kept it from ending"
    held = "1 item" if station.holds == 1 else f"{station.holds} items"
    match station.pulse.waiting:
        case Wait.NOTHING if station.holds:
            return f"has been at work on an item of queue '{station.receives}'"
        case Wait.NOTHING if station.receives is None:
            return f"has put nothing on queue '{station.sends}'"
        case Wait.NOTHING:
            return f"has taken nothing from queue '{station.receives}'"
        case Wait.ITEM if station.holds:
            return f"waits for more of queue '{station.receives}' and has not acknowledged {held} (task_done)"
        case Wait.ITEM:
            return f"waits for an item of queue '{station.receives}'"
        case Wait.ROOM:
            return f"waits for room in queue '{station.sends}'"
        case Wait.JOIN:
            return f"waits in join() for queue '{station.sends}'"
        case Wait.LOCK:
            return "waits for a lock"


def doing(station: Station) -> str:
    """Say what a worker does, as the rest of a sentence in the past."""
    if station.finished:
        return "was done with all its work, and a thread of its handler kept it from ending"
    match station.pulse.waiting:
        case Wait.NOTHING if station.holds:
            return f"was at work on an item of queue '{station.receives}'"
        case Wait.NOTHING if station.receives is None:
            return (
                "was at work" if station.sends is None else f"was making an item for queue '{station.sends}'"
            )
        case Wait.NOTHING:
            return "was at work, with no item in hand"
        case Wait.ITEM:
            return f"waited for an item of queue '{station.receives}'"
        case Wait.ROOM:
            return f"waited for room in queue '{station.sends}'"
        case Wait.JOIN:
            return f"waited in join() for queue '{station.sends}'"
        case Wait.LOCK:
            return "waited for a lock"


def _waited(pulse: Pulse, now: float) -> float:
    return pulse.waited + (0.0 if pulse.waiting is Wait.NOTHING else max(0.0, now - pulse.waiting_since))
