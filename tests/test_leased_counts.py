"""What a dead reader has done, by the ledger and not by its own counters."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runner.facts import Attempt, ItemCleared
from runner.pace import Pace
from runner.parcels import Frame, Lease, Parcel
from runner.plan import WorkerPlan
from runner.spec import HandlerRef, OnError, Role
from runner.status import StatusPage, Word
from runner.transports.leased_counts import cleared, settle
from runner.transports.leased_link import Link
from runner.wire import open_wire

DEATH = Attempt(1, "neo", 11, 0.0, "killed by SIGKILL", died=True)
FAILURE = Attempt(2, "alex", 12, 0.0, "OSError")
PLAN = WorkerPlan(
    name="neo",
    stage="eater",
    role=Role.CONSUMER,
    handler=HandlerRef("python", "m:f"),
    arguments={},
    receives="q",
    sends=None,
    daemon=False,
    on_error=OnError.FAIL,
    start_method="fork",
    env={},
    cwd=None,
    nice=0,
    beside=".",
)


@pytest.fixture
def link() -> Iterator[Link]:
    """A worker of which the ledger knows that it did 42 items, and that 3 failed."""
    ours, theirs = open_wire()
    theirs.close()
    yield Link(PLAN, ours, None, None, Pace(), 11, done=42, failed=3)
    ours.close()


@pytest.mark.parametrize(
    ("in_hand", "condemned", "expected"),
    [(False, False, (45, 42, 3)), (True, False, (46, 42, 3)), (True, True, (46, 42, 4))],
)
def test_what_was_taken_is_what_was_done_what_failed_and_what_was_in_hand(
    link: Link, in_hand: bool, condemned: bool, expected: tuple[int, int, int]
) -> None:
    page = StatusPage.private()
    page.words[Word.RECEIVED], page.words[Word.DONE], page.words[Word.FAILED] = 64, 40, 3

    settle(page, link, in_hand=in_hand, condemned=condemned)

    assert expected == tuple(page.words[word] for word in (Word.RECEIVED, Word.DONE, Word.FAILED))
    page.close()


@pytest.mark.parametrize(
    ("history", "upto", "expected"),
    [
        ((), 5, None),
        ((FAILURE,), 5, None),
        ((DEATH,), 4, None),
        ((DEATH, FAILURE), 5, ItemCleared("alex", (DEATH,))),
    ],
    ids=["first-time", "only-failed", "not-done-yet", "went-through"],
)
def test_an_item_is_cleared_of_the_deaths_at_which_it_was_in_hand_once_it_is_done(
    history: tuple[Attempt, ...], upto: int, expected: ItemCleared | None
) -> None:
    parcel = Parcel(Frame(b"", 8), 4, 5, attempt=len(history) + 1, history=history)

    assert expected == cleared(Lease(1, "alex", parcel, 4), upto)
