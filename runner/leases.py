"""The book of a queue whose items the ledger itself hands out. Pure: facts in by method, decisions out by `decide`.

    offer ──► parked ──room──► waiting ──lease──► leased ──► done
                                  ▲                 │ ├────► dropped
                                  └─ died, retry ───┘ └────► dead-lettered

Items travel in frames that nobody opens here: a `Parcel` is a range of one frame, so that the rest of a dead worker's
frame, or one suspect item alone, can be handed out again.

The bound is that of a JoinableQueue: `maxsize` items put and not yet taken. An item in a reader's hand is taken; what
lies behind it in the same lease still counts as waiting.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any

from runner.errors import MprunInternalError
from runner.ledger import Account


@dataclass(frozen=True, slots=True)
class Frame:
    """Some items that travel together. `payload` is opaque; `size` is in bytes."""

    payload: Any
    count: int
    size: int = 0


@dataclass(frozen=True, slots=True)
class Parcel:
    """Items `start` to `stop` of a frame. `attempt` counts the hand-overs of its first item, 1 the first time."""

    frame: Frame
    start: int
    stop: int
    attempt: int = 1

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Lease:
    """A parcel in a reader's hand: items up to `at` have come to an end, `at` itself is the one being handled."""

    number: int
    reader: str
    parcel: Parcel
    at: int

    @property
    def left(self) -> int:
        """Items that have not come to an end."""
        return self.parcel.stop - self.at


@dataclass(frozen=True, slots=True)
class Accepted:
    """All that a writer offered is in the queue: it may go on."""

    writer: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """Give these items to that reader."""

    lease: Lease


@dataclass(slots=True)
class _Offer:
    writer: str
    parcel: Parcel


class LeasedBook:
    """The account of one queue, and who gets what next. First in, first out; what comes back goes to the front."""

    def __init__(self, queue: str, maxsize: int | None) -> None:
        self.name = queue
        self._maxsize = maxsize
        self._waiting: deque[Parcel] = deque()
        self._parked: deque[_Offer] = deque()
        self._hungry: dict[str, int] = {}
        self._leases: dict[int, Lease] = {}
        self._numbers = 0
        self._put = self._done = self._dropped = self._dead = 0
        self._n_waiting = self._n_leased = self._peak = 0
        self._full_since: float | None = None
        self._full_seconds = 0.0
        self._decisions: list[Accepted | HandOver] = []

    # Facts.

    def offer(self, writer: str, frame: Frame, now: float) -> None:
        """A writer puts a frame. It is `Accepted` when all of it is in; a writer offers again only after that."""
        self._parked.append(_Offer(writer, Parcel(frame, 0, frame.count)))
        self._move(now)

    def want(self, reader: str, most: int, now: float) -> None:
        """A reader can take up to `most` items. Asked again before it got any, the later number counts."""
        self._hungry[reader] = most
        self._move(now)

    def unwant(self, reader: str) -> None:
        """A reader takes nothing for now."""
        self._hungry.pop(reader, None)

    def acked(self, number: int, upto: int, now: float) -> None:
        """Items of a lease before `upto` are done. A lease of which nothing is left ends. Cumulative."""
        lease = self._lease(number)
        if not lease.at <= upto <= lease.parcel.stop:
            raise MprunInternalError(
                f"lease {number} acknowledged up to {upto}, outside {lease.at}..{lease.parcel.stop}"
            )
        self._done += upto - lease.at
        self._advance(lease, upto)
        self._move(now)

    def failed(self, number: int, now: float) -> None:
        """The item in hand of a lease has failed for good: it is dropped, and the next is in hand."""
        lease = self._lease(number)
        self._dropped += 1
        self._advance(lease, lease.at + 1)
        self._move(now)

    def died(self, reader: str, now: float) -> list[Lease]:
        """A reader is gone. What it had in hand goes back to the front, in order; its leases are returned as they were.

        The item in hand is in a parcel of its own with one more attempt; those behind it are not charged.
        """
        self.unwant(reader)
        lost = [lease for lease in self._leases.values() if lease.reader == reader]
        for first, lease in reversed(list(enumerate(lost))):
            self._take_back(lease, charged=first == 0)
        self._move(now)
        return lost

    # Decisions.

    def decide(self) -> list[Accepted | HandOver]:
        """Return what follows from the facts so far; each decision once."""
        decisions, self._decisions = self._decisions, []
        return decisions

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
    def room(self) -> int | None:
        """Items that may still be put; None where there is no bound."""
        if self._maxsize is None:
            return None
        behind = self._n_leased - sum(1 for _ in self._readers_with_an_item())
        return self._maxsize - self._n_waiting - behind

    def verify(self) -> None:
        """Raise `MprunInternalError` if the sums and the parcels disagree."""
        waiting = sum(map(len, self._waiting))
        leased = sum(lease.left for lease in self._leases.values())
        if (waiting, leased) != (self._n_waiting, self._n_leased) or not self.account().balanced:
            raise MprunInternalError(f"the ledger of queue '{self.name}' does not add up: {self.account()}")

    # How it moves.

    def _move(self, now: float) -> None:
        """Let in what there is room for and hand out what is wanted, until neither changes anything."""
        while self._let_in() or self._hand_out():
            pass
        self._watch_fullness(now)

    def _let_in(self) -> bool:
        if not self._parked:
            return False
        offer, room = self._parked[0], self.room
        fits = len(offer.parcel) if room is None else min(room, len(offer.parcel))
        if fits <= 0 and len(offer.parcel):
            return False
        whole = offer.parcel
        if fits:
            self._append(replace(whole, stop=whole.start + fits))
        if fits == len(whole):
            self._parked.popleft()
            self._decisions.append(Accepted(offer.writer))
        else:
            offer.parcel = replace(whole, start=whole.start + fits)
        return True

    def _append(self, parcel: Parcel) -> None:
        self._waiting.append(parcel)
        self._put += len(parcel)
        self._n_waiting += len(parcel)
        self._peak = max(self._peak, self._n_waiting)

    def _hand_out(self) -> bool:
        if not self._waiting or not self._hungry:
            return False
        reader = next(iter(self._hungry))
        most = self._hungry.pop(reader)
        parcel = self._waiting.popleft()
        if len(parcel) > most:
            self._waiting.appendleft(replace(parcel, start=parcel.start + most, attempt=1))
            parcel = replace(parcel, stop=parcel.start + most)
        self._numbers += 1
        lease = Lease(self._numbers, reader, parcel, parcel.start)
        self._leases[lease.number] = lease
        self._n_waiting -= len(parcel)
        self._n_leased += len(parcel)
        self._decisions.append(HandOver(lease))
        return True

    def _lease(self, number: int) -> Lease:
        if number not in self._leases:
            raise MprunInternalError(f"queue '{self.name}' has no lease {number}")
        return self._leases[number]

    def _advance(self, lease: Lease, at: int) -> None:
        self._n_leased -= at - lease.at
        if at == lease.parcel.stop:
            del self._leases[lease.number]
        else:
            self._leases[lease.number] = replace(lease, at=at)

    def _take_back(self, lease: Lease, *, charged: bool) -> None:
        del self._leases[lease.number]
        self._n_leased -= lease.left
        self._n_waiting += lease.left
        rest = replace(lease.parcel, start=lease.at)
        if not charged:
            self._waiting.appendleft(rest)
            return
        if len(rest) > 1:
            self._waiting.appendleft(replace(rest, start=rest.start + 1, attempt=1))
        attempt = lease.parcel.attempt if lease.at == lease.parcel.start else 1
        self._waiting.appendleft(replace(rest, stop=rest.start + 1, attempt=attempt + 1))

    def _readers_with_an_item(self) -> set[str]:
        return {lease.reader for lease in self._leases.values()}

    def _watch_fullness(self, now: float) -> None:
        room = self.room
        if self._full_since is not None:
            self._full_seconds += now - self._full_since
        self._full_since = now if room is not None and room <= 0 else None
