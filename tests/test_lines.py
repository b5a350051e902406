"""A line behind a gate: what it drops, what it holds up, what its items weigh. The gate's own machine does the rest."""

from __future__ import annotations

from runner.lines import Line, line_of
from runner.parcels import Frame, HandOver, Parcel


def line(*counts: int, weight: int = 0, waits_for_retries: bool = False) -> Line:
    """A line whose items were put in frames of so many, each frame of the same weight."""
    made, first = Line("steamer", 3, waits_for_retries=waits_for_retries), 0
    for count in counts:
        made.enter(Parcel(Frame(b"", count, weight, first), 0, count), 0.0)
        first += count
    return made


def positions(line: Line) -> list[int]:
    return [each.lease.parcel.position for each in line.decide() if isinstance(each, HandOver)]


def test_the_oldest_that_nobody_holds_are_dropped_and_weigh_nothing_more() -> None:
    buns = line(4, 2, weight=10)
    buns.want("eater", 1, 0.0)

    dropped = [buns.drop_oldest(2), buns.drop_oldest(9), buns.drop_oldest(9), buns.drop_oldest(9)]

    assert [(1, 2), (3, 1), (4, 2)] == [(each.position, len(each)) for each in dropped if each is not None]
    assert (None, 2, 0, 1) == (dropped[3], buns.weight, buns.waiting, buns.account().leased)
    buns.verify()


def test_an_item_keeps_its_weight_until_it_ends() -> None:
    buns = line(3, weight=10)
    weights = [buns.weight]

    buns.want("eater", 3, 0.0)
    (lease,) = [each.lease for each in buns.decide() if isinstance(each, HandOver)]
    buns.acked(lease.number, 1, 0.0)
    weights.append(buns.weight)
    buns.retry(lease.number, 0.0, due=9.0)
    weights.append(buns.weight)
    buns.died("eater", (lease.number, 2), 1.0, condemned=True)
    weights.append(buns.weight)

    assert [10, 7, 7, 3] == weights
    buns.verify()


def test_what_is_to_be_tried_again_holds_up_the_others_where_it_must() -> None:
    buns = line(1, 1, waits_for_retries=True)
    buns.want("eater", 1, 0.0)
    (lease,) = [each.lease for each in buns.decide() if isinstance(each, HandOver)]

    buns.retry(lease.number, 0.0, due=9.0)
    meanwhile = positions(buns)
    buns.move(9.0)

    assert ([], [0]) == (meanwhile, positions(buns))


def test_a_leases_number_tells_its_line() -> None:
    buns = line(1)
    buns.want("eater", 1, 0.0)

    assert [3] == [line_of(each.lease.number) for each in buns.decide() if isinstance(each, HandOver)]
