"""The ledger of a partitioned queue: by examples, and by a machine that does to it whatever can happen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runner.ledger.credit import GRANT_DELAY
from runner.ledger.partitioned import Offer, PartitionedQueue, QueuePolicy, ShardFrame
from runner.ledger.ranges import Accepted, Frame, HandOver, Lease
from runner.spec.resources import WhenFull

READERS = ("eater-1", "eater-2", "eater-3")


def ledger(**policy: Any) -> PartitionedQueue:
    return PartitionedQueue("steamer", QueuePolicy(**policy))


def offer(writer: str, *frames: ShardFrame, since: float = 0.0) -> Offer:
    return Offer(writer, frames, since)


def buns(count: int, size: int = 0, shard: int = 0, payload: object = b"") -> ShardFrame:
    return ShardFrame(shard, Frame(payload, count, size))


def leases(ledger: PartitionedQueue) -> list[Lease]:
    return [decision.lease for decision in ledger.decide() if isinstance(decision, HandOver)]


def spans(held: list[Lease]) -> list[tuple[str, int, int]]:
    return [
        (lease.reader, lease.item_range.position, lease.item_range.position + len(lease.item_range))
        for lease in held
    ]


def test_bytes_bound_what_is_in_until_it_is_done() -> None:
    steamer = ledger(max_bytes=100)

    steamer.offer(offer("neo", buns(1, 60)), 0.0)
    steamer.offer(offer("alex", buns(1, 60)), 0.0)
    steamer.set_demand("eater-1", 1, 0.0)
    in_hand = (steamer.account().put, steamer.room)
    steamer.acked(leases(steamer)[0].number, 1, 0.0)

    assert (1, None) == in_hand
    assert (2, 60) == (steamer.account().put, steamer.account().peak_bytes)


def test_one_by_one_is_one_beside_those_that_the_reader_has_handled() -> None:
    steamer = ledger(readers=("eater-1",), one_by_one=True)
    steamer.offer(offer("neo", buns(5)), 0.0)
    steamer.set_demand("eater-1", 9, 0.0)
    first = spans(leases(steamer))

    steamer.set_demand("eater-1", 9, 1.0, held=1)

    assert [("eater-1", 0, 1)] == first
    assert [("eater-1", 1, 2)] == spans(leases(steamer))


def test_what_is_in_weighs_until_it_is_done_and_what_is_outside_is_its_writers() -> None:
    steamer = ledger(max_bytes=100)

    steamer.offer(offer("neo", buns(1, 60)), 0.0)
    steamer.offer(offer("alex", buns(3, 180)), 0.0)

    assert (60, 100) == (steamer.account().bytes, steamer.account().max_bytes)
    assert (0, 3) == (steamer.outside("neo"), steamer.outside("alex"))


def test_a_part_of_what_is_put_goes_in_once_a_moment_has_passed() -> None:
    steamer = ledger(max_bytes=100)

    steamer.offer(offer("neo", buns(10, 150)), 0.0)
    at_once = (steamer.account().put, steamer.due)
    steamer.advance(GRANT_DELAY)

    assert (0, GRANT_DELAY) == at_once
    assert (6, 90) == (steamer.account().put, steamer.account().peak_bytes)


def test_the_rest_of_it_goes_in_by_moments_and_not_as_each_item_leaves() -> None:
    steamer = ledger(maxsize=10)
    steamer.offer(offer("neo", buns(8)), 0.0)
    steamer.offer(offer("alex", buns(8)), 0.0)
    steamer.advance(GRANT_DELAY)
    steamer.set_demand("eater-1", 8, GRANT_DELAY)
    (lease, *_) = leases(steamer)
    put = [steamer.account().put]

    for upto in (2, 3, 4):
        steamer.acked(lease.number, upto, GRANT_DELAY * 1.5)
        put.append(steamer.account().put)
    steamer.advance(2 * GRANT_DELAY)

    assert [10, 10, 10, 10] == put
    assert 15 == steamer.account().put  # the one in hand takes no room


def test_who_waits_for_more_before_it_is_done_with_any_gets_it_whatever_it_weighs() -> None:
    steamer = ledger(max_bytes=100)
    steamer.offer(offer("neo", buns(1, 80)), 0.0)
    steamer.offer(offer("neo", buns(1, 80)), 0.0)
    steamer.set_demand("eater-1", 1, 0.0)
    first = spans(leases(steamer))

    steamer.request_more("eater-1", 1, 1.0)
    steamer.advance(1.0)

    assert [("eater-1", 0, 1)] == first
    assert [("eater-1", 1, 2)] == spans(leases(steamer))


@pytest.mark.parametrize(
    ("when_full", "expected"),
    [
        (WhenFull.DROP_NEWEST, [("eater-1", 0, 2), ("eater-1", 2, 3)]),
        (WhenFull.DROP_OLDEST, [("eater-1", 4, 5), ("eater-1", 5, 7)]),
    ],
)
def test_what_finds_no_room_is_dropped_or_what_was_there_before(
    when_full: WhenFull, expected: list[tuple[str, int, int]]
) -> None:
    steamer = ledger(maxsize=3, when_full=when_full)

    steamer.offer(offer("neo", buns(2)), 0.0)
    steamer.offer(offer("alex", buns(3)), 0.0)
    steamer.offer(offer("egon", buns(2)), 0.0)
    steamer.set_demand("eater-1", 9, 0.0)

    account = steamer.account()
    assert (7, 4, 3, True) == (account.put, account.dropped, account.leased, account.balanced)
    decisions = steamer.decide()
    assert ["neo", "alex", "egon"] == [each.writer for each in decisions if isinstance(each, Accepted)]
    assert expected == spans([each.lease for each in decisions if isinstance(each, HandOver)])


def test_of_more_than_the_queue_holds_the_newest_stay_where_the_oldest_are_dropped() -> None:
    steamer = ledger(maxsize=3, when_full=WhenFull.DROP_OLDEST)

    steamer.offer(offer("neo", buns(8)), 0.0)
    steamer.set_demand("eater-1", 9, 0.0)

    assert [("eater-1", 5, 8)] == spans(leases(steamer))
    assert 3 == steamer.account().peak


def test_where_a_full_queue_is_a_failure_it_names_who_put_too_much() -> None:
    steamer = ledger(maxsize=3, when_full=WhenFull.FAIL)

    steamer.offer(offer("neo", buns(2)), 0.0)
    before = steamer.overflowed_by
    steamer.offer(offer("alex", buns(2)), 0.0)

    assert (None, "alex") == (before, steamer.overflowed_by)
    assert (3, 3) == (steamer.account().put, steamer.account().waiting)


def test_what_is_owed_is_not_among_what_found_no_room() -> None:
    steamer = ledger(maxsize=1, when_full=WhenFull.FAIL)
    steamer.offer(replace(offer("cook", buns(3)), owed=True), 0.0)
    steamer.offer(offer("chef", buns(2)), 0.0)

    assert (0, 2) == (steamer.outside("cook"), steamer.outside("chef"))


def test_each_shard_has_its_reader_and_waits_for_it_after_a_death() -> None:
    steamer = ledger(readers=READERS)
    steamer.offer(offer("neo", buns(2, shard=1), buns(1, shard=2)), 0.0)
    for reader in READERS:
        steamer.set_demand(reader, 5, 0.0)
    before = spans(leases(steamer))

    steamer.died("eater-2", {}, 1.0)
    steamer.offer(offer("neo", buns(1, shard=1)), 1.0)
    meanwhile = leases(steamer)
    steamer.set_demand("eater-2", 5, 2.0)

    assert [("eater-2", 0, 2), ("eater-3", 2, 3)] == before
    assert [] == meanwhile
    assert [("eater-2", 0, 2), ("eater-2", 3, 4)] == spans(leases(steamer))


def test_a_death_that_makes_room_lets_in_what_waits_outside() -> None:
    steamer = ledger(max_bytes=100)
    steamer.offer(offer("neo", buns(1, 60)), 0.0)
    steamer.set_demand("eater-1", 1, 0.0)
    held = leases(steamer)[0]
    steamer.offer(offer("alex", buns(1, 60)), 0.0)
    outside = steamer.outside("alex")

    steamer.died("eater-1", {held.number: range(1)}, 1.0, condemned={held.number})

    assert (1, 0) == (outside, steamer.outside("alex"))
    assert [Accepted("alex")] == steamer.decide()
    assert (60, 1.0) == (steamer.account().bytes, steamer.account().full_seconds)


def test_an_item_that_is_tried_again_holds_up_its_shard_alone() -> None:
    steamer = ledger(readers=READERS, one_by_one=True)
    steamer.offer(offer("neo", buns(2, shard=0), buns(1, shard=1)), 0.0)
    steamer.set_demand("eater-1", 9, 0.0)
    (lease,) = leases(steamer)

    steamer.retry(lease.number, 1.0, due=5.0)
    steamer.set_demand("eater-2", 9, 1.0)
    meanwhile = spans(leases(steamer))
    steamer.advance(5.0)

    assert [("eater-2", 2, 3)] == meanwhile
    assert [("eater-1", 0, 1)] == spans(leases(steamer))


def test_the_successor_of_a_writer_gets_no_answer_that_was_meant_for_it() -> None:
    steamer = ledger(maxsize=1)
    steamer.offer(offer("neo", buns(1)), 0.0)
    steamer.offer(offer("neo", buns(1)), 0.0)
    first = steamer.decide()

    steamer.writer_gone("neo", 1.0)
    steamer.set_demand("eater-1", 1, 2.0)

    assert [Accepted("neo")] == first
    assert [] == [decision for decision in steamer.decide() if isinstance(decision, Accepted)]
    assert 2 == steamer.account().put


def test_nothing_is_handed_out_beyond_the_window() -> None:
    steamer = ledger()
    steamer.window(2, 0.0)
    steamer.offer(offer("neo", buns(2), buns(2)), 0.0)
    steamer.set_demand("eater-1", 9, 0.0)
    before = spans(leases(steamer))

    steamer.window(3, 1.0)

    assert [("eater-1", 0, 2)] == before
    assert [("eater-1", 2, 4)] == spans(leases(steamer))


Item = int


class GatedBookMachine(RuleBasedStateMachine):
    """
    Writers, readers, failures, kills and time, in any order, against a plain model: one place for each item, and in
    each shard the order in which items were put.
    """

    @initialize(
        maxsize=st.sampled_from([None, 1, 2, 7, 40]),
        max_bytes=st.sampled_from([None, 50, 400]),
        when_full=st.sampled_from(WhenFull),
        sharded=st.booleans(),
        one_by_one=st.booleans(),
    )
    def begin(
        self, maxsize: int | None, max_bytes: int | None, when_full: WhenFull, sharded: bool, one_by_one: bool
    ) -> None:
        self.policy = QueuePolicy(
            maxsize, max_bytes, when_full, READERS if sharded else (), True, sharded and one_by_one
        )
        self.ledger = PartitionedQueue("steamer", self.policy)
        self.now = 0.0
        self.positions = 0
        self.shard_of: dict[Item, int] = {}
        self.open: dict[int, Lease] = {}
        self.ended: dict[Item, str] = {}
        self.came_back: set[Item] = set()
        self.last: dict[int, Item] = {}
        self.unanswered = 0

    # What may happen.

    @rule(data=st.data(), writer=st.sampled_from(["neo", "alex"]))
    def offer(self, data: st.DataObject, writer: str) -> None:
        shards = range(len(self.policy.readers) or 1)
        sizes = data.draw(
            st.lists(
                st.tuples(st.sampled_from(shards), st.integers(1, 12), st.integers(0, 50)),
                min_size=1,
                max_size=3,
            )
        )
        frames = []
        for shard, count, size in sizes:
            for _ in range(count):
                self.shard_of[self.positions] = shard
                self.positions += 1
            frames.append(buns(count, size, shard))
        self.unanswered += 1
        self.ledger.offer(Offer(writer, frames, self.now), self.now)

    @rule(reader=st.sampled_from(READERS), most=st.integers(0, 12))
    def set_demand(self, reader: str, most: int) -> None:
        self.ledger.set_demand(reader, most, self.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        lease = self._some_lease(data)
        upto = data.draw(st.integers(lease.at, lease.item_range.stop))
        self._end(lease, upto, "done")
        self.ledger.acked(lease.number, upto, self.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), dead=st.booleans())
    def fail(self, data: st.DataObject, dead: bool) -> None:
        lease = self._some_lease(data)
        self._end(lease, lease.at + 1, "dead" if dead else "failed")
        (self.ledger.dead_letter if dead else self.ledger.failed)(lease.number, self.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), delay=st.sampled_from([0.0, 0.5, 3.0]))
    def retry(self, data: st.DataObject, delay: float) -> None:
        lease = self._some_lease(data)
        self.came_back.add(lease.item_range.frame.first + lease.at)
        self._advance(lease, lease.at + 1)
        self.ledger.retry(lease.number, self.now, self.now + delay)

    @rule(reader=st.sampled_from(READERS), data=st.data(), condemned=st.booleans())
    def kill(self, reader: str, data: st.DataObject, condemned: bool) -> None:
        held = [lease for lease in self.open.values() if lease.reader == reader]
        in_hand: dict[int, range] = {}
        if held and data.draw(st.booleans()):
            lease = data.draw(st.sampled_from(held))
            first = data.draw(st.integers(lease.at, lease.item_range.stop - 1))
            in_hand[lease.number] = range(first, data.draw(st.integers(first + 1, lease.item_range.stop)))
        for lease in held:
            for index in range(lease.at, lease.item_range.stop):
                item = lease.item_range.frame.first + index
                if condemned and index in in_hand.get(lease.number, ()):
                    self.ended[item] = "dead"
                self.came_back.add(item)
            del self.open[lease.number]
        assert held == self.ledger.died(reader, in_hand, self.now, condemned=in_hand if condemned else ())

    @rule(seconds=st.sampled_from([GRANT_DELAY / 2, GRANT_DELAY * 2, 1.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.ledger.advance(self.now)

    # What must be so at all times.

    @invariant()
    def take_in_decisions_and_check(self) -> None:
        if not hasattr(self, "ledger"):
            return
        for first, upto in self.ledger.lost:
            for item in range(first, upto):
                assert item not in self.ended
                self.ended[item] = "dropped"
        self.ledger.lost.clear()
        for decision in self.ledger.decide():
            if isinstance(decision, Accepted):
                self.unanswered -= 1
            else:
                assert isinstance(decision, HandOver)
                self._receive(decision.lease)
        self.ledger.verify()
        account = self.ledger.account()
        ends = list(self.ended.values())
        assert account.balanced
        assert ends.count("done") == account.done
        assert ends.count("dead") == account.dead_lettered
        assert ends.count("failed") + ends.count("dropped") == account.dropped
        assert ends.count("dropped") == self.ledger.dropped_for_room
        assert account.peak_bytes <= (self.policy.max_bytes or account.peak_bytes)
        assert account.peak <= (self.policy.maxsize or account.peak)
        if self.policy.when_full in (WhenFull.DROP_NEWEST, WhenFull.DROP_OLDEST):
            assert 0 == self.unanswered, "a writer waits for nothing"

    def teardown(self) -> None:
        """Readers that go on wanting and finishing bring everything to its end."""
        if not hasattr(self, "ledger"):
            return
        for _ in range(3 * self.positions + 10):
            if self.ledger.settled:
                break
            self.wait(4.0)
            self.take_in_decisions_and_check()
            for reader in READERS:
                self.set_demand(reader, 7)
                self.take_in_decisions_and_check()
            for lease in list(self.open.values()):
                self._end(lease, lease.item_range.stop, "done")
                self.ledger.acked(lease.number, lease.item_range.stop, self.now)
                self.take_in_decisions_and_check()
        assert self.ledger.settled
        assert list(range(self.positions)) == sorted(self.ended)
        assert 0 == self.unanswered
        assert self.ledger.due is None

    # The model.

    def _some_lease(self, data: st.DataObject) -> Lease:
        return data.draw(st.sampled_from([self.open[number] for number in sorted(self.open)]))

    def _receive(self, lease: Lease) -> None:
        first = lease.item_range.position
        shard = self.shard_of[first]
        if self.policy.readers:
            assert self.policy.readers[shard] == lease.reader
        for item in range(first, first + len(lease.item_range)):
            assert item not in self.ended
            if item not in self.came_back or self.policy.one_by_one:
                assert self.last.get(shard, -1) < item or item in self.came_back, "first in, first out"
                self.last[shard] = max(item, self.last.get(shard, -1))
        if self.policy.one_by_one:
            assert 1 == len(lease.item_range)
            assert not any(other.reader == lease.reader for other in self.open.values())
            behind = [
                i
                for i in self.ended
                if self.shard_of[i] == shard and i > first and self.ended[i] != "dropped"
            ]
            assert [] == behind, "what comes later is not done before"
        self.open[lease.number] = lease

    def _end(self, lease: Lease, upto: int, how: str) -> None:
        for index in range(lease.at, upto):
            item = lease.item_range.frame.first + index
            assert item not in self.ended, "an item ends once"
            self.ended[item] = how
        self._advance(lease, upto)

    def _advance(self, lease: Lease, at: int) -> None:
        if at == lease.item_range.stop:
            del self.open[lease.number]
        else:
            self.open[lease.number] = Lease(lease.number, lease.reader, lease.item_range, at)


GatedBookMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestGatedBookMachine = GatedBookMachine.TestCase


@pytest.mark.parametrize(
    ("when_full", "put"), [(WhenFull.BLOCK, 2), (WhenFull.FAIL, 2), (WhenFull.DROP_NEWEST, 4)]
)
def test_what_was_made_of_items_that_are_done_gets_in_at_the_end(when_full: WhenFull, put: int) -> None:
    ledger = PartitionedQueue("buns", QueuePolicy(1, when_full=when_full))
    frames = [ShardFrame(0, Frame(b"", 1))]
    for writer, owed in (("cook", True), ("chef", False), ("cook-2", True), ("chef-2", False)):
        ledger.offer(Offer(writer, frames, 0.0, owed=owed), 0.0)

    ledger.take_in_owed()

    ledger.verify()
    assert put == ledger.account().put
