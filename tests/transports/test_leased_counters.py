"""What a dead reader has done, by the ledger and not by its own counters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from runner.ipc.messages import DeliveryAttempt, ItemCleared
from runner.ipc.status_page import StatusPage, Word
from runner.ipc.stream import open_stream
from runner.ledger.leases import LeaseQueue
from runner.ledger.prefetch import Prefetch
from runner.ledger.ranges import Frame, ItemRange, Lease
from runner.spec.failures import OnError
from runner.spec.model import HandlerRef, Role
from runner.spec.plan import WorkerPlan
from runner.transports.leased.connection import (
    Output,
    Suspicion,
    WorkerConnection,
    in_hand,
    reconcile_counters,
    untold,
)

DEATH = DeliveryAttempt(1, "neo", 11, 0.0, "killed by SIGKILL", died=True)
FAILURE = DeliveryAttempt(2, "alex", 12, 0.0, "OSError")
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
def connection() -> Iterator[WorkerConnection]:
    """A worker of which the ledger knows that it did 42 items, that 3 failed, and that 2 are tried again."""
    ours, theirs = open_stream()
    theirs.close()
    page = StatusPage.private()
    yield WorkerConnection(
        PLAN, ours, None, None, Output(), Prefetch(), 11, page, done=42, failed=3, retried=2
    )
    page.close()
    ours.close()


@pytest.mark.parametrize(
    ("count", "condemned", "expected"),
    [
        (0, 0, (47, 42, 3, 2)),
        (1, 0, (48, 42, 3, 2)),
        (1, 1, (48, 42, 4, 2)),
        (5, 5, (52, 42, 8, 2)),
        (5, 2, (52, 42, 5, 2)),
    ],
)
def test_what_was_taken_is_what_was_done_what_failed_and_what_was_in_hand(
    connection: WorkerConnection, count: int, condemned: int, expected: tuple[int, int, int, int]
) -> None:
    page = StatusPage.private()
    page.words[Word.RECEIVED], page.words[Word.DONE], page.words[Word.FAILED] = 64, 40, 3

    reconcile_counters(page, connection, in_hand=count, condemned=condemned)

    counted = (Word.RECEIVED, Word.DONE, Word.FAILED, Word.RETRIED)
    assert expected == tuple(page.words[word] for word in counted)
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
    history: tuple[DeliveryAttempt, ...], upto: int, expected: ItemCleared | None
) -> None:
    item_range = ItemRange(Frame(b"", 8), 4, 5, attempt=len(history) + 1, history=history)

    assert expected == Suspicion().done(Lease(1, "alex", item_range, 4), upto)


def test_a_death_with_several_items_in_hand_is_unexplained_once_all_of_them_have_gone_through() -> None:
    death = replace(DEATH, company=3)
    suspicion = Suspicion()

    cleared = [
        suspicion.done(Lease(1, "alex", ItemRange(Frame(b"", 8), at, at + 1, history=(death,)), at), at + 1)
        for at in range(3)
    ]

    assert [None, None, ItemCleared("alex", (death,))] == cleared


LEASES = [
    Lease(7, "neo", ItemRange(Frame(b"", 8), 2, 8), 5),
    Lease(8, "neo", ItemRange(Frame(b"", 1), 0, 1), 0),
    Lease(9, "neo", ItemRange(Frame(b"", 4), 0, 4), 0),
]
"""Items 5 to 7 of the first are left, the only one of the second, and four of the third."""


@pytest.mark.parametrize(
    ("number", "index", "count", "expected"),
    [
        (7, 5, 1, {7: range(5, 6)}),
        (7, 7, 3, {7: range(5, 8)}),
        (7, 6, 9, {7: range(5, 7)}),
        (9, 1, 4, {7: range(7, 8), 8: range(1), 9: range(2)}),
        (8, 0, 1, {8: range(1)}),
        (7, 4, 3, {}),
        (6, 0, 3, {}),
        (9, 4, 1, {}),
    ],
    ids=[
        "one",
        "several",
        "no more than are left",
        "of three leases",
        "a neighbour",
        "done",
        "over",
        "nonsense",
    ],
)
def test_what_was_in_hand_together_lies_side_by_side_in_the_leases(
    number: int, index: int, count: int, expected: dict[int, range]
) -> None:
    assert expected == in_hand(LEASES, number, index, count)


@pytest.mark.parametrize(
    ("ended", "expected"),
    [(0, []), (2, []), (4, [(1, 4)]), (6, [(1, 5), (2, 1)]), (8, [(1, 5), (2, 3)]), (99, [(1, 5), (2, 3)])],
)
def test_what_a_consumer_has_done_and_not_said_is_told_by_its_page(
    connection: WorkerConnection, ended: int, expected: list[tuple[int, int]]
) -> None:
    queue = LeaseQueue("q", None)
    connection.inbox = queue
    queue.set_demand("neo", 8, now=0.0)
    for count in (5, 3):
        queue.offer("chef", Frame("buns", count), now=0.0)
    queue.acked(1, 2, now=0.0)

    assert expected == [(lease.number, upto) for lease, upto in untold(connection, ended)]

    connection.outboxes = (LeaseQueue("r", None),)
    assert [] == untold(connection, ended)
