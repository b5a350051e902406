"""The book of a queue whose items the ledger itself hands out. Pure: facts in by method, decisions out by `decide`.

    offer ──► parked ──room──► waiting ──lease──► leased ──► done
                                  ▲                 │ ├────► dropped
                                  └─ died, retry ───┘ └────► dead-lettered

Items travel in frames that nobody opens here: a `Parcel` is a range of one frame, so that the rest of a dead worker's
frame, or one suspect item alone, can be handed out again.

The bound is that of a JoinableQueue: `maxsize` items put and not yet taken. An item in a reader's hand is taken; what
lies behind it in the same lease still counts as waiting, and so does what a writer was granted leave to put.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from runner.errors import MprunInternalError
from runner.ledger import Account

PATIENCE = 0.001
"""Seconds that a parked offer may wait for half the queue to be free, so that it is not let in item by item."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Some items that travel together. `payload` is opaque."""

    payload: Any
    count: int


@dataclass(frozen=True, slots=True)
class Parcel:
    """Items `start` to `stop` of a frame. `attempt` and `partial` are those of the first item alone."""

    frame: Frame
    start: int
    stop: int
    attempt: int = 1
    """Hand-overs of the first item, this one included."""
    partial: int = 0
    """Outputs of the first item that are already in the next queue."""

    def __len__(self) -> int:
        return self.stop - self.start

    def upto(self, stop: int) -> Parcel:
        """The items before `stop`."""
        return replace(self, stop=stop)

    def after(self, start: int) -> Parcel:
        """The items from `start` on; what is known of the first item stays with it."""
        return self if start == self.start else replace(self, start=start, attempt=1, partial=0)


@dataclass(frozen=True, slots=True)
class Lease:
    """A parcel in a reader's hand: items before `at` have come to an end, `at` itself is the one being handled."""

    number: int
    reader: str
    parcel: Parcel
    at: int
    partial: int = 0
    """Outputs of item `at` that are already in the next queue."""

    @property
    def left(self) -> int:
        """Items that have not come to an end."""
        return self.parcel.stop - self.at


@dataclass(frozen=True, slots=True)
class Accepted:
    """All of the oldest frame that a writer offered is in the queue."""

    writer: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """Give these items to that reader."""

    lease: Lease


@dataclass(slots=True)
class _Offer:
    writer: str
    parcel: Parcel
    since: float


class LeasedBook:
    """The account of one queue, and who gets what next. First in, first out; what comes back goes to the front."""

    def __init__(self, queue: str, maxsize: int | None) -> None:
        self.name = queue
        self._maxsize = maxsize
        self._waiting: deque[Parcel] = deque()
        self._parked: deque[_Offer] = deque()
        self._appetite: dict[str, int] = {}
        self._held: dict[str, dict[int, Lease]] = {}
        self._granted: dict[str, int] = {}
        self._owners: dict[int, str] = {}
        self._numbers = 0
        self._put = self._done = self._dropped = self._dead = 0
        self._n_waiting = self._n_leased = self._n_granted = self._busy_readers = self._peak = 0
        self._full_since: float | None = None
        self._full_seconds = 0.0
        self._decisions: list[Accepted | HandOver] = []

    # Facts.

    def offer(self, writer: str, frame: Frame, now: float) -> None:
        """A writer puts a frame. It is `Accepted` when all of it is in, and offers of one writer are so in order."""
        self._parked.append(_Offer(writer, Parcel(frame, 0, frame.count), now))
        self.move(now)

    def want(self, reader: str, most: int, now: float) -> None:
        """A reader may hold up to `most` items at once from now on; 0 while it shall get none."""
        self._appetite[reader] = most
        self.move(now)

    def acked(self, number: int, upto: int, now: float, partial: int = 0) -> None:
        """Items of a lease before `upto` are done; a lease of which nothing is left ends. Cumulative.

        `partial` outputs of item `upto` are in the next queue already.
        """
        lease = self.lease(number)
        if not lease.at <= upto <= lease.parcel.stop:
            raise MprunInternalError(
                f"lease {number} acknowledged up to {upto}, outside {lease.at}..{lease.parcel.stop}"
            )
        self._done += upto - lease.at
        self._advance(lease, upto, partial)
        self.move(now)

    def failed(self, number: int, now: float) -> None:
        """The item in hand of a lease has failed for good: it is dropped, and the next is in hand."""
        lease = self.lease(number)
        self._dropped += 1
        self._advance(lease, lease.at + 1)
        self.move(now)

    def died(self, reader: str, suspect: tuple[int, int] | None, now: float) -> list[Lease]:
        """A reader is gone: what it held goes back to the front, in order. Returns its leases as they were.

        `suspect` is the lease and the index of the item that it was handling: that one item goes back in a parcel of
        its own, with one more attempt; no other item is charged.
        """
        self._appetite.pop(reader, None)
        lost = list(self._held.pop(reader, {}).values())
        self._busy_readers -= bool(lost)
        for lease in reversed(lost):
            self._take_back(lease, suspect[1] if suspect is not None and suspect[0] == lease.number else None)
        self.move(now)
        return lost

    def grant(self, writer: str, most: int) -> int:
        """Give a writer leave to put items unasked, and return how many more: a fair share of the room, up to `most`
        in all. Where there is no bound it is always `most`."""
        held = self._granted.get(writer, 0)
        if self.room is None:
            return max(0, most - held) if self._grant(writer, max(0, most - held)) else 0
        share = self.room // max(1, len(self._granted) or 1)
        return self._grant(writer, max(0, min(most - held, share)))

    def writer(self, name: str) -> None:
        """A writer exists: the room is shared with it."""
        self._granted.setdefault(name, 0)

    def writer_gone(self, name: str, now: float) -> None:
        """A writer has ended: what it was granted is free again. What it offered stays."""
        self._n_granted -= self._granted.pop(name, 0)
        self.move(now)

    def move(self, now: float) -> None:
        """Let in what there is room for and hand out what is wanted; called also when `due` has come."""
        while self._let_in(now) or self._hand_out():
            pass
        self._watch_fullness(now)

    # Decisions.

    def decide(self) -> list[Accepted | HandOver]:
        """Return what follows from the facts so far; each decision once."""
        decisions, self._decisions = self._decisions, []
        return decisions

    @property
    def due(self) -> float | None:
        """When `move` must be called although nothing has happened; None if never."""
        if not self._parked or self._free <= 0:
            return None
        return self._parked[0].since + PATIENCE

    def account(self) -> Account:
        """Take stock."""
        return Account(
            queue=self.name,
            maxsize=self._maxsize,
            put=self._put,
            waiting=self._n_waiting,
            leased=self._n_leased,
            done=self._done,
            dropped=self._dropped,
            dead_lettered=self._dead,
            peak=self._peak,
            full_seconds=self._full_seconds,
        )

    @property
    def settled(self) -> bool:
        """Every item that was put has come to an end, and none is parked."""
        return not self._parked and self._put == self._done + self._dropped + self._dead

    @property
    def room(self) -> int | None:
        """Items that may still be put, beyond those that writers were granted; None where there is no bound."""
        return None if self._maxsize is None else self._free

    def lease(self, number: int) -> Lease:
        """Return a lease that has not ended. Raises `MprunInternalError` if there is none of this number."""
        owner = self._owners.get(number)
        if owner is None:
            raise MprunInternalError(f"queue '{self.name}' has no lease {number}")
        return self._held[owner][number]

    def leases_of(self, reader: str) -> list[Lease]:
        """What a reader holds, oldest first."""
        return list(self._held.get(reader, {}).values())

    def verify(self) -> None:
        """Raise `MprunInternalError` if the sums and the parcels disagree."""
        waiting = sum(map(len, self._waiting))
        leased = sum(lease.left for held in self._held.values() for lease in held.values())
        if (waiting, leased) != (self._n_waiting, self._n_leased) or not self.account().balanced:
            raise MprunInternalError(f"the ledger of queue '{self.name}' does not add up: {self.account()}")

    # How it moves.

    @property
    def _free(self) -> int:
        assert self._maxsize is not None
        behind = self._n_leased - self._busy_readers
        return self._maxsize - self._n_waiting - behind - self._n_granted

    def _let_in(self, now: float) -> bool:
        if not self._parked:
            return False
        offer = self._parked[0]
        whole = offer.parcel
        fits = self._fits(offer, now)
        if fits <= 0:
            return False
        self._use_grant(offer.writer, fits)
        self._append(whole.upto(whole.start + fits))
        if fits == len(whole):
            self._parked.popleft()
            self._decisions.append(Accepted(offer.writer))
        else:
            offer.parcel = whole.after(whole.start + fits)
        return True

    def _fits(self, offer: _Offer, now: float) -> int:
        size = len(offer.parcel)
        if self._maxsize is None:
            return size
        granted, free = self._granted.get(offer.writer, 0), self._free
        if size <= granted:
            return size
        # A queue that was full lets in nobody until half of it is free, or a moment has passed: else a quick reader
        # would be fed item by item.
        if free < self._maxsize // 2 and now - offer.since < PATIENCE:
            return 0
        return min(size, granted + max(0, free))

    def _append(self, parcel: Parcel) -> None:
        self._waiting.append(parcel)
        self._put += len(parcel)
        self._n_waiting += len(parcel)
        self._peak = max(self._peak, self._n_waiting)

    def _hand_out(self) -> bool:
        if not self._waiting:
            return False
        reader = next((r for r, most in self._appetite.items() if self._holds(r) < most), None)
        if reader is None:
            return False
        most = self._appetite.pop(reader)
        self._appetite[reader] = most  # behind the others: equal shares
        self._lease_out(reader, most - self._holds(reader))
        return True

    def _lease_out(self, reader: str, most: int) -> None:
        parcel = self._waiting.popleft()
        # Every split sends the whole frame again, so a little too much goes as it is.
        if len(parcel) > most and (most == 1 or len(parcel) > 2 * most):
            self._waiting.appendleft(parcel.after(parcel.start + most))
            parcel = parcel.upto(parcel.start + most)
        self._numbers += 1
        lease = Lease(self._numbers, reader, parcel, parcel.start, parcel.partial)
        held = self._held.setdefault(reader, {})
        self._busy_readers += not held
        held[lease.number] = lease
        self._owners[lease.number] = reader
        self._n_waiting -= len(parcel)
        self._n_leased += len(parcel)
        self._decisions.append(HandOver(lease))

    def _holds(self, reader: str) -> int:
        return sum(lease.left for lease in self._held.get(reader, {}).values())

    def _advance(self, lease: Lease, at: int, partial: int = 0) -> None:
        held = self._held[lease.reader]
        self._n_leased -= at - lease.at
        if at < lease.parcel.stop:
            held[lease.number] = replace(lease, at=at, partial=partial)
            return
        del held[lease.number], self._owners[lease.number]
        self._busy_readers -= not held

    def _take_back(self, lease: Lease, suspect: int | None) -> None:
        del self._owners[lease.number]
        self._n_leased -= lease.left
        self._n_waiting += lease.left
        rest = replace(lease.parcel.after(lease.at), partial=lease.partial)
        if suspect is None:
            self._waiting.appendleft(rest)
            return
        if suspect + 1 < rest.stop:
            self._waiting.appendleft(rest.after(suspect + 1))
        alone = rest.after(suspect).upto(suspect + 1)
        self._waiting.appendleft(replace(alone, attempt=alone.attempt + 1))
        if suspect > rest.start:
            self._waiting.appendleft(rest.upto(suspect))

    def _grant(self, writer: str, count: int) -> int:
        self._granted[writer] = self._granted.get(writer, 0) + count
        self._n_granted += count
        return count

    def _use_grant(self, writer: str, count: int) -> None:
        used = min(count, self._granted.get(writer, 0))
        if used:
            self._granted[writer] -= used
            self._n_granted -= used

    def _watch_fullness(self, now: float) -> None:
        if self._full_since is not None:
            self._full_seconds += now - self._full_since
        self._full_since = now if self._parked else None
