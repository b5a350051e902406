"""`order: keep` at work: a stage between two queues, whose outputs go on in the order of its inputs. Pure.

    outputs of items whose turn has come ──────────────► offered to the next queue; answered when they are in
    outputs that came early ──► held, and answered at once, as long as not too much is held
                                 └─ too much: its worker waits for its answer … unless all would wait for it

Who waits can't take the item that everybody waits for. So outputs that came early are left unanswered only while that
item is in the hands of somebody who does not wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runner.gated import GatedBook, Offer
from runner.parcels import Lease, Parcel
from runner.resequence import Resequencer

_ITEMS = 10_000
_BYTES = 64 << 20
_ABREAST = 16
"""Items for each worker that may be handed out ahead of the one whose turn it is, at the least."""


@dataclass(frozen=True, slots=True)
class Patience:
    """What may be held of outputs that came early."""

    items: int = _ITEMS
    weight: int = _BYTES

    @classmethod
    def of(cls, maxsize: int | None, max_bytes: int | None) -> Patience:
        """As much as the queue has room for that they go to, and not more than is reasonable."""
        items = _ITEMS if maxsize is None else min(maxsize, _ITEMS)
        return cls(items, _BYTES if max_bytes is None else max_bytes)


class OrderKeeper:
    """Stands between a stage and the queue that it writes to. It alone reads its queue."""

    def __init__(
        self, inbox: GatedBook, outbox: GatedBook, workers: Sequence[str], patience: Patience
    ) -> None:
        self.outbox = outbox
        self._inbox = inbox
        self._workers = tuple(workers)
        self._patience = patience
        self._window = max(patience.items, _ABREAST * len(self._workers))
        self._line = Resequencer[Offer]()
        self._unanswered: dict[int, Offer] = {}
        """Offers that are held while their writers wait, by identity."""
        self._items = self._weight = 0
        """What is held of writers that went on."""
        self._answers: list[str] = []
        inbox.window(self._window, 0.0)

    def put(self, lease: Lease, upto: int, offer: Offer, now: float) -> None:
        """A worker has put outputs: of the items of a lease before `upto`, and maybe some of item `upto`."""
        self._unanswered[id(offer)] = offer
        self._report(lease.parcel.frame.first, lease.at, upto, offer, now)

    def ended(self, lease: Lease, upto: int, now: float) -> None:
        """What was left of a lease before `upto` has come to an end, and will make nothing more."""
        self._report(lease.parcel.frame.first, lease.at, upto, None, now)

    def lost(self, parcel: Parcel, now: float) -> None:
        """Items have come to an end that nothing was made of."""
        self._report(parcel.frame.first, parcel.start, parcel.stop, None, now)

    def look(self, now: float) -> list[str]:
        """Take in what the queue has lost, and return the writers that may go on although their outputs are held.

        Called when anything has moved.
        """
        lost, self._inbox.lost = self._inbox.lost, []
        for first, upto in lost:
            self._report(0, first, upto, None, now)
        self._answer()
        answers, self._answers = self._answers, []
        return answers

    def joined(self, worker: str) -> None:
        """A worker was added to the stage."""
        if worker not in self._workers:
            self._workers = (*self._workers, worker)

    def gone(self, worker: str) -> None:
        """A worker has died: its successor must not get answers that were meant for it."""
        for offer in [offer for offer in self._unanswered.values() if offer.writer == worker]:
            self._let_go(offer)

    def _report(self, base: int, at: int, upto: int, offer: Offer | None, now: float) -> None:
        before = self._line.expected
        for released in self._line.report(base + at, base + upto, offer):
            if self._unanswered.pop(id(released), None) is None:
                self._items -= released.items
                self._weight -= released.weight
            self.outbox.offer(released, now)
        if self._line.expected != before:
            self._inbox.window(self._line.expected + self._window, now)

    def _answer(self) -> None:
        if not self._unanswered:
            return
        awaited = self._who_has(self._line.expected)
        for offer in list(self._unanswered.values()):
            if self._is_little(offer) or self._must_go_on(offer.writer, awaited):
                self._let_go(offer)
                self._answers.append(offer.writer)

    def _is_little(self, offer: Offer) -> bool:
        """Whether it can be held beside what is held already."""
        items, weight = self._items + offer.items, self._weight + offer.weight
        return items <= self._patience.items and weight <= self._patience.weight

    def _must_go_on(self, writer: str, awaited: str | None) -> bool:
        """Whether all would wait in vain if this one waited: it has the item whose turn it is, or nobody has it yet."""
        return awaited in (None, writer)

    def _let_go(self, offer: Offer) -> None:
        del self._unanswered[id(offer)]
        offer.answered = True
        self._items += offer.items
        self._weight += offer.weight

    def _who_has(self, position: int) -> str | None:
        for worker in self._workers:
            for lease in self._inbox.leases_of(worker):
                first = lease.parcel.frame.first
                if first + lease.at <= position < first + lease.parcel.stop:
                    return worker
        return None
