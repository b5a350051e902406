"""Whether a worker that died gets a successor, and when. Pure: a history in, a decision out.

    deaths of the stage ──► decide ──► Restart(delay)    under the same name, one generation on
                                  └──► GiveUp(why)       the stage's budget is gone, or the handler itself is at fault

Two things are told apart. A worker that dies now and then is made good at once, within the budget. One that dies
before its first item points at the handler: a second try may help it (what it connects to may not be there yet), but
the second time in a row it is given up, whatever is left of the budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from runner.spec import RestartOn, RestartPolicy
from runner.units import format_duration

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
BARREN_LIVES = 2
"""Lives in a row that one worker may end by its own fault before its first item; then it is given up."""
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
    if _run(own, barren=True) >= BARREN_LIVES:
        times = f"{BARREN_LIVES} times in a row"
        return GiveUp(f"it ended {times} before its first item, so the handler itself seems to be at fault")
    recent = sum(_counts(death) for death in deaths if death.at > now - policy.within)
    if recent > policy.max:
        return GiveUp(_over_budget(policy, recent))
    return Restart(_delay(_run(own, barren=False)))


def _counts(death: Death) -> bool:
    """Ending by itself after some work is what `always` is for; only doing so idly would go on for ever."""
    return death.crashed or death.done == 0


def _run(own: Iterable[Death], *, barren: bool) -> int:
    """Count the latest lives in a row that were barren, or that at least got nothing done."""
    lives = 0
    for death in reversed(list(own)):
        if not (death.barren if barren else death.idle):
            break
        lives += 1
    return lives


def _delay(idle_lives: int) -> float:
    """The first successor comes at once; one that follows another that did nothing comes later and later."""
    if idle_lives <= 1:
        return 0.0
    return min(FIRST_DELAY * 2.0 ** min(idle_lives - 2, _MOST_DOUBLINGS), LONGEST_DELAY)


def _over_budget(policy: RestartPolicy, recent: int) -> str:
    times = "once" if recent == 1 else f"{recent} times"
    span = format_duration(policy.within)
    return f"the stage's workers ended {times} within {span}, and restart.max allows {policy.max}"
