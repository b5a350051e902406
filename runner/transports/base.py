"""What a transport is: a matched set that opens channels and queues, spawns workers, and tells facts.

    supervisor ── start, end_stream, stop_producing, signal ──► Transport ──► workers
               ◄─────────────── facts, counters, accounts ────           ◄──

The supervisor decides, the transport acts; it has no policy of its own. Every transport passes the same suite.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from runner.facts import Fact
from runner.ledger import Account
from runner.plan import WorkerPlan
from runner.status import Counters


@dataclass(frozen=True, slots=True)
class Spawned:
    """A worker that now exists."""

    pid: int
    ppid: int


class Transport(Protocol):
    """How queues and workers exist. Used by one supervisor, from one thread."""

    ends_when_settled: bool
    """True if a reader's end of stream waits for what other readers hold, since that may come back to the queue."""

    def start(self, worker: WorkerPlan, generation: int) -> Spawned:
        """Give birth to a worker. Raises `StartFailed`."""

    def wait(self, timeout: float) -> Sequence[Fact]:
        """Block until something happens, a signal arrives, or `timeout` seconds have passed; return what happened."""

    def counters(self, worker: str) -> Counters:
        """Read what a worker has done; also after its death, until `close`."""

    def account(self, queue: str) -> Account:
        """Take stock of a queue."""

    def items_at_stake(self, worker: str) -> list[str]:
        """Name the items that a worker has taken and not acknowledged, as far as they are known."""

    def end_stream(self, queue: str, worker: str) -> None:
        """Tell a reader that nothing more will come."""

    def stop_producing(self, worker: str) -> None:
        """Ask a producer to put nothing more and to end."""

    def signal(self, worker: str, number: signal.Signals) -> None:
        """Send a signal to a worker and to what it has started; one that is gone is no error."""

    def stacks(self, worker: str) -> str:
        """Ask a worker for its Python stacks and return them; empty if it does not answer within a moment."""

    def close(self) -> None:
        """Give back every descriptor and queue. Every worker is gone by now."""
