"""A partition: what it drops, what it holds up, the size of its items. The machine of the whole queue does the rest."""

from __future__ import annotations

from runner.ledger.partitioned import Partition, partition_of
from runner.ledger.ranges import Frame, HandOver, ItemRange


def partition(*counts: int, size: int = 0, waits_for_retries: bool = False) -> Partition:
    """A partition whose items were put in frames of so many, each frame of the same bytes."""
    made, first = Partition("steamer", 3, in_order=False, waits_for_retries=waits_for_retries), 0
    for count in counts:
        made.enter(ItemRange(Frame(b"", count, size, first), 0, count), 0.0)
        first += count
    return made


def positions(partition: Partition) -> list[int]:
    return [each.lease.item_range.position for each in partition.queue.decide() if isinstance(each, HandOver)]


def test_the_oldest_that_nobody_holds_are_dropped_and_count_no_more() -> None:
    buns = partition(4, 2, size=10)
    buns.queue.set_demand("eater", 1, 0.0)

    dropped = [
        buns.queue.drop_oldest(2),
        buns.queue.drop_oldest(9),
        buns.queue.drop_oldest(9),
        buns.queue.drop_oldest(9),
    ]

    assert [(1, 2), (3, 1), (4, 2)] == [(each.position, len(each)) for each in dropped if each is not None]
    assert (None, 2, 0, 1) == (dropped[3], buns.size, buns.queue.waiting, buns.queue.account().leased)
    buns.verify()


def test_an_item_counts_in_the_size_until_it_ends() -> None:
    buns = partition(3, size=10)
    sizes = [buns.size]

    buns.queue.set_demand("eater", 3, 0.0)
    (lease,) = [each.lease for each in buns.queue.decide() if isinstance(each, HandOver)]
    buns.queue.acked(lease.number, 1, 0.0)
    sizes.append(buns.size)
    buns.queue.retry(lease.number, 0.0, due=9.0)
    sizes.append(buns.size)
    buns.queue.died("eater", {lease.number: range(2, 3)}, 1.0, condemned={lease.number})
    sizes.append(buns.size)

    assert [10, 7, 7, 3] == sizes
    buns.verify()


def test_what_is_to_be_tried_again_holds_up_the_others_where_it_must() -> None:
    buns = partition(1, 1, waits_for_retries=True)
    buns.queue.set_demand("eater", 1, 0.0)
    (lease,) = [each.lease for each in buns.queue.decide() if isinstance(each, HandOver)]

    buns.queue.retry(lease.number, 0.0, due=9.0)
    meanwhile = positions(buns)
    buns.queue.advance(9.0)

    assert ([], [0]) == (meanwhile, positions(buns))


def test_a_leases_number_tells_its_partition() -> None:
    buns = partition(1)
    buns.queue.set_demand("eater", 1, 0.0)

    assert [3] == [
        partition_of(each.lease.number) for each in buns.queue.decide() if isinstance(each, HandOver)
    ]
