"""What every transport whose workers are processes says of them in the same way: straight from the pool.

supervisor ──► JoinableTransport, LeasedTransport ──► PooledTransport ──► ProcessPool: pages, pidfds, selector
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection

from runner.status import Counters, Pulse, Word
from runner.transports.base import HasFileno
from runner.transports.pool import ProcessPool


class PooledTransport:
    """The part of a transport that only concerns its processes; `_pool` is made by whoever inherits this."""

    _pool: ProcessPool

    def counters(self, worker: str) -> Counters:
        """Read a worker's page."""
        return self._pool.status(worker).counters()

    def pulse(self, worker: str) -> Pulse:
        """Read how far a worker is."""
        return self._pool.status(worker).pulse()

    def stopped(self) -> frozenset[str]:
        """Name the workers that a signal has stopped."""
        return self._pool.stopped()

    def items_at_stake(self, worker: str) -> list[str]:
        """Name the item that the worker had in hand, if it had a name."""
        item = self._pool.status(worker).item
        return [item] if item else []

    def watch(self, end: HasFileno, ready: Callable[[], None]) -> None:
        """Call `ready` within `wait` whenever `end` can be read."""
        self._pool.watch(end, ready)

    def unwatch(self, end: HasFileno) -> None:
        """Stop that."""
        self._pool.unwatch(end)

    def stop_producing(self, worker: str) -> None:
        """Write the wish to stop into the producer's page."""
        self._pool.status(worker).words[Word.STOP] = 1

    def signal(self, worker: str, number: signal.Signals, because: str = "") -> None:
        """Signal a worker and its group."""
        self._pool.signal(worker, number)

    def abandon(self) -> None:
        """Kill and reap every worker."""
        self._pool.end_all()

    def revoke(self, worker: str, number: int) -> None:
        """Tell a worker that knows of it that item `number` is not wanted any more, and wake it."""
        self._pool.status(worker).words[Word.REVOKED] = number
        self._pool.nudge(worker, signal.SIGUSR1)

    def stacks(self, workers: Collection[str]) -> dict[str, str]:
        """Ask workers for their stacks."""
        return self._pool.stacks(workers)
