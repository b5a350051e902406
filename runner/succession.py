"""Who takes a dead worker's place, and when: what restart.py decides on, remembered. Pure; the clock is handed in.

died ──► decide ──► Restart ──► due(now) ──► the next generation
                       └──► cancelled, where the run no longer needs it
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

from runner.facts import Exited
from runner.plan import WorkerPlan
from runner.restart import Death, GiveUp, Restart, decide, exceeded
from runner.spec import RestartPolicy
from runner.status import Counters

_KEPT = 8
"""Lives of each worker that are remembered however long ago they ended: enough to see how many came to nothing. Those
in a row that ended before their first item are all remembered, since they are counted."""


class Succession:
    """The deaths of each stage, and the births that are to come of them."""

    def __init__(self) -> None:
        self._deaths: defaultdict[str, list[Death]] = defaultdict(list)
        self._due: dict[str, tuple[float, str]] = {}
        self._policies: dict[str, RestartPolicy] = {}
        self._forgiven: set[int] = set()
        self._suspected: set[int] = set()
        """Processes that had an item in hand, and whose end is not known here yet."""

    def died(self, stage: str, policy: RestartPolicy, death: Death) -> Restart | GiveUp:
        """Decide on a worker's death at `death.at`. A successor, if there is to be one, is `due` in time."""
        known, self._policies[stage] = self._deaths[stage], policy
        death = replace(death, on_item=death.pid in self._suspected and death.crashed)
        self._suspected.discard(death.pid)
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

    def suspect(self, pid: int) -> None:
        """An item was in hand at a death that `died` is about to tell: the item answers for it."""
        self._suspected.add(pid)

    def forgive(self, pids: Iterable[int]) -> None:
        """Deaths that one item is to blame for don't count; the last of them may not be known yet."""
        pardoned = set(pids)
        known = {death.pid for deaths in self._deaths.values() for death in deaths}
        for stage, deaths in self._deaths.items():
            self._deaths[stage] = [death for death in deaths if death.pid not in pardoned]
        self._forgiven |= pardoned - known

    def charge(self, pids: Iterable[int], now: float) -> str | None:
        """The item that was in hand at these deaths is innocent: they count. Say why, if a budget is gone by that."""
        charged = set(pids)
        for stage, deaths in self._deaths.items():
            if _take_over(deaths, charged):
                over = exceeded(self._policies[stage], deaths, now)
                if over is not None:
                    return over.why
        return None

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


def _take_over(deaths: list[Death], pids: set[int]) -> bool:
    """Make those of `pids` their stage's own, latest first, and take them out of `pids`; say whether there were any."""
    sought = len(pids)
    for index in reversed(range(len(deaths))):
        if not pids:
            break
        if deaths[index].pid in pids:
            pids.discard(deaths[index].pid)
            deaths[index] = replace(deaths[index], on_item=False)
    return len(pids) < sought


def _recent(deaths: list[Death], since: float) -> list[Death]:
    """Forget what can't matter any more."""
    lives: Counter[str] = Counter()
    has_begun: set[str] = set()
    kept = []
    for death in reversed(deaths):
        lives[death.worker] += 1
        has_begun |= set() if death.barren else {death.worker}
        if death.at > since or lives[death.worker] <= _KEPT or death.worker not in has_begun:
            kept.append(death)
    return kept[::-1]
