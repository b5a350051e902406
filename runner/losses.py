"""What it means for the run that a worker is gone for good: nothing, that it drains, or that it ends at once. Pure.

it had done all there was to do ──────────────────► nothing
a reader was asked to end; others go on ──────────► nothing
a producer is gone in the middle of its work ─────► Drain    what it had put stays put, and is worked off
a plain worker was asked to end ──────────────────► Drain
any other death ──────────────────────────────────► Fail
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runner.plan import Plan, WorkerPlan
from runner.roster import Ending
from runner.spec import Role
from runner.units import counted

FROM_OUTSIDE = "stopped by `mprun stop --worker`"
"""The reason of a worker's end that somebody asked for who asked for no other's."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A worker that ended and in whose place nobody comes."""

    worker: WorkerPlan
    pid: int
    ending: Ending
    given_up: str
    """Why it was not replaced, where it should have been; empty where that is no question."""
    held: Sequence[str]
    """The items in its hands, as far as they are known."""
    put: int
    """Items that it and its earlier generations had put."""


@dataclass(frozen=True, slots=True)
class Drain:
    """The run can't come to its proper end, but what is in its queues can be worked off."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """The run can't go on."""

    reason: str


def weigh(loss: Loss, *, outlives_workers: bool) -> Drain | Fail | None:
    """Say what follows from a loss. `outlives_workers`: the transport loses nothing by a death."""
    worker, how = loss.worker, loss.ending.reason
    if _is_cut_short(loss):
        return Drain(_told(loss, f"was {how}") + _stays(loss))
    if loss.ending.outcome != "died" and not loss.given_up:
        return None
    if worker.receives is None and worker.sends is not None and outlives_workers:
        return Drain(_told(loss, how) + _stays(loss))
    return Fail(_told(loss, how))


def abandoned(plan: Plan, queue: str, stopped: Sequence[str]) -> str:
    """Say why a queue will not be emptied any more; `stopped` names its readers that were asked to end."""
    sharded = any(each.name == queue and each.shard_by is not None for each in plan.queues)
    who = "a reader has ended, and no other may take its shard" if sharded else "every reader has ended"
    asked = f" ({', '.join(map(repr, stopped))} {FROM_OUTSIDE})" if stopped else ""
    return f"queue '{queue}': {who}{asked}, and items are left: not taken, or taken without task_done"


def _is_cut_short(loss: Loss) -> bool:
    """Whether items were left unmade. A daemonic worker has no end of its own to come to, and a plain one no items."""
    asked = loss.ending.outcome == "stopped" and loss.ending.reason == FROM_OUTSIDE
    return asked and loss.worker.role is Role.PRODUCER and not loss.worker.daemon


def _told(loss: Loss, how: str) -> str:
    worker = loss.worker
    held = f"; it held {', '.join(loss.held)}" if loss.held and loss.held[0] not in how else ""
    why = f"; {loss.given_up}" if loss.given_up else ""
    return f"stage '{worker.stage}': worker '{worker.name}' (pid {loss.pid}) {how}{held}{why}"


def _stays(loss: Loss) -> str:
    """Say what becomes of the items of a worker that makes some."""
    if loss.worker.sends is None:
        return ""
    return (
        f"; what it had put, {counted(loss.put, 'item')}, is worked off"
        if loss.put
        else "; it had put nothing"
    )
