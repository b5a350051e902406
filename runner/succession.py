"""Who takes a dead worker's place, and when: what restart.py decides on, remembered. Pure; the clock is handed in.

died ──► decide ──► Restart ──► due(now) ──► the next generation
                       └──► cancelled, where the run no longer needs it
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable

from runner.facts import Exited
from runner.plan import WorkerPlan
from runner.restart import Death, GiveUp, Restart, decide
from runner.spec import RestartPolicy
from runner.status import Counters

_KEPT = 8
"""Lives of each worker that are remembered however long ago they ended: enough to see how many came to nothing."""


class Succession:
    """The deaths of each stage, and the births that are to come of them."""

    def __init__(self) -> None:
        self._deaths: defaultdict[str, list[Death]] = defaultdict(list)
        self._due: dict[str, tuple[float, str]] = {}
        self._forgiven: set[int] = set()

    def died(self, stage: str, policy: RestartPolicy, death: Death) -> Restart | GiveUp:
        """Decide on a worker's death at `death.at`. A successor, if there is to be one, is `due` in time."""
        known = self._deaths[stage]
        if death.pid in self._forgiven and death.crashed:
            self._forgiven.discard(death.pid)
            decision = decide(policy, [], death.at, crashed=True)
        else:
            known.append(death)
            self._deaths[stage] = known = _recent(known, death.at - policy.within)
            decision = decide(policy, known, death.at, crashed=death.crashed)
        if isinstance(decision, Restart):
            self._due[death.worker] = (death.at + decision.delay, stage)
        return decision

    def forgive(self, stage: str, pids: Iterable[int]) -> None:
        """Deaths that one item is to blame for don't count; the last of them may not be known yet."""
        pardoned = set(pids)
        known = {death.pid for death in self._deaths[stage]}
        self._deaths[stage] = [death for death in self._deaths[stage] if death.pid not in pardoned]
        self._forgiven |= pardoned - known

    def due(self, now: float) -> list[str]:
        """Take out the workers whose next generation is due."""
        ripe = [worker for worker, (at, _) in self._due.items() if at <= now]
        for worker in ripe:
            del self._due[worker]
        return ripe

    @property
    def soonest(self) -> float:
        """When the next birth is due; infinity if none is."""
        return min((at for at, _ in self._due.values()), default=math.inf)

    def cancel(self, stages: Iterable[str]) -> list[str]:
        """Let no successor come in these stages; return those that would have."""
        unwanted = set(stages)
        cancelled = [worker for worker, (_, stage) in self._due.items() if stage in unwanted]
        for worker in cancelled:
            del self._due[worker]
        return cancelled


def death_of(plan: WorkerPlan, exited: Exited, counters: Counters, at: float, *, crashed: bool) -> Death:
    """Put together what is known of a worker's end. A producer's items are those that it put."""
    reads = plan.receives is not None
    return Death(
        worker=plan.name,
        pid=exited.pid,
        at=at,
        received=counters.received if reads else counters.sent,
        done=counters.done if reads else counters.sent,
        signal=exited.signal_name,
        crashed=crashed,
    )


def _recent(deaths: list[Death], since: float) -> list[Death]:
    """Forget what can't matter any more."""
    lives: Counter[str] = Counter()
    kept = []
    for death in reversed(deaths):
        lives[death.worker] += 1
        if death.at > since or lives[death.worker] <= _KEPT:
            kept.append(death)
    return kept[::-1]
