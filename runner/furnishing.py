"""Open what a plan declares for its workers, before any of them; each kind is imported only where it is wanted.

plan: locks, servers, pipes, shared ──► furnish ──► Provisions, which transports pass on to workers
                                               └──► Upkeep, which the supervisor looks after
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from runner.listeners import Listeners
from runner.plan import Plan
from runner.provisions import Provider, Provisions
from runner.upkeep import Keeper, Upkeep


@dataclass(frozen=True, slots=True)
class Furnished:
    """What a run was furnished with."""

    provisions: Provisions
    upkeep: Upkeep


@contextmanager
def furnish(plan: Plan) -> Iterator[Furnished]:
    """
    Open everything; close it at the end, or as soon as one thing can't be had.

    Raises:
        StartFailed: the system refuses one of them, such as a port that is taken.
    """
    with ExitStack() as opened:
        providers: list[Provider] = []
        upkeep = Upkeep()
        for provider in _wanted(plan):
            opened.callback(provider.close)
            providers.append(provider)
            match provider:
                case Listeners():
                    upkeep.listeners = provider
                case Keeper():
                    upkeep.keeper = provider
        yield Furnished(Provisions(tuple(providers)), upkeep)


def _wanted(plan: Plan) -> Iterator[Provider]:
    """Open one thing after the other, each when the one before is in safe hands."""
    if plan.locks and plan.transport != "inline":  # where workers are strands, their transport has the locks
        from runner.locks import LockProvider

        yield LockProvider(plan.locks)
    if any(worker.handler.kind != "python" for worker in plan.workers):
        yield Listeners(plan)
    if plan.pipes:
        from runner.pipes import Pipes

        yield Pipes(plan)
    if plan.shared:
        from runner.shared import LocalObjects, SharedObjects

        yield LocalObjects(plan) if plan.transport == "inline" else SharedObjects(plan)
