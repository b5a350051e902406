"""Outputs leave in the order of their inputs, whoever finishes first, and none is lost or repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import MprunInternalError
from runner.ledger.ordering import Resequencer


def test_outputs_of_the_first_items_leave_at_once() -> None:
    assert ["a"] == Resequencer[str]().report(0, 3, "a")


def test_outputs_wait_for_items_before_theirs() -> None:
    line = Resequencer[str]()

    early, late = line.report(3, 5, "b"), line.report(0, 3, "a")

    assert ([], ["a", "b"], 5) == (early, late, line.expected)


def test_items_without_outputs_make_way_too() -> None:
    line = Resequencer[str]()
    line.report(1, 2, "b")

    assert ["b"] == line.report(0, 1, None)


def test_a_worker_may_report_its_items_bit_by_bit_while_it_waits() -> None:
    line = Resequencer[str]()

    held = line.report(2, 2, "c-begun") + line.report(2, 3, "c") + line.report(3, 4, "d")

    assert ([], ["a", "c-begun", "c", "d"]) == (held, line.report(0, 2, "a"))


def test_an_item_that_ends_twice_is_our_bug() -> None:
    line = Resequencer[str]()
    line.report(0, 2, None)

    with pytest.raises(MprunInternalError, match="item 1 came to an end twice"):
        line.report(1, 2, None)


@given(st.data())
def test_any_interleaving_of_workers_gives_the_order_of_the_items(data: st.DataObject) -> None:
    """
    Items are cut into leases, leases into reports, some of the beginning of an item alone; each worker reports its
    own in order, workers in any order.
    """
    leases: list[list[tuple[int, int]]] = []
    at = 0
    for _ in range(data.draw(st.integers(1, 6))):
        reports = []
        for size in [*data.draw(st.lists(st.integers(0, 3), max_size=3)), data.draw(st.integers(1, 3))]:
            reports.append((at, at + size))
            at += size
        leases.append(reports)
    line = Resequencer[tuple[int, int]]()
    left: list[tuple[int, int]] = []
    while pending := [lease for lease in leases if lease]:
        report = data.draw(st.sampled_from(pending)).pop(0)
        left += line.report(*report, report if report[1] > report[0] else None)

    assert (sorted(left), at) == (left, line.expected)
