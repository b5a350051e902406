"""The ledger that hands out the items itself: by examples, and by a machine that does to it whatever can happen."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runner.errors import MprunInternalError
from runner.ledger.credit import GRANT_DELAY, Granted
from runner.ledger.leases import LeaseQueue
from runner.ledger.partitioned import PartitionedQueue, QueuePolicy
from runner.ledger.ranges import Accepted, Frame, HandOver, ItemRange, Lease, Recall
from runner.ledger.readers import PATIENCE, lease_size, patience

WRITERS = ("neo", "alex", "egon")
READERS = ("eater-1", "eater-2")


def leases(ledger: LeaseQueue) -> list[Lease]:
    return [decision.lease for decision in ledger.decide() if isinstance(decision, HandOver)]


def accepted(ledger: LeaseQueue) -> list[str]:
    return [decision.writer for decision in ledger.decide() if isinstance(decision, Accepted)]


def spans(held: list[Lease]) -> list[tuple[str, int, int, int]]:
    return [
        (lease.reader, lease.item_range.start, lease.item_range.stop, lease.item_range.attempt)
        for lease in held
    ]


def test_items_go_to_whoever_wants_them() -> None:
    ledger = LeaseQueue("steamer", maxsize=None)
    frame = Frame("buns", 3)

    ledger.set_demand("eater-1", 5, now=0.0)
    ledger.offer("neo", frame, now=0.0)

    assert [Accepted("neo"), HandOver(Lease(1, "eater-1", ItemRange(frame, 0, 3), at=0))] == ledger.decide()
    assert [] == ledger.decide()


def test_a_full_queue_lets_in_what_fits_and_the_rest_once_there_is_room() -> None:
    ledger = LeaseQueue("steamer", maxsize=2)

    ledger.offer("neo", Frame("buns", 4), now=0.0)
    before = (accepted(ledger), ledger.account().put)
    ledger.set_demand("eater-1", 1, now=1.0)
    ledger.set_demand("eater-2", 1, now=1.0)
    after = (accepted(ledger), ledger.account().put)

    assert ([], 2) == before
    assert (["neo"], 4) == after


def test_a_writer_has_the_room_that_it_was_given_and_what_nobody_was_given() -> None:
    ledger = LeaseQueue("steamer", maxsize=10)

    ledger.grant("neo", 4)

    assert (10, 6, 6) == (ledger.room_for("neo"), ledger.room_for("alex"), ledger.room)


def test_what_was_made_of_items_that_are_done_gets_in_at_the_end_whatever_the_bound() -> None:
    ledger = LeaseQueue("steamer", maxsize=1)
    for writer, owed in (("neo", False), ("cook", True), ("alex", False)):
        ledger.offer(writer, Frame("buns", 2), now=0.0, owed=owed)

    ledger.take_in_owed()

    ledger.verify()
    account = ledger.account()
    assert (3, 3, 1) == (account.put, account.waiting, account.peak)


def test_an_item_in_hand_is_taken_and_what_lies_behind_it_still_waits() -> None:
    ledger = LeaseQueue("steamer", maxsize=3)
    ledger.offer("neo", Frame("buns", 3), now=0.0)
    rooms = [ledger.room]

    ledger.set_demand("eater-1", 3, now=0.0)
    rooms.append(ledger.room)
    for upto in (1, 2, 3):
        ledger.acked(1, upto, now=0.0)
        rooms.append(ledger.room)

    assert [0, 1, 2, 3, 3] == rooms


@pytest.mark.parametrize(("roomless", "occupied"), [(0, 7), (3, 5)])
def test_what_a_reader_holds_and_has_handled_lets_it_have_more_and_takes_room_unless_it_is_said_to_take_none(
    roomless: int, occupied: int
) -> None:
    ledger = LeaseQueue("steamer", maxsize=9)
    ledger.set_demand("eater-1", 3, now=0.0)
    ledger.offer("neo", Frame("buns", 8), now=0.0)

    ledger.set_demand("eater-1", 2, now=1.0, held=3, roomless=roomless)

    assert [("eater-1", 0, 3, 1), ("eater-1", 3, 5, 1)] == spans(leases(ledger))
    assert occupied == ledger.occupied
    ledger.verify()


@pytest.mark.parametrize(("taken", "room"), [(0, 1), (1, 1), (2, 2), (3, 3), (4, 4), (9, 4)])
def test_what_a_reader_has_taken_before_it_asks_for_more_makes_room_as_far_as_it_holds_it(
    taken: int, room: int
) -> None:
    ledger = LeaseQueue("steamer", maxsize=4)
    ledger.offer("neo", Frame("buns", 4), now=0.0)
    ledger.set_demand("eater-1", 4, now=0.0)

    ledger.request_more("eater-1", taken, now=0.0)

    assert room == ledger.room


@pytest.mark.parametrize("taken", [0, 2])
def test_a_reader_that_holds_nothing_and_asks_for_more_changes_no_room(taken: int) -> None:
    ledger = LeaseQueue("steamer", maxsize=4)

    ledger.request_more("eater-1", taken, now=0.0)

    assert 4 == ledger.room


def test_a_queue_that_was_full_is_not_refilled_item_by_item_until_a_moment_has_passed() -> None:
    ledger = LeaseQueue("steamer", maxsize=10)
    ledger.offer("neo", Frame("buns", 10), now=0.0)
    ledger.offer("neo", Frame("more buns", 5), now=0.0)
    ledger.set_demand("eater-1", 1, now=0.0)
    at_once = (ledger.account().put, ledger.due)

    ledger.advance(GRANT_DELAY)

    assert (10, GRANT_DELAY) == at_once
    assert 11 == ledger.account().put


def test_a_dead_readers_items_go_first_and_only_the_suspect_is_charged() -> None:
    ledger = LeaseQueue("steamer", maxsize=None)
    ledger.offer("neo", Frame("buns", 5), now=0.0)
    ledger.offer("alex", Frame("more buns", 1), now=0.0)
    ledger.set_demand("eater-1", 5, now=0.0)
    ledger.set_demand("eater-1", 0, now=0.0)
    ledger.acked(1, 1, now=0.0)
    ledger.decide()

    lost = ledger.died("eater-1", {1: range(2, 3)}, now=1.0, pasts={1: "killed by SIGKILL"})
    for number, most in enumerate([1, 1, 2, 1]):
        ledger.set_demand(f"eater-{number}", most, now=1.0)
    again = leases(ledger)

    assert [("eater-1", 0, 5, 1)] == spans(lost)
    assert [("eater-0", 1, 2, 1), ("eater-1", 2, 3, 2), ("eater-2", 3, 5, 1), ("eater-3", 0, 1, 1)] == spans(
        again
    )
    assert [(), ("killed by SIGKILL",), (), ()] == [lease.item_range.history for lease in again]


def test_a_condemned_suspect_is_a_dead_letter_and_its_neighbours_go_on() -> None:
    ledger = LeaseQueue("steamer", maxsize=None)
    ledger.offer("neo", Frame("buns", 3), now=0.0)
    ledger.set_demand("eater-1", 3, now=0.0)

    ledger.died("eater-1", {1: range(1, 2)}, now=1.0, condemned={1})

    account = ledger.account()
    assert (3, 2, 0, 1) == (account.put, account.waiting, account.leased, account.dead_lettered)


def test_what_an_item_had_put_before_its_reader_died_is_told_to_the_next() -> None:
    ledger = LeaseQueue("steamer", maxsize=None)
    ledger.offer("neo", Frame("buns", 2), now=0.0)
    ledger.set_demand("eater-1", 2, now=0.0)
    ledger.acked(1, 1, now=0.0, partial=3)
    ledger.decide()

    ledger.died("eater-1", {1: range(1, 2)}, now=1.0)
    ledger.set_demand("eater-2", 1, now=1.0)

    (lease,) = leases(ledger)
    assert (3, 3, 2) == (lease.partial, lease.item_range.partial, lease.item_range.attempt)


def test_a_retry_waits_for_its_time_and_counts_as_waiting_meanwhile() -> None:
    ledger = LeaseQueue("steamer", maxsize=None)
    ledger.offer("neo", Frame("buns", 2), now=0.0)
    ledger.set_demand("eater-1", 1, now=0.0)
    ledger.decide()

    ledger.retry(1, now=1.0, due=5.0, past="OSError")
    (other,) = leases(ledger)
    meanwhile = (spans([other]), ledger.account().waiting, ledger.due)
    ledger.acked(other.number, 2, now=2.0)
    ledger.advance(5.0)

    assert ([("eater-1", 1, 2, 1)], 1, 5.0) == meanwhile
    assert [("eater-1", 0, 1, 2)] == spans(leases(ledger))


@pytest.mark.parametrize("upto", [0, 4])
def test_an_acknowledgement_outside_its_lease_is_our_bug(upto: int) -> None:
    ledger = LeaseQueue("steamer", maxsize=None)
    ledger.offer("neo", Frame("buns", 3), now=0.0)
    ledger.set_demand("eater-1", 3, now=0.0)
    ledger.acked(1, 1, now=0.0)

    with pytest.raises(MprunInternalError, match=f"lease 1 acknowledged up to {upto}, outside 1..3"):
        ledger.acked(1, upto, now=0.0)


def test_a_lease_that_has_ended_is_known_no_more() -> None:
    ledger = LeaseQueue("steamer", maxsize=None)
    ledger.offer("neo", Frame("buns", 1), now=0.0)
    ledger.set_demand("eater-1", 1, now=0.0)
    ledger.acked(1, 1, now=0.0)

    with pytest.raises(MprunInternalError, match="queue 'steamer' has no lease 1"):
        ledger.acked(1, 1, now=0.0)


def test_leave_to_put_is_room_given_away_until_its_writer_is_gone() -> None:
    ledger = LeaseQueue("steamer", maxsize=12)

    granted = [ledger.grant("neo", 8), ledger.grant("alex", 8)]
    rooms = [ledger.room]
    ledger.writer_gone("neo", now=0.0)
    rooms.append(ledger.room)

    assert ([8, 4], [0, 8]) == (granted, rooms)


def test_the_time_with_a_writer_waiting_counts_as_full() -> None:
    ledger = LeaseQueue("steamer", maxsize=1)

    ledger.offer("neo", Frame("buns", 2), now=1.0)
    ledger.set_demand("eater-1", 1, now=3.5)

    assert 2.5 == ledger.account().full_seconds


def test_a_queue_with_too_little_room_to_let_its_writer_on_counts_as_full() -> None:
    ledger = LeaseQueue("steamer", maxsize=100)
    ledger.writer("neo", now=0.0)
    for _ in range(2):
        ledger.offer("neo", Frame("buns", 50), now=0.0)

    # The reader takes one after the other, and before the room that it makes is a share, or a moment has passed.
    moments = [GRANT_DELAY * part / 10 for part in range(1, 10)]
    for now in moments:
        ledger.set_demand("eater-1", 1, now)
        for lease in leases(ledger):
            ledger.acked(lease.number, 1, now)

    assert moments[-1] == pytest.approx(ledger.account().full_seconds)


Item = tuple[int, int]


def test_where_readers_are_filled_the_next_one_gets_nothing_before_the_first_has_all_it_may_hold() -> None:
    filled, shared = LeaseQueue("q", None, fills=True), LeaseQueue("q", None)
    for ledger in (filled, shared):
        ledger.set_demand("eater-1", 2, now=0.0)
        ledger.set_demand("eater-2", 2, now=0.0)
        for _ in range(4):
            ledger.offer("neo", Frame("bun", 1), now=0.0)

    assert ["eater-1", "eater-1", "eater-2", "eater-2"] == [lease.reader for lease in leases(filled)]
    assert ["eater-1", "eater-2", "eater-1", "eater-2"] == [lease.reader for lease in leases(shared)]


def test_what_an_impatient_reader_has_taken_makes_room_and_holds_nobody_back() -> None:
    ledger = LeaseQueue("q", 2)
    ledger.set_demand("eater", 8, now=0.0)
    ledger.offer("neo", Frame("buns", 2), now=0.0)
    ledger.offer("neo", Frame("more", 3), now=0.0)
    ledger.advance(1.0)
    before = ledger.account().put

    ledger.request_more("eater", 3, now=1.0, patient=False)
    ledger.advance(2.0)

    assert (3, 5) == (before, ledger.account().put)
    assert not ledger.account().held_back
    assert not ledger.is_full


def test_a_reader_that_waits_for_more_holds_its_items_back_until_it_is_done_with_one() -> None:
    ledger = LeaseQueue("q", 10)
    ledger.set_demand("eater", 2, now=0.0)
    ledger.offer("neo", Frame("buns", 2), now=0.0)
    (lease,) = leases(ledger)

    ledger.request_more("eater", 2, now=0.0)
    waits = ledger.account().held_back
    ledger.acked(lease.number, 1, now=0.0)

    assert (True, False) == (waits, ledger.account().held_back)


def test_a_queue_is_full_where_what_waits_outside_finds_no_room() -> None:
    ledger = LeaseQueue("q", 2)
    ledger.offer("neo", Frame("buns", 2), now=0.0)
    full = [ledger.is_full]
    ledger.offer("neo", Frame("more", 1), now=0.0)
    full.append(ledger.is_full)
    ledger.set_demand("eater", 2, now=0.0)
    full.append(ledger.is_full)

    assert [False, True, False] == full


@pytest.mark.parametrize(
    ("seconds", "readers", "unbegun", "size"),
    [
        (0.0005, 4, 10_000, 64),
        (0.005, 4, 10_000, 64),
        (0.005, 64, 10_000, 64),
        (0.005, 512, 100_000, 64),
        (0.005, 512, 10_000, 19),
        (0.05, 2, 100, 6),
        (0.2, 32, 10_000, 1),
        (60.0, 512, 10_000, 1),
        (0.005, 4, 40, 10),
        (0.005, 4, 7, 1),
        (0.005, 4, 0, 1),
        (0.0001, 1, 10_000, 64),
    ],
)
def test_a_lease_is_as_long_as_it_has_to_be_and_no_longer_than_a_fair_share(
    seconds: float, readers: int, unbegun: int, size: int
) -> None:
    assert size == lease_size(seconds, readers, unbegun)


@pytest.mark.parametrize(
    ("readers", "seconds"), [(0, 0.004), (1, 0.004), (10, 0.004), (64, 0.0256), (500, 0.2)]
)
def test_many_readers_wait_longer_before_they_share_what_one_holds(readers: int, seconds: float) -> None:
    assert pytest.approx(seconds) == patience(readers)


@given(st.floats(1e-4, 100), st.integers(1, 2000), st.integers(0, 100_000))
def test_no_lease_is_empty_or_more_than_a_fair_share_or_long_work(
    seconds: float, readers: int, unbegun: int
) -> None:
    size = lease_size(seconds, readers, unbegun)

    assert 1 <= size <= max(1, unbegun / readers)
    assert size == 1 or size * seconds <= max(0.32, patience(readers))


def test_a_quarter_of_what_nobody_has_begun_is_kept_for_who_comes_to_hold_nothing() -> None:
    ledger = slow(2, waits=200)

    held = leases(ledger)

    assert [2, 2] == [sum(lease.reader == name for lease in held) for name in ("eater-1", "eater-2")]
    assert 200 // 4 <= ledger.waiting


def test_frames_are_short_while_items_are_slow() -> None:
    ledger = LeaseQueue("q", None)
    ledger.set_demand("eater", 8, now=0.0)
    at_first = ledger.longest_frame
    ledger.set_demand("eater", 1, now=1.0, seconds=0.01)
    slow_ones = ledger.longest_frame
    ledger.set_demand("eater", 500, now=2.0)

    assert (0, 1000, 0) == (at_first, slow_ones, ledger.longest_frame)


def slow(count: int, *, waits: int) -> LeaseQueue:
    """A queue with readers of slow items, and a frame of some."""
    ledger = LeaseQueue("q", None, recalls=True)
    for number in range(1, count + 1):
        ledger.set_demand(f"eater-{number}", 1, now=0.0, seconds=0.01)
    ledger.offer("neo", Frame("buns", waits), now=0.0)
    return ledger


def recalls(ledger: LeaseQueue) -> list[Recall]:
    return [decision for decision in ledger.decide() if isinstance(decision, Recall)]


def test_readers_of_slow_items_hold_one_lease_and_the_next_while_plenty_waits() -> None:
    held = leases(slow(2, waits=12))

    # 12 // 2, and of the 11 that are not begun then 11 // 2; what is left stays for whoever comes first.
    assert [("eater-1", 0, 6, 1), ("eater-2", 6, 11, 1)] == spans(held)


def test_what_waits_for_the_next_goes_to_who_holds_nothing_before_whoever_holds_some() -> None:
    ledger = slow(2, waits=2)
    (first, second) = leases(ledger)

    ledger.acked(second.number, second.item_range.stop, now=1.0)
    ledger.offer("neo", Frame("more", 1), now=1.0)

    assert ["eater-2"] == [lease.reader for lease in leases(ledger)]
    assert "eater-1" == first.reader


def test_what_a_reader_has_not_begun_is_taken_back_once_another_has_had_nothing_to_do_for_a_moment() -> None:
    ledger = LeaseQueue("q", None, recalls=True)
    ledger.set_demand("eater-1", 8, now=0.0)
    ledger.offer("neo", Frame("buns", 8), now=0.0)
    ledger.set_demand("eater-2", 2, now=PATIENCE / 2)
    at_once, due = recalls(ledger), ledger.due

    ledger.advance(PATIENCE)
    told = recalls(ledger)
    ledger.recalled("eater-1", 3, 8, now=PATIENCE)

    assert ([], PATIENCE) == (at_once, due)
    assert [Recall("eater-1", 8)] == told
    assert [("eater-2", 3, 5, 1)] == spans(leases(ledger))
    assert [("eater-1", 0, 3, 1)] == spans(ledger.leases_of("eater-1"))
    assert 3 == ledger.account().waiting
    ledger.verify()


def test_nothing_is_taken_back_of_one_item_nor_twice_of_the_same() -> None:
    ledger = LeaseQueue("q", None, recalls=True)
    ledger.set_demand("eater-1", 1, now=0.0)
    ledger.offer("neo", Frame("bun", 1), now=0.0)
    ledger.set_demand("eater-2", 1, now=0.0)
    ledger.advance(1.0)
    of_one = (recalls(ledger), ledger.due)
    ledger.set_demand("eater-1", 3, now=1.0)
    for _ in range(3):
        ledger.offer("neo", Frame("bun", 1), now=1.0)
    ledger.set_demand("eater-3", 1, now=1.0)
    ledger.advance(2.0)
    ledger.advance(3.0)

    assert ([], None) == of_one
    assert 1 == len(recalls(ledger))


def test_an_item_that_was_begun_once_comes_back_as_it_went() -> None:
    ledger = LeaseQueue("q", None)
    ledger.set_demand("eater-1", 1, now=0.0)
    ledger.offer("neo", Frame("bun", 1), now=0.0, partial=2)
    ledger.died("eater-1", {1: range(1)}, now=1.0, pasts={1: "killed"})
    ledger.set_demand("eater-1", 1, now=1.0)
    before = leases(ledger)[-1]

    ledger.recalled("eater-1", 0, 1, now=2.0)
    again = leases(ledger)[-1]

    assert (2, 2, ("killed",)) == (again.partial, again.item_range.attempt, again.item_range.history)
    assert before.item_range == again.item_range
    assert before.number != again.number


def test_a_recall_leaves_what_was_handed_over_after_it() -> None:
    ledger = LeaseQueue("q", None)
    ledger.set_demand("eater-1", 6, now=0.0)
    for count in (2, 4):
        ledger.offer("neo", Frame("buns", count), now=0.0)
    ledger.set_demand("eater-1", 0, now=0.0)

    ledger.recalled("eater-1", 1, 2, now=1.0)

    assert [("eater-1", 0, 1, 1), ("eater-1", 0, 4, 1)] == spans(ledger.leases_of("eater-1"))


def in_hands(held: list[Lease]) -> st.SearchStrategy[dict[int, range]]:
    """What a reader may have been handling: nothing, an item, or neighbours of one lease or of several."""
    items = [(lease.number, index) for lease in held for index in range(lease.at, lease.item_range.stop)]
    ends = st.tuples(st.integers(0, len(items)), st.integers(0, len(items)))
    return ends.map(lambda pair: by_lease(items[min(pair) : max(pair)]))


def by_lease(items: list[tuple[int, int]]) -> dict[int, range]:
    numbers = {number for number, _ in items}
    indexes = {number: [index for each, index in items if each == number] for number in numbers}
    return {number: range(min(those), max(those) + 1) for number, those in indexes.items()}


@pytest.mark.parametrize("dead_letter", [False, True])
@pytest.mark.parametrize(
    "ledger", [LeaseQueue("q", 2), PartitionedQueue("q", QueuePolicy(2))], ids=["leases", "partitioned"]
)
def test_what_can_not_be_put_is_put_and_has_come_to_its_end_in_one_step(
    ledger: LeaseQueue | PartitionedQueue, dead_letter: bool
) -> None:
    before, room = ledger.account(), ledger.room

    ledger.reject(dead_letter=dead_letter)

    ledger.verify()
    expected = replace(
        before,
        put=before.put + 1,
        dropped=before.dropped + (not dead_letter),
        dead_lettered=before.dead_lettered + dead_letter,
    )
    assert (expected, room, True) == (ledger.account(), ledger.room, ledger.settled)


class LeasedBookMachine(RuleBasedStateMachine):
    """
    Writers, readers, failures, kills and time, in any order, against a plain model: one place for each item.
    """

    @initialize(maxsize=st.sampled_from([None, 1, 2, 3, 7, 40]))
    def begin(self, maxsize: int | None) -> None:
        self.maxsize = maxsize
        self.ledger = LeaseQueue("steamer", maxsize, recalls=True)
        self.now = 0.0
        self.offered: list[Item] = []
        self.first_handed: list[Item] = []
        self.frames_of: dict[str, int] = dict.fromkeys(WRITERS, 0)
        self.appetite: dict[str, int] = {}
        self.holder: dict[Item, str] = {}
        self.open: dict[int, Lease] = {}
        self.charges: dict[Item, int] = {}
        self.delayed: dict[Item, float] = {}
        self.ended: dict[Item, str] = {}
        self.came_back: set[Item] = set()
        self.seconds: dict[str, float] = {}
        self.handed: dict[str, list[Item]] = {reader: [] for reader in READERS}
        self.recalls: dict[str, int] = {}
        self.told: Counter[str] = Counter()
        self.held_back: set[str] = set()
        """Those from whom something was taken back, and of whom nothing was heard since."""
        self.taken_room = self.came_back_now = self.frames = 0

    # What may happen.

    @rule(writer=st.sampled_from(WRITERS), count=st.integers(1, 20))
    def offer(self, writer: str, count: int) -> None:
        self.frames += 1
        self.offered += [(self.frames, index) for index in range(count)]
        self.frames_of[writer] += 1
        self.ledger.offer(writer, Frame(self.frames, count), self.now)

    @rule(writer=st.sampled_from(WRITERS), most=st.integers(0, 20))
    def grant(self, writer: str, most: int) -> None:
        if self.frames_of[writer] == 0:  # a writer with a frame parked is not granted more
            before = self.ledger.room
            more = self.ledger.grant(writer, most)
            assert 0 <= more <= most
            assert before is None or more <= max(0, before)

    @rule(writer=st.sampled_from(WRITERS))
    def gain_writer(self, writer: str) -> None:
        self.ledger.writer(writer, self.now)

    @rule(writer=st.sampled_from(WRITERS))
    def lose_writer(self, writer: str) -> None:
        self.ledger.writer_gone(writer, self.now)

    @rule(
        reader=st.sampled_from(READERS), most=st.integers(0, 12), seconds=st.sampled_from([0.0, 0.0005, 0.01])
    )
    def set_demand(self, reader: str, most: int, seconds: float = 0.0) -> None:
        self.appetite[reader] = most
        self.seconds[reader] = seconds
        self.ledger.set_demand(reader, most, self.now, seconds=seconds)

    @precondition(lambda self: self.recalls)
    @rule(data=st.data())
    def recall(self, data: st.DataObject) -> None:
        """A reader is told to begin nothing more; what it has begun it may correct once, as one that it has not."""
        reader = data.draw(st.sampled_from(sorted(self.recalls)))
        told = self.recalls.pop(reader)
        self.told[reader] += 1
        begun = data.draw(st.integers(0, told))
        for count in dict.fromkeys([begun, max(0, begun - data.draw(st.integers(0, 1)))]):
            held = [lease for lease in self.open.values() if lease.reader == reader]
            for lease in held:
                if self._recall(lease, count, told):
                    self.held_back.add(reader)
            if reader not in self.holder.values():
                self.held_back.discard(reader)
            self.came_back_now = 1
            self.ledger.recalled(reader, count, told, self.now)
            self.take_in_decisions_and_check()

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        lease = self._some_lease(data)
        upto = data.draw(st.integers(lease.at, lease.item_range.stop))
        self._end(lease, upto, "done")
        self.ledger.acked(lease.number, upto, self.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), how=st.sampled_from(["dropped", "dead"]))
    def fail(self, data: st.DataObject, how: str) -> None:
        lease = self._some_lease(data)
        self._end(lease, lease.at + 1, how)
        act = self.ledger.failed if how == "dropped" else self.ledger.dead_letter
        act(lease.number, self.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), delay=st.sampled_from([0.0, 0.5, 3.0]))
    def retry(self, data: st.DataObject, delay: float) -> None:
        lease = self._some_lease(data)
        item = (lease.item_range.frame.payload, lease.at)
        self._charge(item)
        self.delayed[item] = self.now + delay
        self.came_back_now = 1
        self._advance(lease, lease.at + 1)
        self.ledger.retry(lease.number, self.now, self.now + delay)

    @rule(reader=st.sampled_from(READERS), data=st.data(), condemned=st.booleans())
    def kill(self, reader: str, data: st.DataObject, condemned: bool) -> None:
        held = [lease for lease in self.open.values() if lease.reader == reader]
        in_hand = data.draw(in_hands(held))
        self.appetite.pop(reader, None)
        self.recalls.pop(reader, None)
        self.handed[reader] = []
        self.told[reader] = 0
        self.came_back_now = bool(held)
        for lease in held:
            self._lose(lease, in_hand, condemned)
        assert held == self.ledger.died(reader, in_hand, self.now, condemned=in_hand if condemned else ())

    @rule(seconds=st.sampled_from([GRANT_DELAY / 2, GRANT_DELAY * 2, 1.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.ledger.advance(self.now)
        self.take_in_decisions_and_check()
        if seconds > GRANT_DELAY and self.maxsize is not None and self._parked():
            room = self.ledger.room
            assert room is not None
            assert room <= 0, "a parked offer is let in as soon as there is room"

    # What must be so at all times.

    @invariant()
    def take_in_decisions_and_check(self) -> None:
        if not hasattr(self, "ledger"):
            return
        for decision in self.ledger.decide():
            if isinstance(decision, Accepted):
                self.frames_of[decision.writer] -= 1
            elif isinstance(decision, HandOver):
                self._receive(decision.lease)
            elif isinstance(decision, Recall):
                assert len(self.handed[decision.reader]) == decision.handed
                assert list(self.holder.values()).count(decision.reader) > 1, (
                    "it holds more than it has in hand"
                )
                self.recalls[decision.reader] = decision.handed
            else:
                assert isinstance(decision, Granted)
                assert decision.count > 0
        self.ledger.verify()
        self._check_sums()
        self._check_bound()
        self._check_that_nobody_waits_in_vain()

    def teardown(self) -> None:
        """Readers that go on wanting and finishing bring everything to its end."""
        if not hasattr(self, "ledger"):
            return
        for writer in WRITERS:
            self.lose_writer(writer)
            self.take_in_decisions_and_check()
        for _ in range(3 * len(self.offered) + 10):
            if self.ledger.settled:
                break
            self.wait(1.0)
            self.take_in_decisions_and_check()
            for reader in READERS:
                self.set_demand(reader, 7)
                self.take_in_decisions_and_check()
            for lease in list(self.open.values()):
                self._end(lease, lease.item_range.stop, "done")
                self.ledger.acked(lease.number, lease.item_range.stop, self.now)
                self.take_in_decisions_and_check()
        assert self.ledger.settled
        assert self.ledger.account().settled
        assert sorted(self.offered) == sorted(self.ended)
        assert not self._parked()
        assert self.ledger.due is None

    # The model.

    def _some_lease(self, data: st.DataObject) -> Lease:
        return data.draw(st.sampled_from([self.open[number] for number in sorted(self.open)]))

    def _receive(self, lease: Lease) -> None:
        item_range = lease.item_range
        items = [(item_range.frame.payload, index) for index in range(item_range.start, item_range.stop)]
        assert items, "a lease is of something"
        if self.seconds[lease.reader]:
            most = lease_size(self.seconds[lease.reader], 1, len(self.offered))
            assert self.appetite[lease.reader] > 0
        else:
            most = 2 * self.appetite[lease.reader]
        assert len(items) <= most
        assert len(self.handed[lease.reader]) == lease.first
        self.handed[lease.reader] += items
        self.told[lease.reader] = 0
        assert not any(item in self.holder for item in items), "no item is in two hands"
        assert not any(item in self.ended for item in items), "what has ended is not handed out again"
        assert 1 + self.charges.get(items[0], 0) == item_range.attempt
        assert not any(item in self.charges for item in items[1:]), "a suspect is handed out alone"
        assert self.delayed.pop(items[0], 0.0) <= self.now
        self.first_handed += [item for item in items if item not in self.came_back]
        assert self.offered[: len(self.first_handed)] == self.first_handed, "first in, first out"
        self.holder.update(dict.fromkeys(items, lease.reader))
        self.open[lease.number] = lease

    def _end(self, lease: Lease, upto: int, how: str) -> None:
        for index in range(lease.at, upto):
            item = (lease.item_range.frame.payload, index)
            assert item not in self.ended, "an item ends once"
            self.ended[item] = how
        self._advance(lease, upto)

    def _advance(self, lease: Lease, at: int) -> None:
        self.held_back.discard(lease.reader)
        for index in range(lease.at, at):
            del self.holder[(lease.item_range.frame.payload, index)]
        if at == lease.item_range.stop:
            del self.open[lease.number]
        else:
            self.open[lease.number] = replace(lease, at=at, partial=0)

    def _recall(self, lease: Lease, begun: int, told: int) -> bool:
        item_range = lease.item_range
        stop = max(lease.at, item_range.start + begun - lease.first)
        if lease.first >= told or stop >= item_range.stop:
            return False
        for index in range(stop, item_range.stop):
            del self.holder[(item_range.frame.payload, index)]
            self._bring_back((item_range.frame.payload, index))
        if stop == lease.at:
            del self.open[lease.number]
        else:
            self.open[lease.number] = replace(lease, item_range=item_range.upto(stop))
        return True

    def _lose(self, lease: Lease, in_hand: dict[int, range], condemned: bool) -> None:
        for index in range(lease.at, lease.item_range.stop):
            item = (lease.item_range.frame.payload, index)
            if index not in in_hand.get(lease.number, ()):
                self._bring_back(item)
            elif condemned:
                self.ended[item] = "dead"
            else:
                self._charge(item)
        self._advance(lease, lease.item_range.stop)

    def _charge(self, item: Item) -> None:
        self.charges[item] = self.charges.get(item, 0) + 1
        self._bring_back(item)

    def _bring_back(self, item: Item) -> None:
        self.came_back.add(item)

    def _parked(self) -> bool:
        return any(self.frames_of.values())

    def _check_sums(self) -> None:
        account = self.ledger.account()
        ends: list[Any] = list(self.ended.values())
        assert account.balanced
        assert len(self.holder) == account.leased
        assert ends.count("done") == account.done
        assert ends.count("dropped") == account.dropped
        assert ends.count("dead") == account.dead_lettered
        assert account.put <= len(self.offered)
        assert self._parked() or account.put == len(self.offered)
        # What comes back from a dead reader, or is tried again, had been taken: it is no room used up.
        assert min(account.waiting, account.maxsize or account.waiting) <= account.peak

    def _check_bound(self) -> None:
        """Only what comes back, from a dead reader or for another try, may go beyond the bound."""
        account, room = self.ledger.account(), self.ledger.room
        if self.maxsize is not None:
            assert room is not None
            behind = account.leased - len(set(self.holder.values()))
            assert account.waiting + behind <= self.maxsize - room
            assert self.maxsize - room <= max(self.maxsize, self.taken_room + self.came_back_now)
            self.taken_room = self.maxsize - room
        self.came_back_now = 0

    def _check_that_nobody_waits_in_vain(self) -> None:
        ready = self.ledger.account().waiting - sum(due > self.now for due in self.delayed.values())
        holds = Counter(self.holder.values())
        # Who works slowly holds more only while plenty waits.
        most = {r: min(most, 1) if self.seconds[r] else most for r, most in self.appetite.items()}
        hungry = [r for r in most if holds[r] < most[r] and r not in self.held_back]
        assert not (ready and hungry), f"{ready} items wait, and so do {hungry}"
        idle = [r for r in hungry if not holds[r]]
        if idle and any(count > 1 for count in holds.values()) and not self.ledger.account().waiting:
            self._check_that_somebody_gives_back(holds)
        if any(due > self.now for due in self.delayed.values()) or (
            self._parked() and (self.ledger.room or 0) > 0
        ):
            assert self.ledger.due is not None, "somebody must look again"

    def _check_that_somebody_gives_back(self, holds: Counter[str]) -> None:
        """Somebody has nothing to do, and somebody else more than is in hand: that is seen to, now or soon."""
        untold = [r for r, count in holds.items() if count > 1 and r not in self.recalls and not self.told[r]]
        assert not untold or self.ledger.due is not None, f"{untold} hold several for ever"


TestLeasedBook = LeasedBookMachine.TestCase
TestLeasedBook.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
