"""What a handler sees of the queue that it writes to, under `leased`: a JoinableQueue's own methods.

OutboxEnd ◄── FrameOutbox (writer.py)      sends what has gathered as soon as there is leave
          ◄── HeldOutbox (by_hand.py)      holds it until the item is done that it was made from
"""

from __future__ import annotations

import queue
import time

from runner.ipc.status_page import Wait
from runner.transports.leased.session import WorkerSession

TICK = 0.0005
"""Seconds between two looks at something that nobody tells of."""


class OutboxEnd:
    """The face of an outbox; what becomes of an item, `add` and `flush` say."""

    def __init__(self, session: WorkerSession, *, in_order: bool) -> None:
        """`in_order`: the stage keeps the order of its items."""
        self.session = session
        self._in_order = in_order

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, waiting for room; one that is held waits only where it can't be.

        Raises:
            queue.Full: there is none, and the caller does not wait.
            Stopping: the run is being stopped, in a producer; or the worker is to close, and nobody makes room for it.
            ItemTooBig: it is bigger than the queue can ever hold. A ValueError.
            ShardKeyError: it has no key to be sharded by.
            RuntimeError: the stage keeps the order of its items, and nobody can tell which one this was made from.
        """
        if self._in_order:
            raise RuntimeError(
                "`order: keep` needs a handler that returns or yields what it makes of an item"
            )
        self.check_stop()
        if not block or timeout is not None:
            self._wait_for_room(timeout if block and timeout is not None else 0.0)
        self.add(item)

    def add(self, item: object) -> None:
        """Gather one item, and send what has gathered where it is time. Raises as `put` does."""
        raise NotImplementedError

    def flush(self) -> object:
        """Send what has gathered."""
        raise NotImplementedError

    def check_stop(self) -> None:
        """Raise `Stopping` in a producer that is to end."""

    def join(self) -> None:
        """Wait until every item ever put is done. Raises `Stopping` once nobody works them off any more."""
        self.flush()
        self.session.blocked(Wait.JOIN, self.session.join)

    def task_done(self) -> None:
        """An outbox hands out nothing. Raises ValueError, as a JoinableQueue does when called too often."""
        raise ValueError("task_done() called too many times")

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """An outbox hands out nothing. Raises `queue.Empty`."""
        raise queue.Empty

    def qsize(self) -> int:
        """Count the items waiting in the queue."""
        self.flush()
        return self.session.stock(of_outbox=True).waiting

    def empty(self) -> bool:
        """Say whether no item waits."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Say whether there is no room."""
        self.flush()
        return self.session.stock(of_outbox=True).room == 0

    def _wait_for_room(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self.full():
            if time.monotonic() >= deadline:
                raise queue.Full
            self.session.pause(TICK)
