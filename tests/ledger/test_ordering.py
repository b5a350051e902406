"""`order: keep` between two ledgers: by examples, and by workers that fail, die, wait and run ahead at random."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.ledger.ordering import BufferLimit, OrderedStage
from runner.ledger.partitioned import Offer, PartitionedQueue, QueuePolicy, ShardFrame
from runner.ledger.ranges import Accepted, Frame, HandOver, Lease

WORKERS = ("cook-1", "cook-2", "cook-3")


def ledgers(
    items: int, maxsize: int | None = None, frames: Sequence[int] = ()
) -> tuple[PartitionedQueue, PartitionedQueue]:
    """Two queues. The items of the first lie in frames of one, unless it is said how many are in each."""
    inbox = PartitionedQueue("raw", QueuePolicy(in_order=True))
    put = [ShardFrame(0, Frame(b"", count)) for count in frames or [1] * items]
    inbox.offer(Offer("chef", put, 0.0), 0.0)
    return inbox, PartitionedQueue("done", QueuePolicy(maxsize))


def made(worker: str, *outputs: int) -> Offer:
    return Offer(worker, [ShardFrame(0, Frame(output, 1)) for output in outputs], 0.0)


def hand_overs(ledger: PartitionedQueue) -> list[Lease]:
    return [decision.lease for decision in ledger.decide() if isinstance(decision, HandOver)]


def taken(ledger: PartitionedQueue) -> list[object]:
    """Whatever is in the queue, as one reader gets it."""
    ledger.set_demand("eater", 10_000, 0.0)
    found = hand_overs(ledger)
    for lease in found:
        ledger.acked(lease.number, lease.item_range.stop, 0.0)
    return [lease.item_range.frame.payload for lease in found]


def one_each(inbox: PartitionedQueue) -> dict[str, Lease]:
    for worker in WORKERS:
        inbox.set_demand(worker, 1, 0.0)
    return {lease.reader: lease for lease in hand_overs(inbox)}


def test_what_is_made_early_is_held_and_its_worker_goes_on() -> None:
    inbox, outbox = ledgers(3)
    ordered = OrderedStage(inbox, outbox, WORKERS, BufferLimit())
    held = one_each(inbox)

    ordered.put(held["cook-2"], 1, made("cook-2", 11), 0.0)
    early = (ordered.take_answers(0.0), outbox.account().put)
    ordered.put(held["cook-1"], 1, made("cook-1", 10), 0.0)

    assert (["cook-2"], 0) == early
    assert [Accepted("cook-1")] == outbox.decide()
    assert [10, 11] == taken(outbox)


def test_who_has_made_too_much_waits_for_its_turn() -> None:
    inbox, outbox = ledgers(3)
    ordered = OrderedStage(inbox, outbox, WORKERS, BufferLimit(items=1))
    held = one_each(inbox)

    ordered.put(held["cook-2"], 1, made("cook-2", 11), 0.0)
    ordered.put(held["cook-3"], 1, made("cook-3", 12), 0.0)
    answered = ordered.take_answers(0.0)
    ordered.put(held["cook-1"], 1, made("cook-1", 10), 0.0)

    assert ["cook-2"] == answered
    assert [Accepted("cook-1"), Accepted("cook-3")] == outbox.decide()


def test_nobody_waits_while_nobody_has_the_item_whose_turn_it_is() -> None:
    inbox, outbox = ledgers(3)
    ordered = OrderedStage(inbox, outbox, WORKERS, BufferLimit(items=0))
    held = one_each(inbox)
    ordered.put(held["cook-2"], 1, made("cook-2", 11), 0.0)
    before = ordered.take_answers(0.0)

    inbox.retry(held["cook-1"].number, 1.0, due=9.0)

    assert ([], ["cook-2"]) == (before, ordered.take_answers(1.0))


def test_who_has_the_item_whose_turn_it_is_behind_another_does_not_wait() -> None:
    inbox, outbox = ledgers(2)
    ordered = OrderedStage(inbox, outbox, WORKERS, BufferLimit(items=0))
    inbox.set_demand("cook-1", 1, 0.0)
    inbox.set_demand("cook-2", 1, 0.0)
    second = next(lease for lease in hand_overs(inbox) if lease.reader == "cook-2")
    ordered.put(second, 1, made("cook-2", 11), 0.0)
    before = ordered.take_answers(0.0)

    inbox.died("cook-1", {}, 1.0)
    inbox.set_demand("cook-2", 2, 1.0)

    assert ([], ["cook-2"]) == (before, ordered.take_answers(1.0))


def test_items_that_come_to_an_end_without_an_output_are_not_waited_for() -> None:
    inbox, outbox = ledgers(3)
    ordered = OrderedStage(inbox, outbox, WORKERS, BufferLimit())
    held = one_each(inbox)

    ordered.put(held["cook-3"], 1, made("cook-3", 12), 0.0)
    ordered.ended(held["cook-1"], 1, 0.0)
    ordered.lost(held["cook-2"].item_range, 0.0)

    assert [12] == taken(outbox)


def test_a_lease_that_was_begun_goes_on_where_it_was() -> None:
    inbox, outbox = ledgers(0, frames=[1, 3])
    ordered = OrderedStage(inbox, outbox, WORKERS, BufferLimit())
    inbox.set_demand("cook-1", 1, 0.0)
    inbox.set_demand("cook-2", 3, 0.0)
    held = {lease.reader: lease for lease in hand_overs(inbox)}

    ordered.put(held["cook-2"], 1, made("cook-2", 11), 0.0)
    inbox.acked(held["cook-2"].number, 1, 0.0)
    ordered.put(inbox.lease(held["cook-2"].number), 3, made("cook-2", 12, 13), 0.0)
    ordered.put(held["cook-1"], 1, made("cook-1", 10), 0.0)

    assert [10, 11, 12, 13] == taken(outbox)


def test_workers_run_ahead_only_so_far() -> None:
    inbox, outbox = ledgers(100)
    OrderedStage(inbox, outbox, WORKERS, BufferLimit(items=1))

    inbox.set_demand("cook-1", 1000, 0.0)

    assert 48 == sum(len(lease.item_range) for lease in hand_overs(inbox))


def test_what_comes_back_from_beyond_the_window_is_not_in_the_way_of_the_item_whose_turn_it_is() -> None:
    inbox, outbox = ledgers(0, frames=[1, 46, 3])
    ordered = OrderedStage(inbox, outbox, WORKERS, BufferLimit(items=1))  # a window of 48
    for worker, most in (("cook-1", 1), ("cook-2", 46), ("cook-3", 3)):
        inbox.set_demand(worker, most, 0.0)
    held = {lease.reader: lease for lease in hand_overs(inbox)}

    inbox.acked(held["cook-3"].number, 1, 0.0)  # item 47: now item 48 is in its hand
    ordered.ended(held["cook-3"], 1, 0.0)
    inbox.died("cook-1", {}, 0.0)
    inbox.died("cook-3", {}, 0.0)
    inbox.set_demand("cook-1", 1, 0.0)

    assert [0] == [lease.item_range.position for lease in hand_overs(inbox)]


class _Cooks:
    """Three workers, each with what it holds and whether it waits for an answer; every item makes some outputs."""

    def __init__(self, frames: Sequence[int], maxsize: int | None, limit: int, demand: int) -> None:
        self.inbox, self.outbox = ledgers(sum(frames), maxsize, frames)
        self.ordered = OrderedStage(self.inbox, self.outbox, WORKERS, BufferLimit(items=limit))
        self.hands: dict[str, deque[Lease]] = {worker: deque() for worker in WORKERS}
        self.waits = dict.fromkeys(WORKERS, 0)
        self.eaten: list[object] = []
        self.failed: set[int] = set()
        self.now = 0.0
        self.demand = demand
        for worker in WORKERS:
            self.inbox.set_demand(worker, demand, 0.0)
        self.settle()

    def settle(self) -> None:
        for lease in hand_overs(self.inbox):
            self.hands[lease.reader].append(lease)
        for worker in self.ordered.take_answers(self.now):
            self.waits[worker] -= 1
        for decision in self.outbox.decide():
            if isinstance(decision, Accepted):
                self.waits[decision.writer] -= 1
            elif isinstance(decision, HandOver):
                self.eaten.append(decision.lease.item_range.frame.payload)
                self.outbox.acked(decision.lease.number, 1, self.now)

    def able(self) -> list[str]:
        return [worker for worker in WORKERS if self.hands[worker] and not self.waits[worker]]

    def work(self, worker: str, how: str) -> None:
        """Bring the item in hand to an end, and lay its lease away with the last of it."""
        lease = self.inbox.lease(self.hands[worker][0].number)
        item, upto = lease.item_range.frame.first + lease.at, lease.at + 1
        if upto == lease.item_range.stop:
            self.hands[worker].popleft()
        if how == "fail" and lease.item(lease.at).attempt < 3:
            self.inbox.retry(lease.number, self.now, self.now + 1.0)
        elif how == "skip":
            self.failed.add(item)
            self.inbox.failed(lease.number, self.now)
            self.ordered.ended(lease, upto, self.now)
        elif how == "none":
            self.failed.add(item)
            self.inbox.acked(lease.number, upto, self.now)
            self.ordered.ended(lease, upto, self.now)
        else:
            self.inbox.acked(lease.number, upto, self.now)
            self.waits[worker] += 1
            self.ordered.put(lease, upto, made(worker, item), self.now)

    def die(self, worker: str) -> None:
        self.inbox.died(worker, {}, self.now)
        self.hands[worker].clear()
        self.ordered.reader_exited(worker)
        self.outbox.writer_gone(worker, self.now)
        self.waits[worker] = 0
        self.inbox.set_demand(worker, self.demand, self.now)

    def eat(self) -> None:
        """Take what is in the next queue, item by item, until it is empty."""
        while not self.outbox.settled:
            self.now += 2.0
            self.outbox.set_demand("eater", 1, self.now)
            self.settle()


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(data=st.data(), maxsize=st.sampled_from([None, 1, 5]), limit=st.sampled_from([0, 1, 5]))
def test_outputs_are_in_order_and_it_always_ends(
    data: st.DataObject, maxsize: int | None, limit: int
) -> None:
    frames = data.draw(st.lists(st.sampled_from([1, 3, 60]), min_size=1, max_size=6))
    items = sum(frames)
    cooks = _Cooks(frames, maxsize, limit, data.draw(st.sampled_from([1, 4, 40])))
    deaths = 0
    while not cooks.inbox.settled:
        cooks.now += 2.0
        cooks.inbox.advance(cooks.now)
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


@pytest.mark.parametrize(
    ("maxsize", "max_bytes", "expected"),
    [
        (None, None, BufferLimit()),
        (3, None, BufferLimit(items=3)),
        (1_000_000, None, BufferLimit()),
        (None, 7, BufferLimit(size=7)),
    ],
)
def test_as_much_is_held_as_the_queue_has_room_for_within_reason(
    maxsize: int | None, max_bytes: int | None, expected: BufferLimit
) -> None:
    assert expected == BufferLimit.of(maxsize, max_bytes)


def test_what_is_held_when_nobody_is_left_goes_on_in_order() -> None:
    inbox, outbox = ledgers(4)
    ordered = OrderedStage(inbox, outbox, WORKERS, BufferLimit(items=1))
    held = one_each(inbox)
    ordered.put(held["cook-3"], 1, made("cook-3", 12), 0.0)
    ordered.put(held["cook-2"], 1, made("cook-2", 11), 0.0)
    inbox.died("cook-1", {}, 0.0)

    ordered.release_all(0.0)

    assert [11, 12] == taken(outbox)
