"""A line: one shard of a queue, or all of it, behind a gate that bounds it. Pure.

gate ──enter──► waiting ──lease──► leased ──► done, dropped, dead-lettered      (leases.py, without a bound)
                   │ └─ held up: the item before comes back later, or the window ends here
                   └──► dropped, oldest first
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from runner.errors import MprunInternalError
from runner.leases import LeasedBook
from runner.parcels import Lease, Parcel

_NUMBERS = 40
"""Bits of a lease's number that count within its line; those above them are the line's."""


def line_of(number: int) -> int:
    """Tell from a lease's number which line it is of."""
    return number >> _NUMBERS


class Line(LeasedBook):
    """A book without a bound of its own, that knows what its items weigh and can hold them up."""

    def __init__(self, queue: str, number: int, *, waits_for_retries: bool) -> None:
        """`waits_for_retries`: nothing is handed out while an item that failed waits to be tried again."""
        super().__init__(queue, None)
        self._numbers = number << _NUMBERS
        self._waits_for_retries = waits_for_retries
        self.weight = 0
        """Bytes of the items that have not come to an end."""
        self.limit: float = math.inf
        """The position from which on items are not handed out yet."""

    def enter(self, parcel: Parcel, now: float) -> None:
        """Let items in, whatever their number."""
        self._append(parcel)
        self.move(now)

    @property
    def occupied(self) -> int:
        """Items that take room: all but those that readers have in hand."""
        behind = self._n_leased - self._busy_readers - sum(self._more_in_hand.values())
        return self._n_waiting + behind

    @property
    def waiting(self) -> int:
        """Items that nobody holds."""
        return self._n_waiting

    def drop_oldest(self, most: int) -> Parcel | None:
        """Drop the oldest items that nobody holds, `most` of them or fewer; None if there are none."""
        if not self._waiting:
            return None
        parcel = self._waiting.popleft()
        if len(parcel) > most:
            self._waiting.appendleft(parcel.after(parcel.start + most))
            parcel = parcel.upto(parcel.start + most)
        self._n_waiting -= len(parcel)
        self._dropped += len(parcel)
        self.weight -= parcel.weight
        return parcel

    def retry(self, number: int, now: float, due: float, past: object = None) -> None:
        """As any book does; the item keeps its weight."""
        lease = self.lease(number)
        self.weight += lease.item(lease.at).weight
        super().retry(number, now, due, past)

    def verify(self) -> None:
        """Raise `MprunInternalError` if the sums and the parcels disagree."""
        super().verify()
        if self.weight != sum(parcel.weight for parcel in self._parcels()):
            raise MprunInternalError(f"the bytes of queue '{self.name}' do not add up: {self.weight}")

    def _parcels(self) -> Iterator[Parcel]:
        yield from self._waiting
        yield from (parcel for _, _, parcel in self._delayed)
        for held in self._held.values():
            yield from (lease.parcel.after(lease.at) for lease in held.values())

    def _append(self, parcel: Parcel) -> None:
        self.weight += parcel.weight
        super()._append(parcel)

    def _hand_out(self) -> bool:
        if self._waits_for_retries and self._delayed:
            return False
        return self._waiting[0].position < self.limit and super()._hand_out()

    def _advance(self, lease: Lease, at: int, partial: int = 0) -> None:
        self.weight -= lease.parcel.after(lease.at).upto(at).weight
        super()._advance(lease, at, partial)

    def _take_back_around(self, lease: Lease, suspect: int, past: object, condemned: bool) -> None:
        if condemned:
            self.weight -= lease.item(suspect).weight
        super()._take_back_around(lease, suspect, past, condemned)
