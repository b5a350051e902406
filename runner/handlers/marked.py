"""`queues.<name>.sentinel`: the end of the stream as a mark that `get()` returns, once, to each reader.

    JoinableQueue end ── items ──► get() ──► handler
         └─ EndOfStream, once every writer has finished and nothing is left ──► get() returns the mark, then raises

The mark never is in the queue: it takes no room, is no item of the ledger, and nothing can come behind it. A reader
that takes the place of a dead one, or is added to the others, finds the end as they do, and so its own mark.
"""

from __future__ import annotations

from runner.errors import EndOfStream
from runner.handlers.base import QueueEnd


class MarkedInbox:
    """A reader's end of a queue that shows its end as a mark. For handlers that drive the queue themselves."""

    def __init__(self, inbox: QueueEnd, mark: object) -> None:
        self._inbox = inbox
        self._mark = mark
        self._held = 0
        """Items that were taken and are not done."""
        self._has_taken_mark = self._owes_for_mark = False

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """Take an item, waiting for one; the mark at the end. Raises `queue.Empty`; `EndOfStream` after the mark."""
        try:
            item = self._inbox.get(block, timeout)
        except EndOfStream:
            if self._has_taken_mark:
                raise
            self._has_taken_mark = self._owes_for_mark = True
            return self._mark
        self._held += 1
        return item

    def task_done(self) -> None:
        """Say that the oldest item that was taken is done with. For the mark, the last of all, nobody need say it."""
        if not self._held and self._owes_for_mark:
            self._owes_for_mark = False
            return
        self._inbox.task_done()
        self._held -= 1

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """As the queue's own."""
        self._inbox.put(item, block, timeout)

    def join(self) -> None:
        """As the queue's own."""
        self._inbox.join()

    def qsize(self) -> int:
        """Count the items waiting, approximately; the mark is none."""
        return self._inbox.qsize()

    def empty(self) -> bool:
        """Say whether no item waits, approximately."""
        return self._inbox.empty()

    def full(self) -> bool:
        """Say whether there is no room, approximately."""
        return self._inbox.full()
