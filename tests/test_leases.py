"""The book that hands out the items itself: by examples, and by a machine that does to it whatever can happen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runner.credit import PATIENCE, Granted
from runner.errors import MprunInternalError
from runner.leases import LeasedBook
from runner.parcels import Accepted, Frame, HandOver, Lease, Parcel

WRITERS = ("neo", "alex", "egon")
READERS = ("eater-1", "eater-2")


def leases(book: LeasedBook) -> list[Lease]:
    return [decision.lease for decision in book.decide() if isinstance(decision, HandOver)]


def accepted(book: LeasedBook) -> list[str]:
    return [decision.writer for decision in book.decide() if isinstance(decision, Accepted)]


def spans(held: list[Lease]) -> list[tuple[str, int, int, int]]:
    return [(lease.reader, lease.parcel.start, lease.parcel.stop, lease.parcel.attempt) for lease in held]


def test_items_go_to_whoever_wants_them() -> None:
    book = LeasedBook("steamer", maxsize=None)
    frame = Frame("buns", 3)

    book.want("eater-1", 5, now=0.0)
    book.offer("neo", frame, now=0.0)

    assert [Accepted("neo"), HandOver(Lease(1, "eater-1", Parcel(frame, 0, 3), at=0))] == book.decide()
    assert [] == book.decide()


def test_a_full_queue_lets_in_what_fits_and_the_rest_once_there_is_room() -> None:
    book = LeasedBook("steamer", maxsize=2)

    book.offer("neo", Frame("buns", 4), now=0.0)
    before = (accepted(book), book.account().put)
    book.want("eater-1", 1, now=1.0)
    book.want("eater-2", 1, now=1.0)
    after = (accepted(book), book.account().put)

    assert ([], 2) == before
    assert (["neo"], 4) == after


def test_an_item_in_hand_is_taken_and_what_lies_behind_it_still_waits() -> None:
    book = LeasedBook("steamer", maxsize=3)
    book.offer("neo", Frame("buns", 3), now=0.0)
    rooms = [book.room]

    book.want("eater-1", 3, now=0.0)
    rooms.append(book.room)
    for upto in (1, 2, 3):
        book.acked(1, upto, now=0.0)
        rooms.append(book.room)

    assert [0, 1, 2, 3, 3] == rooms


def test_a_queue_that_was_full_is_not_refilled_item_by_item_until_a_moment_has_passed() -> None:
    book = LeasedBook("steamer", maxsize=10)
    book.offer("neo", Frame("buns", 10), now=0.0)
    book.offer("neo", Frame("more buns", 5), now=0.0)
    book.want("eater-1", 1, now=0.0)
    at_once = (book.account().put, book.due)

    book.move(PATIENCE)

    assert (10, PATIENCE) == at_once
    assert 11 == book.account().put


def test_a_dead_readers_items_go_first_and_only_the_suspect_is_charged() -> None:
    book = LeasedBook("steamer", maxsize=None)
    book.offer("neo", Frame("buns", 5), now=0.0)
    book.offer("alex", Frame("more buns", 1), now=0.0)
    book.want("eater-1", 5, now=0.0)
    book.want("eater-1", 0, now=0.0)
    book.acked(1, 1, now=0.0)
    book.decide()

    lost = book.died("eater-1", suspect=(1, 2), now=1.0, past="killed by SIGKILL")
    for number, most in enumerate([1, 1, 2, 1]):
        book.want(f"eater-{number}", most, now=1.0)
    again = leases(book)

    assert [("eater-1", 0, 5, 1)] == spans(lost)
    assert [("eater-0", 1, 2, 1), ("eater-1", 2, 3, 2), ("eater-2", 3, 5, 1), ("eater-3", 0, 1, 1)] == spans(
        again
    )
    assert [(), ("killed by SIGKILL",), (), ()] == [lease.parcel.history for lease in again]


def test_a_condemned_suspect_is_a_dead_letter_and_its_neighbours_go_on() -> None:
    book = LeasedBook("steamer", maxsize=None)
    book.offer("neo", Frame("buns", 3), now=0.0)
    book.want("eater-1", 3, now=0.0)

    book.died("eater-1", suspect=(1, 1), now=1.0, condemned=True)

    account = book.account()
    assert (3, 2, 0, 1) == (account.put, account.waiting, account.leased, account.dead_lettered)


def test_what_an_item_had_put_before_its_reader_died_is_told_to_the_next() -> None:
    book = LeasedBook("steamer", maxsize=None)
    book.offer("neo", Frame("buns", 2), now=0.0)
    book.want("eater-1", 2, now=0.0)
    book.acked(1, 1, now=0.0, partial=3)
    book.decide()

    book.died("eater-1", suspect=(1, 1), now=1.0)
    book.want("eater-2", 1, now=1.0)

    (lease,) = leases(book)
    assert (3, 3, 2) == (lease.partial, lease.parcel.partial, lease.parcel.attempt)


def test_a_retry_waits_for_its_time_and_counts_as_waiting_meanwhile() -> None:
    book = LeasedBook("steamer", maxsize=None)
    book.offer("neo", Frame("buns", 2), now=0.0)
    book.want("eater-1", 1, now=0.0)
    book.decide()

    book.retry(1, now=1.0, due=5.0, past="OSError")
    (other,) = leases(book)
    meanwhile = (spans([other]), book.account().waiting, book.due)
    book.acked(other.number, 2, now=2.0)
    book.move(5.0)

    assert ([("eater-1", 1, 2, 1)], 1, 5.0) == meanwhile
    assert [("eater-1", 0, 1, 2)] == spans(leases(book))


@pytest.mark.parametrize("upto", [0, 4])
def test_an_acknowledgement_outside_its_lease_is_our_bug(upto: int) -> None:
    book = LeasedBook("steamer", maxsize=None)
    book.offer("neo", Frame("buns", 3), now=0.0)
    book.want("eater-1", 3, now=0.0)
    book.acked(1, 1, now=0.0)

    with pytest.raises(MprunInternalError, match=f"lease 1 acknowledged up to {upto}, outside 1..3"):
        book.acked(1, upto, now=0.0)


def test_a_lease_that_has_ended_is_known_no_more() -> None:
    book = LeasedBook("steamer", maxsize=None)
    book.offer("neo", Frame("buns", 1), now=0.0)
    book.want("eater-1", 1, now=0.0)
    book.acked(1, 1, now=0.0)

    with pytest.raises(MprunInternalError, match="queue 'steamer' has no lease 1"):
        book.acked(1, 1, now=0.0)


def test_leave_to_put_is_room_given_away_until_its_writer_is_gone() -> None:
    book = LeasedBook("steamer", maxsize=12)

    granted = [book.grant("neo", 8), book.grant("alex", 8)]
    rooms = [book.room]
    book.writer_gone("neo", now=0.0)
    rooms.append(book.room)

    assert ([8, 4], [0, 8]) == (granted, rooms)


def test_the_time_with_a_writer_waiting_counts_as_full() -> None:
    book = LeasedBook("steamer", maxsize=1)

    book.offer("neo", Frame("buns", 2), now=1.0)
    book.want("eater-1", 1, now=3.5)

    assert 2.5 == book.account().full_seconds


Item = tuple[int, int]


class LeasedBookMachine(RuleBasedStateMachine):
    """
    Writers, readers, failures, kills and time, in any order, against a plain model: one place for each item.
    """

    @initialize(maxsize=st.sampled_from([None, 1, 2, 3, 7, 40]))
    def begin(self, maxsize: int | None) -> None:
        self.maxsize = maxsize
        self.book = LeasedBook("steamer", maxsize)
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
        self.taken_room = self.came_back_now = self.frames = 0

    # What may happen.

    @rule(writer=st.sampled_from(WRITERS), count=st.integers(1, 20))
    def offer(self, writer: str, count: int) -> None:
        self.frames += 1
        self.offered += [(self.frames, index) for index in range(count)]
        self.frames_of[writer] += 1
        self.book.offer(writer, Frame(self.frames, count), self.now)

    @rule(writer=st.sampled_from(WRITERS), most=st.integers(0, 20))
    def grant(self, writer: str, most: int) -> None:
        if self.frames_of[writer] == 0:  # a writer with a frame parked is not granted more
            before = self.book.room
            more = self.book.grant(writer, most)
            assert 0 <= more <= most
            assert before is None or more <= max(0, before)

    @rule(writer=st.sampled_from(WRITERS))
    def gain_writer(self, writer: str) -> None:
        self.book.writer(writer, self.now)

    @rule(writer=st.sampled_from(WRITERS))
    def lose_writer(self, writer: str) -> None:
        self.book.writer_gone(writer, self.now)

    @rule(reader=st.sampled_from(READERS), most=st.integers(0, 12))
    def want(self, reader: str, most: int) -> None:
        self.appetite[reader] = most
        self.book.want(reader, most, self.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        lease = self._some_lease(data)
        upto = data.draw(st.integers(lease.at, lease.parcel.stop))
        self._end(lease, upto, "done")
        self.book.acked(lease.number, upto, self.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), how=st.sampled_from(["dropped", "dead"]))
    def fail(self, data: st.DataObject, how: str) -> None:
        lease = self._some_lease(data)
        self._end(lease, lease.at + 1, how)
        act = self.book.failed if how == "dropped" else self.book.condemn
        act(lease.number, self.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), delay=st.sampled_from([0.0, 0.5, 3.0]))
    def retry(self, data: st.DataObject, delay: float) -> None:
        lease = self._some_lease(data)
        item = (lease.parcel.frame.payload, lease.at)
        self._charge(item)
        self.delayed[item] = self.now + delay
        self.came_back_now = 1
        self._advance(lease, lease.at + 1)
        self.book.retry(lease.number, self.now, self.now + delay)

    @rule(reader=st.sampled_from(READERS), data=st.data(), condemned=st.booleans())
    def kill(self, reader: str, data: st.DataObject, condemned: bool) -> None:
        held = [lease for lease in self.open.values() if lease.reader == reader]
        suspect = None
        if held and data.draw(st.booleans()):
            lease = data.draw(st.sampled_from(held))
            suspect = (lease.number, data.draw(st.integers(lease.at, lease.parcel.stop - 1)))
        self.appetite.pop(reader, None)
        self.came_back_now = bool(held)
        for lease in held:
            self._lose(lease, suspect, condemned)
        assert held == self.book.died(reader, suspect, self.now, condemned=condemned)

    @rule(seconds=st.sampled_from([PATIENCE / 2, PATIENCE * 2, 1.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.book.move(self.now)
        self.take_in_decisions_and_check()
        if seconds > PATIENCE and self.maxsize is not None and self._parked():
            room = self.book.room
            assert room is not None
            assert room <= 0, "a parked offer is let in as soon as there is room"

    # What must be so at all times.

    @invariant()
    def take_in_decisions_and_check(self) -> None:
        if not hasattr(self, "book"):
            return
        for decision in self.book.decide():
            if isinstance(decision, Accepted):
                self.frames_of[decision.writer] -= 1
            elif isinstance(decision, HandOver):
                self._receive(decision.lease)
            else:
                assert isinstance(decision, Granted)
                assert decision.count > 0
        self.book.verify()
        self._check_sums()
        self._check_bound()
        self._check_that_nobody_waits_in_vain()

    def teardown(self) -> None:
        """Readers that go on wanting and finishing bring everything to its end."""
        if not hasattr(self, "book"):
            return
        for writer in WRITERS:
            self.lose_writer(writer)
            self.take_in_decisions_and_check()
        for _ in range(3 * len(self.offered) + 10):
            if self.book.settled:
                break
            self.wait(1.0)
            self.take_in_decisions_and_check()
            for reader in READERS:
                self.want(reader, 7)
                self.take_in_decisions_and_check()
            for lease in list(self.open.values()):
                self._end(lease, lease.parcel.stop, "done")
                self.book.acked(lease.number, lease.parcel.stop, self.now)
                self.take_in_decisions_and_check()
        assert self.book.settled
        assert self.book.account().settled
        assert sorted(self.offered) == sorted(self.ended)
        assert not self._parked()
        assert self.book.due is None

    # The model.

    def _some_lease(self, data: st.DataObject) -> Lease:
        return data.draw(st.sampled_from([self.open[number] for number in sorted(self.open)]))

    def _receive(self, lease: Lease) -> None:
        parcel = lease.parcel
        items = [(parcel.frame.payload, index) for index in range(parcel.start, parcel.stop)]
        assert items, "a lease is of something"
        assert len(items) <= 2 * self.appetite[lease.reader]
        assert not any(item in self.holder for item in items), "no item is in two hands"
        assert not any(item in self.ended for item in items), "what has ended is not handed out again"
        assert 1 + self.charges.get(items[0], 0) == parcel.attempt
        assert not any(item in self.charges for item in items[1:]), "a suspect is handed out alone"
        assert self.delayed.pop(items[0], 0.0) <= self.now
        self.first_handed += [item for item in items if item not in self.came_back]
        assert self.offered[: len(self.first_handed)] == self.first_handed, "first in, first out"
        self.holder.update(dict.fromkeys(items, lease.reader))
        self.open[lease.number] = lease

    def _end(self, lease: Lease, upto: int, how: str) -> None:
        for index in range(lease.at, upto):
            item = (lease.parcel.frame.payload, index)
            assert item not in self.ended, "an item ends once"
            self.ended[item] = how
        self._advance(lease, upto)

    def _advance(self, lease: Lease, at: int) -> None:
        for index in range(lease.at, at):
            del self.holder[(lease.parcel.frame.payload, index)]
        if at == lease.parcel.stop:
            del self.open[lease.number]
        else:
            self.open[lease.number] = Lease(lease.number, lease.reader, lease.parcel, at)

    def _lose(self, lease: Lease, suspect: tuple[int, int] | None, condemned: bool) -> None:
        for index in range(lease.at, lease.parcel.stop):
            item = (lease.parcel.frame.payload, index)
            if suspect != (lease.number, index):
                self._bring_back(item)
            elif condemned:
                self.ended[item] = "dead"
            else:
                self._charge(item)
        self._advance(lease, lease.parcel.stop)

    def _charge(self, item: Item) -> None:
        self.charges[item] = self.charges.get(item, 0) + 1
        self._bring_back(item)

    def _bring_back(self, item: Item) -> None:
        self.came_back.add(item)

    def _parked(self) -> bool:
        return any(self.frames_of.values())

    def _check_sums(self) -> None:
        account = self.book.account()
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
        account, room = self.book.account(), self.book.room
        if self.maxsize is not None:
            assert room is not None
            behind = account.leased - len(set(self.holder.values()))
            assert account.waiting + behind <= self.maxsize - room
            assert self.maxsize - room <= max(self.maxsize, self.taken_room + self.came_back_now)
            self.taken_room = self.maxsize - room
        self.came_back_now = 0

    def _check_that_nobody_waits_in_vain(self) -> None:
        ready = self.book.account().waiting - sum(due > self.now for due in self.delayed.values())
        hungry = [r for r, most in self.appetite.items() if list(self.holder.values()).count(r) < most]
        assert not (ready and hungry), f"{ready} items wait, and so do {hungry}"
        if any(due > self.now for due in self.delayed.values()) or (
            self._parked() and (self.book.room or 0) > 0
        ):
            assert self.book.due is not None, "somebody must look again"


TestLeasedBook = LeasedBookMachine.TestCase
TestLeasedBook.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
