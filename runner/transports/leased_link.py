"""What the `leased` transport knows of one worker that is alive."""

from __future__ import annotations

from dataclasses import dataclass

from runner.books import LeaseBook
from runner.pace import Pace
from runner.plan import WorkerPlan
from runner.wire import SupervisorWire


@dataclass(slots=True)
class Link:
    """A worker that is alive, its stream and its queues."""

    plan: WorkerPlan
    wire: SupervisorWire
    inbox: LeaseBook | None
    outbox: LeaseBook | None
    pace: Pace
    pid: int
    in_order: bool = False
    """What it makes of items goes on in the order of those items."""
    wants_join: bool = False
    wanted: int = 1
    """Items that it may hold at once, as the book was told last."""
    put: int = 0
    done: int = 0
    """Items that it has acknowledged, in this life."""
    failed: int = 0
    """Items that its handler raised on."""
    retired: bool = False
    """It finishes what it holds, and gets nothing more."""
    killed_because: str = ""
    """Why it had to be killed, if so."""
    dismissed: bool = False
    """It was asked to end: what it has in hand then is not to blame for its death."""
