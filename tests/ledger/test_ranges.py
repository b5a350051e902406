"""Ranges of frames: what stays with the first item and what does not."""

from __future__ import annotations

from runner.ledger.ranges import Frame, ItemRange, Lease

FRAME = Frame(b"payload", 8)
TRIED = ItemRange(FRAME, 2, 6, attempt=3, partial=4, history=("a", "b"))


def test_what_is_known_of_the_first_item_stays_with_it_alone() -> None:
    assert ItemRange(FRAME, 2, 4, 3, 4, ("a", "b")) == TRIED.upto(4)
    assert TRIED == TRIED.after(2)
    assert ItemRange(FRAME, 3, 6) == TRIED.after(3)


def test_again_is_the_first_item_alone_with_one_more_attempt() -> None:
    assert ItemRange(FRAME, 2, 3, attempt=4, partial=4, history=("a", "b", "c")) == TRIED.again("c")


def test_an_item_of_a_lease_has_what_is_known_of_it() -> None:
    """Outputs that are in belong to the item in hand, attempts to the first of the range."""
    lease = Lease(1, "neo", TRIED, at=3, partial=5)

    assert ItemRange(FRAME, 3, 4, attempt=1, partial=5) == lease.item(3)
    assert ItemRange(FRAME, 5, 6) == lease.item(5)
    assert 3 == lease.left
