"""Whether a worker that died gets a successor, and when. Pure: a history in, a decision out.

    deaths of the stage ──► decide ──► Restart(delay)    under the same name, one generation on
                                  └──► GiveUp(why)       the stage's budget is gone, or the handler itself is at fault

Three things are told apart. A worker that dies now and then is made good at once, within the budget. One that dies with
an item in hand is made good as well, and the item answers for it: the stage is only charged once the item has gone
through elsewhere. One that dies before its first item points at the handler. What it connects to may not be there yet,
so it is tried again, later and later; without a `restart` of the user's own it is given up the second time in a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runner.spec import RestartOn, RestartPolicy
from runner.units import format_duration

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
_MOST_DOUBLINGS = 30
_FROM_OUTSIDE = frozenset({"SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"})


@dataclass(frozen=True, slots=True)
class Death:
    """How one generation of a worker ended."""

    worker: str
    pid: int
    at: float
    received: int = 0
    """Items that were handed to it. A producer: items that it put."""
    done: int = 0
    """Items that it acknowledged, or put."""
    signal: str | None = None
    crashed: bool = True
    """False where it ended by itself, before the end of its stream."""
    on_item: bool = False
    """An item was in its hand, which answers for it, by its attempts. They are finite, so such deaths are too."""

    @property
    def barren(self) -> bool:
        """It ended before its first item, and nobody from outside ended it."""
        return self.received == 0 and self.signal not in _FROM_OUTSIDE

    @property
    def idle(self) -> bool:
        """It got nothing done. Who is killed from outside before its first item had no chance to."""
        return self.done == 0 and (self.received > 0 or self.signal not in _FROM_OUTSIDE)


@dataclass(frozen=True, slots=True)
class Restart:
    """Give birth to the next generation after `delay` seconds."""

    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No successor. `why` is for the user; it is empty where none was ever meant to come."""

    why: str = ""


def decide(policy: RestartPolicy, deaths: Sequence[Death], now: float, crashed: bool) -> Restart | GiveUp:
    """
    Decide on the last of `deaths`, which are those of one stage, oldest first. None are there if none counts.

    `crashed` is False where the worker ended by itself before the end of its stream, which `always` makes good too.
    """
    if policy.on is RestartOn.NEVER or (not crashed and policy.on is not RestartOn.ALWAYS):
        return GiveUp()
    if not deaths:
        return Restart()
    own = [death for death in deaths if death.worker == deaths[-1].worker]
    barren = _run(own, barren=True)
    if policy.max and barren > (policy.max if policy.barren is None else policy.barren):
        return GiveUp(_never_up(policy, barren))
    over = exceeded(policy, deaths, now)
    return over or Restart(_delay(_run(own, barren=False), barren))


def exceeded(policy: RestartPolicy, deaths: Sequence[Death], now: float) -> GiveUp | None:
    """Say whether the deaths of one stage that are its own are more than it may have."""
    if len(deaths) <= policy.max:  # who allows thousands need not have them counted at each
        return None
    recent = sum(_counts(policy, death) for death in deaths if death.at > now - policy.within)
    return GiveUp(_over_budget(policy, recent)) if recent > policy.max else None


def _counts(policy: RestartPolicy, death: Death) -> bool:
    """Ending by itself after some work is what `always` is for; only doing so idly would go on for ever.

    Who allows no restart at all gets none, whoever is to blame.
    """
    if death.on_item and policy.max:
        return False
    return death.crashed or death.done == 0


def _run(own: Iterable[Death], *, barren: bool) -> int:
    """Count the latest lives in a row that were barren, or that at least got nothing done."""
    lives = 0
    for death in reversed(list(own)):
        if not (death.barren if barren else death.idle):
            break
        lives += 1
    return lives


def _delay(idle_lives: int, barren_lives: int) -> float:
    """The first successor comes at once, but not where its predecessor could not even begin: what that lacked needs a
    moment to come. One that follows another that did nothing comes later and later."""
    steps = max(idle_lives - 1, barren_lives)
    return min(FIRST_DELAY * 2.0 ** min(steps - 1, _MOST_DOUBLINGS), LONGEST_DELAY) if steps > 0 else 0.0


def _never_up(policy: RestartPolicy, lives: int) -> str:
    why = (
        "so the handler itself seems to be at fault"
        if policy.barren is not None
        else f"and restart.max allows {policy.max}"
    )
    return f"it ended {lives} times in a row before its first item, {why}"


def _over_budget(policy: RestartPolicy, recent: int) -> str:
    times = "once" if recent == 1 else f"{recent} times"
    span = format_duration(policy.within)
    return f"the stage's workers ended {times} within {span}, and restart.max allows {policy.max}"
