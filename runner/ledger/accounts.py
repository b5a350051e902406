"""The ledger: who put what, who holds it, what became of it. Pure: no socket, no process, no clock of its own.

    put ──► waiting ──lease──► leased ──► done
               ▲                 │ ├────► dropped
               └── came back ────┘ └────► dead-lettered       put = waiting + leased + done + dropped + dead-lettered

`CountedLedger` is told by each worker how many items it put, took and finished: there the queue itself hands out the
items. In `LeaseQueue` (leases.py) and `PartitionedQueue` (partitioned.py) the ledger hands them out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from runner.errors import MprunInternalError
from runner.facts import dataclass

if TYPE_CHECKING:
    from runner.events.run import QueueCounts


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the items of one queue, up to now. Times in seconds."""

    queue: str
    maxsize: int | None
    put: int = 0
    waiting: int = 0
    leased: int = 0
    done: int = 0
    done_before: int = 0
    """Of the items that are done, those that were so when this runner went on with the run."""
    dropped: int = 0
    duplicates: int = 0
    """Items whose key was put before, where the queue takes each key once: they never were in it."""
    dead_lettered: int = 0
    lost: int = 0
    """Items that were to be kept as dead letters, and could not be written."""
    peak: int = 0
    max_bytes: int | None = None
    bytes: int = 0
    """Bytes of items that have not come to an end, where the queue counts them."""
    peak_bytes: int = 0
    """Most of them at a time."""
    full_seconds: float = 0.0
    joined: bool = False
    held_back: bool = False
    """Nothing waits, and whoever holds items waits for more before it is done with any. Not for events."""

    @property
    def settled(self) -> bool:
        """Every item that was put has come to an end."""
        return self.put == self.ended

    @property
    def balanced(self) -> bool:
        """Every item that was put is somewhere, and none is in two places."""
        return self.put == self.waiting + self.leased + self.ended

    @property
    def ended(self) -> int:
        """Items that have come to an end, in whichever way."""
        return self.done + self.dropped + self.duplicates + self.dead_lettered + self.lost

    def with_duplicates(self, count: int) -> Account:
        """Return the account with `count` of what was dropped as duplicates."""
        return replace(self, dropped=self.dropped - count, duplicates=count) if count else self

    def with_lost(self, count: int) -> Account:
        """Return the account with `count` of its dead letters, which nobody could write, as lost."""
        return replace(self, dead_lettered=self.dead_lettered - count, lost=count) if count else self

    def with_kept(self, count: int) -> Account:
        """Return the account with `count` of what waits as held: a reader took it, and nobody will take it again."""
        kept = max(0, min(count, self.waiting))
        return replace(self, waiting=self.waiting - kept, leased=self.leased + kept) if kept else self

    def as_fields(self) -> QueueCounts:
        """The account as events and the report show it."""
        return {
            "name": self.queue,
            "maxsize": self.maxsize,
            "put": self.put,
            "waiting": self.waiting,
            "leased": self.leased,
            "done": self.done,
            "done_before": self.done_before,
            "dropped": self.dropped,
            "duplicates": self.duplicates,
            "dead_lettered": self.dead_lettered,
            "lost": self.lost,
            "peak": self.peak,
            "max_bytes": self.max_bytes,
            "bytes": self.bytes,
            "peak_bytes": self.peak_bytes,
            "full_seconds": self.full_seconds,
            "joined": self.joined,
        }


@dataclass(frozen=True, slots=True)
class Tally:
    """What one worker says of one queue, counted since it began: cumulative, so that a tally lost is no harm."""

    put: int = 0
    taken: int = 0
    done: int = 0
    dropped: int = 0


class CountedLedger:
    """The account of a queue that hands out its own items. Facts come as the latest tally of each worker."""

    def __init__(self, queue: str, maxsize: int | None) -> None:
        self._tallies: dict[str, Tally] = {}
        self._account = Account(queue, maxsize)
        self._full_since: float | None = None

    def update(self, tallies: Iterable[tuple[str, Tally]], now: float) -> None:
        """Take in the latest tallies. A worker that is told of twice counts once."""
        self._tallies.update(tallies)
        put, taken, done, dropped = self._sums()
        # Tallies are read one after the other while the workers go on: an item may be seen taken before it is seen put.
        taken = max(taken, done + dropped)
        put = max(put, taken)
        if self._account.maxsize is not None:
            # What is over the bound has left the queue, though its reader has not counted it yet.
            taken = max(taken, put - self._account.maxsize)
        waiting = put - taken
        self._account = replace(
            self._account,
            put=put,
            waiting=waiting,
            leased=taken - done - dropped,
            done=done,
            dropped=dropped,
            peak=max(self._account.peak, waiting),
            full_seconds=self._account.full_seconds + self._time_full(waiting, now),
        )

    def account(self) -> Account:
        """Take stock, as of the last `update`."""
        return self._account

    def verify(self) -> None:
        """Check the sums once no worker is left to change them: nothing may have been taken that nobody put.

        Raises:
            MprunInternalError: they do not add up.
        """
        put, taken, done, dropped = self._sums()
        if not put >= taken >= done + dropped:
            raise MprunInternalError(
                f"the ledger of queue '{self._account.queue}' does not add up: "
                f"{put} put, {taken} taken, {done} done, {dropped} dropped"
            )

    def _sums(self) -> tuple[int, int, int, int]:
        tallies = self._tallies.values()
        return (
            sum(tally.put for tally in tallies),
            sum(tally.taken for tally in tallies),
            sum(tally.done for tally in tallies),
            sum(tally.dropped for tally in tallies),
        )

    def _time_full(self, waiting: int, now: float) -> float:
        since, maxsize = self._full_since, self._account.maxsize
        self._full_since = now if maxsize is not None and waiting >= maxsize else None
        return 0.0 if since is None else now - since
