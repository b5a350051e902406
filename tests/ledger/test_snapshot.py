"""A ledger is begun anew with what another one was, and nothing is lost, nothing done twice, nothing out of order."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.ledger.credit import Granted
from runner.ledger.leases import LeaseQueue
from runner.ledger.ordering import BufferLimit, OrderedStage
from runner.ledger.partitioned import Offer, PartitionedQueue, QueueLedger, QueuePolicy, ShardFrame
from runner.ledger.ranges import Frame, HandOver, Lease
from runner.ledger.snapshot import QueueSnapshot

READERS = ("r1", "r2")
SHAPES: dict[str, Callable[[], QueueLedger]] = {
    "plain": lambda: LeaseQueue("q", 12, 2),
    "unbounded": lambda: LeaseQueue("q", None, 2),
    "of batches": lambda: LeaseQueue("q", 12, 2, fills=True),
    "by bytes": lambda: PartitionedQueue("q", QueuePolicy(12, max_bytes=60)),
    "sharded": lambda: PartitionedQueue("q", QueuePolicy(12, readers=READERS)),
    "one by one": lambda: PartitionedQueue("q", QueuePolicy(12, readers=READERS, one_by_one=True)),
    "in order": lambda: PartitionedQueue("q", QueuePolicy(12, in_order=True)),
}


@dataclass
class Runner:
    """A queue with a producer and two readers, who all die with it. The payload of a frame is a tuple of numbers."""

    make: Callable[[], QueueLedger]
    dice: random.Random
    total: int
    ledger: QueueLedger = field(init=False)
    offered: int = 0
    done: list[int] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)
    retried: set[int] = field(default_factory=set)
    held: list[Lease] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.ledger = self.make()
        self.begin()

    def begin(self) -> None:
        self.ledger.writer("w", self.now)
        for reader in READERS:
            self.ledger.set_demand(reader, 3, self.now)
        self.obey()

    def obey(self) -> None:
        for decision in self.ledger.decide():
            if isinstance(decision, HandOver):
                self.held.append(decision.lease)
            assert not isinstance(decision, Granted) or decision.writer == "w"

    def step(self) -> None:
        self.now += 0.01
        self.ledger.advance(self.now)
        move = self.dice.random()
        if move < 0.3 and self.offered < self.total:
            self.offer(min(self.dice.randrange(1, 6), self.total - self.offered))
        elif self.held:
            self.handle(self.dice.choice(self.held))
        self.obey()

    def offer(self, count: int) -> None:
        items = tuple(range(self.offered, self.offered + count))
        self.offered += count
        if isinstance(self.ledger, LeaseQueue):
            self.ledger.offer("w", Frame(items, count), self.now)
            return
        sharded = [[item for item in items if item % 2 == shard] for shard in (0, 1)]
        parts = sharded if len(self.ledger.snapshot(self.now).partitions) > 1 else [list(items)]
        frames = [ShardFrame(i, Frame(tuple(p), len(p), 5 * len(p))) for i, p in enumerate(parts) if p]
        self.ledger.offer(Offer("w", frames, self.now), self.now)

    def handle(self, held: Lease) -> None:
        lease = self.ledger.lease_of(held.reader, held.number)
        if lease is None:
            self.held.remove(held)
            return
        item = lease.item_range.frame.payload[lease.at]
        fate = self.dice.random()
        if fate < 0.1:
            self.ledger.dead_letter(lease.number, self.now)
            self.dead.append(item)
        elif fate < 0.25 and item not in self.retried:
            self.retried.add(item)
            self.ledger.retry(lease.number, self.now, self.now + self.dice.random() * 0.1, "past")
        else:
            self.ledger.acked(lease.number, lease.at + 1, self.now)
            self.done.append(item)

    def cut(self) -> tuple[QueueSnapshot, int, list[int], list[int]]:
        return self.ledger.snapshot(self.now), self.offered, list(self.done), list(self.dead)

    def die(self, cut: tuple[QueueSnapshot, int, list[int], list[int]]) -> None:
        """All die, and another runner begins with a cut; what came after it never was."""
        snapshot, self.offered = cut[0], cut[1]
        self.done, self.dead, self.held = list(cut[2]), list(cut[3]), []
        self.now += 100.0
        self.ledger = self.make()
        self.ledger.restore(snapshot, self.now)
        self.begin()


@pytest.mark.parametrize("shape", SHAPES)
@given(seed=st.integers(0, 1 << 32), total=st.integers(1, 60))
def test_over_any_number_of_deaths_every_item_comes_to_one_end(shape: str, seed: int, total: int) -> None:
    dice = random.Random(seed)
    runner = Runner(SHAPES[shape], dice, total)
    cut, deaths = runner.cut(), 0
    for _ in range(20_000):
        if len(runner.done) + len(runner.dead) == total:
            break
        chance = dice.random()
        if chance < 0.05 and deaths < 12:
            deaths += 1
            runner.die(cut)
        elif chance < 0.2:
            cut = runner.cut()
        else:
            runner.step()
    assert sorted(runner.done + runner.dead) == list(range(total))
    account = runner.ledger.account()
    assert (account.put, account.done, account.dead_lettered) == (total, len(runner.done), len(runner.dead))
    assert account.settled
    assert not runner.ledger.snapshot(runner.now).unfinished
    runner.ledger.verify()


def test_what_is_in_a_hand_waits_in_front_with_what_is_known_of_it() -> None:
    ledger = LeaseQueue("q", 10)
    ledger.set_demand("r1", 2, 0.0)
    ledger.writer("w", 0.0)
    ledger.offer("w", Frame("abcd", 4), 0.0)
    (lease,) = (d.lease for d in ledger.decide() if isinstance(d, HandOver))
    ledger.acked(lease.number, 1, 0.0, partial=7)
    snapshot = ledger.snapshot(0.0)
    waiting = snapshot.partitions[0].waiting
    assert next((each.start, each.stop, each.partial) for each in waiting) == (1, lease.item_range.stop, 7)
    assert (snapshot.in_hand, snapshot.unfinished, snapshot.offered) == (lease.item_range.stop - 1, 3, 4)


def test_what_several_readers_hold_comes_in_the_order_in_which_it_was_put_and_positions_go_on() -> None:
    ledger = LeaseQueue("q", 10, 2)
    ledger.writer("w", 0.0)
    for reader, text in (("r1", "a"), ("r2", "b"), ("r3", "c")):
        ledger.set_demand(reader, 1, 0.0)
        ledger.offer("w", Frame(text, 1), 0.0)
    ledger.offer("w", Frame("d", 1), 0.0)
    assert ledger.snapshot(0.0).in_hand == 3
    other = LeaseQueue("q", 10, 2)
    other.restore(ledger.snapshot(0.0), 1.0)
    other.writer("w", 1.0)
    other.offer("w", Frame("e", 1), 1.0)
    waiting = other.snapshot(1.0).partitions[0].waiting
    assert [(each.frame.payload, each.position) for each in waiting] == [*zip("abcde", range(5), strict=True)]


def test_an_item_that_is_to_be_tried_again_waits_as_long_as_it_had_to() -> None:
    ledger = LeaseQueue("q", 10)
    ledger.set_demand("r1", 1, 0.0)
    ledger.writer("w", 0.0)
    ledger.offer("w", Frame("a", 1), 0.0)
    (lease,) = (d.lease for d in ledger.decide() if isinstance(d, HandOver))
    ledger.retry(lease.number, 5.0, 16.0, "why")
    other = LeaseQueue("q", 10)
    other.restore(ledger.snapshot(6.0), 1000.0)
    other.set_demand("r1", 1, 1009.9)
    assert not other.decide()
    other.advance(1010.1)
    (again,) = (d.lease for d in other.decide() if isinstance(d, HandOver))
    assert (again.item_range.attempt, again.item_range.history) == (2, ("why",))


def test_what_found_no_room_finds_it_in_order_and_nobody_is_told() -> None:
    ledger = PartitionedQueue("q", QueuePolicy(1))
    for text in "abc":
        ledger.offer(Offer("w", [ShardFrame(0, Frame(text, 1))], 0.0), 0.0)
    other = PartitionedQueue("q", QueuePolicy(1))
    other.restore(ledger.snapshot(0.0), 5.0)
    seen = []
    for now in range(6, 9):
        other.set_demand("r1", 1, now)
        for decision in other.decide():
            assert isinstance(decision, HandOver) or decision.writer == ""
            if isinstance(decision, HandOver):
                seen.append(decision.lease.item_range.frame.payload)
                other.acked(decision.lease.number, 1, now)
    seen += [d.lease.item_range.frame.payload for d in other.decide() if isinstance(d, HandOver)]
    assert seen == ["a", "b", "c"]


@given(seed=st.integers(0, 1 << 32))
def test_outputs_go_on_in_the_order_of_their_items_over_deaths(seed: int) -> None:
    """Of an ordered stage: what is held of later items is in the cut, so that nothing of it is made again."""
    dice = random.Random(seed)
    total = dice.randrange(1, 40)

    def fresh() -> tuple[PartitionedQueue, PartitionedQueue, OrderedStage]:
        inbox = PartitionedQueue("in", QueuePolicy(None, in_order=True))
        outbox = PartitionedQueue("out", QueuePolicy(None))
        return inbox, outbox, OrderedStage(inbox, outbox, READERS, BufferLimit(), at_once=1)

    inbox, outbox, stage = fresh()
    for item in range(total):
        inbox.offer(Offer("w", [ShardFrame(0, Frame((item,), 1))], 0.0), 0.0)
    cut = stage.with_held(inbox.snapshot(0.0)), outbox.snapshot(0.0)
    made: set[int] = set()
    for _ in range(5000):
        now = float(_)
        if inbox.settled:
            break
        chance = dice.random()
        if chance < 0.04:
            inbox, outbox, stage = fresh()
            inbox.restore(cut[0], now)
            outbox.restore(cut[1], now)
            stage.restore(cut[0], now)
            continue
        if chance < 0.2:
            cut = stage.with_held(inbox.snapshot(now)), outbox.snapshot(now)
            made = {each.item_range.frame.payload[0] for held in cut[0].held for each in held.outputs}
            continue
        for reader in READERS:
            inbox.set_demand(reader, 2, now)
        stage.take_answers(now)
        leases = [lease for reader in READERS for lease in inbox.leases_of(reader)]
        if not leases:
            continue
        lease = dice.choice(leases)
        item = lease.item_range.frame.payload[lease.at]
        assert item not in made, "made again, though the cut had what was made of it"
        inbox.acked(lease.number, lease.at + 1, now)
        offer = Offer(lease.reader, [ShardFrame(0, Frame((item,), 1))], now, owed=True)
        stage.put(lease, lease.at + 1, offer, now)
    assert inbox.settled
    stage.release_all(1e9)
    waiting = [each for part in outbox.snapshot(1e9).partitions for each in part.waiting]
    assert [each.frame.payload[0] for each in waiting] == list(range(total))
