"""What a transport asks of the book of a queue whose items the ledger hands out, whichever book it is.

LeasedBook (leases.py) grants leave to put and is quick; GatedBook (gated.py) knows shards, bytes and what to drop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from runner.credit import Granted
from runner.ledger import Account
from runner.parcels import Accepted, HandOver, Lease


class LeaseBook(Protocol):
    """The account of one queue, and who gets what next. What the facts mean is said in leases.py."""

    name: str

    def want(self, reader: str, most: int, now: float) -> None:
        """A reader may hold up to `most` items at once from now on."""

    def takes_more(self, reader: str, taken: int, now: float) -> None:
        """A reader that drives its queue waits for another item."""

    def acked(self, number: int, upto: int, now: float, partial: int = 0) -> None:
        """Items of a lease before `upto` are done."""

    def failed(self, number: int, now: float) -> None:
        """The item in hand of a lease is dropped."""

    def retry(self, number: int, now: float, due: float, past: object = None) -> None:
        """The item in hand of a lease is handed out again from `due` on."""

    def condemn(self, number: int, now: float) -> None:
        """The item in hand of a lease is kept as a dead letter."""

    def died(
        self,
        reader: str,
        suspect: tuple[int, int] | None,
        now: float,
        past: object = None,
        *,
        condemned: bool = False,
    ) -> list[Lease]:
        """A reader is gone: what it held goes back."""

    def writer(self, name: str, now: float) -> None:
        """A writer exists."""

    def writer_gone(self, name: str, now: float) -> None:
        """A writer has ended: what it offered stays."""

    def move(self, now: float) -> None:
        """Called when `due` has come."""

    def decide(self) -> Sequence[Accepted | Granted | HandOver]:
        """Return what follows from the facts so far; each decision once."""

    def account(self) -> Account:
        """Take stock."""

    def room_for(self, writer: str) -> int:
        """Items that a writer may put at this moment, where there is a bound."""

    def lease(self, number: int) -> Lease:
        """Return a lease that has not ended."""

    def leases_of(self, reader: str) -> list[Lease]:
        """What a reader holds, oldest first."""

    def verify(self) -> None:
        """Raise `MprunInternalError` if the sums and the parcels disagree."""

    @property
    def shares(self) -> bool:
        """Whether writers are granted leave; else each waits until what it put is accepted."""

    @property
    def due(self) -> float | None:
        """When `move` must be called although nothing has happened."""

    @property
    def settled(self) -> bool:
        """Every item that was put has come to an end, and none is parked."""

    @property
    def room(self) -> int | None:
        """Items that may still be put; None where nothing bounds them."""
