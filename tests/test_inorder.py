"""`order: keep` between two books: by examples, and by workers that fail, die, wait and run ahead at random."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.gated import Cargo, GatedBook, Offer, Rules
from runner.inorder import OrderKeeper, Patience
from runner.parcels import Accepted, Frame, HandOver, Lease

WORKERS = ("cook-1", "cook-2", "cook-3")


def books(items: int, maxsize: int | None = None) -> tuple[GatedBook, GatedBook]:
    inbox = GatedBook("raw", Rules(in_order=True))
    inbox.offer(Offer("chef", [Cargo(0, Frame(b"", 1)) for _ in range(items)], 0.0), 0.0)
    return inbox, GatedBook("done", Rules(maxsize))


def made(worker: str, *outputs: int) -> Offer:
    return Offer(worker, [Cargo(0, Frame(output, 1)) for output in outputs], 0.0)


def hand_overs(book: GatedBook) -> list[Lease]:
    return [decision.lease for decision in book.decide() if isinstance(decision, HandOver)]


def taken(book: GatedBook) -> list[object]:
    """Whatever is in the queue, as one reader gets it."""
    book.want("eater", 10_000, 0.0)
    found = hand_overs(book)
    for lease in found:
        book.acked(lease.number, lease.parcel.stop, 0.0)
    return [lease.parcel.frame.payload for lease in found]


def one_each(inbox: GatedBook) -> dict[str, Lease]:
    for worker in WORKERS:
        inbox.want(worker, 1, 0.0)
    return {lease.reader: lease for lease in hand_overs(inbox)}


def test_what_is_made_early_is_held_and_its_worker_goes_on() -> None:
    inbox, outbox = books(3)
    keeper = OrderKeeper(inbox, outbox, WORKERS, Patience())
    held = one_each(inbox)

    keeper.put(held["cook-2"], 1, made("cook-2", 11), 0.0)
    early = (keeper.look(0.0), outbox.account().put)
    keeper.put(held["cook-1"], 1, made("cook-1", 10), 0.0)

    assert (["cook-2"], 0) == early
    assert [Accepted("cook-1")] == outbox.decide()
    assert [10, 11] == taken(outbox)


def test_who_has_made_too_much_waits_for_its_turn() -> None:
    inbox, outbox = books(3)
    keeper = OrderKeeper(inbox, outbox, WORKERS, Patience(items=1))
    held = one_each(inbox)

    keeper.put(held["cook-2"], 1, made("cook-2", 11), 0.0)
    keeper.put(held["cook-3"], 1, made("cook-3", 12), 0.0)
    answered = keeper.look(0.0)
    keeper.put(held["cook-1"], 1, made("cook-1", 10), 0.0)

    assert ["cook-2"] == answered
    assert [Accepted("cook-1"), Accepted("cook-3")] == outbox.decide()


def test_nobody_waits_while_nobody_has_the_item_whose_turn_it_is() -> None:
    inbox, outbox = books(3)
    keeper = OrderKeeper(inbox, outbox, WORKERS, Patience(items=0))
    held = one_each(inbox)
    keeper.put(held["cook-2"], 1, made("cook-2", 11), 0.0)
    before = keeper.look(0.0)

    inbox.retry(held["cook-1"].number, 1.0, due=9.0)

    assert ([], ["cook-2"]) == (before, keeper.look(1.0))


def test_who_has_the_item_whose_turn_it_is_behind_another_does_not_wait() -> None:
    inbox, outbox = books(2)
    keeper = OrderKeeper(inbox, outbox, WORKERS, Patience(items=0))
    inbox.want("cook-1", 1, 0.0)
    inbox.want("cook-2", 1, 0.0)
    second = next(lease for lease in hand_overs(inbox) if lease.reader == "cook-2")
    keeper.put(second, 1, made("cook-2", 11), 0.0)
    before = keeper.look(0.0)

    inbox.died("cook-1", None, 1.0)
    inbox.want("cook-2", 2, 1.0)

    assert ([], ["cook-2"]) == (before, keeper.look(1.0))


def test_items_that_come_to_an_end_without_an_output_are_not_waited_for() -> None:
    inbox, outbox = books(3)
    keeper = OrderKeeper(inbox, outbox, WORKERS, Patience())
    held = one_each(inbox)

    keeper.put(held["cook-3"], 1, made("cook-3", 12), 0.0)
    keeper.ended(held["cook-1"], 1, 0.0)
    keeper.lost(held["cook-2"].parcel, 0.0)

    assert [12] == taken(outbox)


def test_workers_run_ahead_only_so_far() -> None:
    inbox, outbox = books(100)
    OrderKeeper(inbox, outbox, WORKERS, Patience(items=1))

    inbox.want("cook-1", 1000, 0.0)

    assert 48 == sum(len(lease.parcel) for lease in hand_overs(inbox))


class _Cooks:
    """Three workers, each with what it holds and whether it waits for an answer; every item makes some outputs."""

    def __init__(self, items: int, maxsize: int | None, patience: int) -> None:
        self.inbox, self.outbox = books(items, maxsize)
        self.keeper = OrderKeeper(self.inbox, self.outbox, WORKERS, Patience(items=patience))
        self.hands: dict[str, deque[Lease]] = {worker: deque() for worker in WORKERS}
        self.waits = dict.fromkeys(WORKERS, 0)
        self.eaten: list[object] = []
        self.failed: set[int] = set()
        self.now = 0.0
        for worker in WORKERS:
            self.inbox.want(worker, 2, 0.0)
        self.settle()

    def settle(self) -> None:
        for lease in hand_overs(self.inbox):
            self.hands[lease.reader].append(lease)
        for worker in self.keeper.look(self.now):
            self.waits[worker] -= 1
        for decision in self.outbox.decide():
            if isinstance(decision, Accepted):
                self.waits[decision.writer] -= 1
            elif isinstance(decision, HandOver):
                self.eaten.append(decision.lease.parcel.frame.payload)
                self.outbox.acked(decision.lease.number, 1, self.now)

    def able(self) -> list[str]:
        return [worker for worker in WORKERS if self.hands[worker] and not self.waits[worker]]

    def work(self, worker: str, how: str) -> None:
        lease = self.hands[worker].popleft()
        item = lease.parcel.position
        if how == "fail" and lease.parcel.attempt < 3:
            self.inbox.retry(lease.number, self.now, self.now + 1.0)
        elif how == "skip":
            self.failed.add(item)
            self.inbox.failed(lease.number, self.now)
            self.keeper.ended(lease, lease.parcel.stop, self.now)
        elif how == "none":
            self.failed.add(item)
            self.inbox.acked(lease.number, lease.parcel.stop, self.now)
            self.keeper.ended(lease, lease.parcel.stop, self.now)
        else:
            self.inbox.acked(lease.number, lease.parcel.stop, self.now)
            self.waits[worker] += 1
            self.keeper.put(lease, lease.parcel.stop, made(worker, item), self.now)

    def die(self, worker: str) -> None:
        self.inbox.died(worker, None, self.now)
        self.hands[worker].clear()
        self.keeper.gone(worker)
        self.outbox.writer_gone(worker, self.now)
        self.waits[worker] = 0
        self.inbox.want(worker, 2, self.now)

    def eat(self) -> None:
        """Take what is in the next queue, item by item, until it is empty."""
        while not self.outbox.settled:
            self.now += 2.0
            self.outbox.want("eater", 1, self.now)
            self.settle()


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(data=st.data(), maxsize=st.sampled_from([None, 1, 5]), patience=st.sampled_from([0, 1, 5]))
def test_outputs_are_in_order_and_it_always_ends(
    data: st.DataObject, maxsize: int | None, patience: int
) -> None:
    items = data.draw(st.integers(1, 40))
    cooks = _Cooks(items, maxsize, patience)
    deaths = 0
    while not cooks.inbox.settled:
        cooks.now += 2.0
        cooks.inbox.move(cooks.now)
        cooks.settle()
        able = cooks.able()
        if not able:
            cooks.eat()
            able = cooks.able()
        assert able or cooks.inbox.settled, "somebody can always go on"
        worker = data.draw(st.sampled_from(able))
        if deaths < 10 and data.draw(st.integers(0, 5)) == 0:
            deaths += 1
            cooks.die(worker)
        else:
            cooks.work(worker, data.draw(st.sampled_from(["put", "put", "put", "none", "skip", "fail"])))
        cooks.settle()
    cooks.eat()

    assert [item for item in range(items) if item not in cooks.failed] == cooks.eaten
