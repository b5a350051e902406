"""What the ledger makes of a failure that a worker reports, and of an item in hand at a death."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from runner.ipc.frames import pack_safe, pack_series, unpack
from runner.ipc.messages import (
    FailedItem,
    ItemCondemned,
    ItemFailure,
    ItemJudged,
    ItemReturned,
    RetryAction,
)
from runner.ipc.stream import FailedMessage, LeaseMessage
from runner.ledger.leases import LeaseQueue
from runner.ledger.ranges import Frame, HandOver, Lease
from runner.spec.failures import OnError, RetryPolicy
from runner.spec.model import HandlerRef, Role
from runner.spec.plan import WorkerPlan
from runner.transports.leased.failures import failure_message, settle_failure, take_back

ITEMS = ["a", "b", "c"]
WORDS = {
    "kind": "item_failed",
    "item": "'b'",
    "error": "ValueError: b",
    "traceback": "",
    "action": "dead_letter",
}


def plan(on_error: OnError = OnError.DEAD_LETTER, **retry: Any) -> WorkerPlan:
    return WorkerPlan(
        name="neo",
        stage="eater",
        role=Role.CONSUMER,
        handler=HandlerRef("python", "m:f"),
        arguments={},
        receives="q",
        sends=None,
        daemon=False,
        on_error=on_error,
        start_method="fork",
        env={},
        cwd=None,
        nice=0,
        beside=".",
        retry=RetryPolicy(**retry),
    )


def leased(payload: bytes) -> tuple[LeaseQueue, Lease]:
    """A ledger whose three items are in neo's hands."""
    ledger = LeaseQueue("q", None)
    ledger.writer("chef", 0.0)
    ledger.set_demand("neo", 3, 0.0)
    ledger.offer("chef", Frame(payload, 3), 0.0)
    (lease,) = [decision.lease for decision in ledger.decide() if isinstance(decision, HandOver)]
    return ledger, lease


def reported(payload: bytes, index: int, item: object, **words: str) -> FailedMessage:
    handed = LeaseMessage(0, 3, 0, 1, 1, body=payload)
    return failure_message(handed, index, item, 1000, {**WORDS, **words})


def kept(failed_item: FailedItem | None) -> object:
    """The item that a letter would hold."""
    assert failed_item is not None
    assert failed_item.frame is not None
    return next(unpack(failed_item.frame, failed_item.index, failed_item.index + 1))


@pytest.mark.parametrize("payload", [pack_safe(ITEMS), pack_series([pickle.dumps(item) for item in ITEMS])])
def test_a_final_failure_leaves_one_dead_letter_and_finishes_those_before(payload: bytes) -> None:
    ledger, lease = leased(payload)

    fact = settle_failure(ledger, lease, plan(), 11, reported(payload, 1, "b"), now=1.0)

    account = ledger.account()
    assert (1, 1, 1, 0) == (account.done, account.dead_lettered, account.leased, account.waiting)
    assert ("b", None, "dead_letter") == (kept(fact.failed_item), fact.delay, fact.failure.action)
    assert [(1, "neo", 11, "ValueError: b", False)] == [
        (a.number, a.worker, a.pid, a.ended, a.died)
        for a in (fact.failed_item or FailedItem(None, 0, ())).attempts
    ]


def test_a_failure_with_attempts_left_waits_for_its_backoff() -> None:
    payload = pack_safe(ITEMS)
    ledger, lease = leased(payload)
    policy = plan(attempts=2, backoff=4.0)

    fact = settle_failure(
        ledger, lease, policy, 11, reported(payload, 0, "a", action=RetryAction.RETRY), now=1.0
    )

    assert (
        ItemJudged("neo", ItemFailure("neo", "'b'", "ValueError: b", action=RetryAction.RETRY), 1, delay=4.0)
        == fact
    )
    assert (1, 2, 5.0) == (ledger.account().waiting, ledger.account().leased, ledger.due)


@pytest.mark.parametrize("action", ["fail", "skip", "dead_letter"])
def test_the_stage_says_what_a_final_failure_means_not_the_worker(action: str) -> None:
    payload = pack_safe(ITEMS)
    ledger, lease = leased(payload)

    fact = settle_failure(
        ledger, lease, plan(OnError.SKIP), 11, reported(payload, 1, "b", action=action), now=1.0
    )

    assert ("skip", None) == (fact.failure.action, fact.failed_item)
    assert 1 == ledger.account().dropped


@pytest.mark.parametrize(
    "body", [b"", b"\xff" * 4, b"\x02\0\0\0[]", b"\x02\0\0\0{}", b"\x03\0\0\0\xff\xff\xff"]
)
def test_a_report_that_makes_no_sense_fails_the_item_all_the_same(body: bytes) -> None:
    ledger, lease = leased(pack_safe(ITEMS))
    message = FailedMessage(lease.number, 0, body=body)

    fact = settle_failure(ledger, lease, plan(), 11, message, now=1.0)

    assert "an error that can't be read" == fact.failure.error
    assert 1 == ledger.account().dead_lettered


def test_the_first_death_hands_the_item_out_again_alone() -> None:
    ledger, lease = leased(pack_safe(ITEMS))

    (fact,), _ = take_back(
        ledger, plan(), 11, {lease.number: range(1, 2)}, "'b'", "killed by SIGKILL", now=1.0
    )

    assert ItemReturned("neo", "'b'", attempt=2) == fact
    ledger.set_demand("alex", 1, 2.0)
    item_ranges = [
        decision.lease.item_range for decision in ledger.decide() if isinstance(decision, HandOver)
    ]
    assert [(0, 1, 1)] == [
        (item_range.start, item_range.stop, item_range.attempt) for item_range in item_ranges
    ]
    assert 3 == ledger.account().waiting + ledger.account().leased


def test_the_second_death_makes_a_dead_letter_with_both_in_it() -> None:
    ledger, lease = leased(pack_series([pickle.dumps(item) for item in ITEMS]))
    take_back(ledger, plan(), 11, {lease.number: range(1)}, "'a'", "killed by SIGKILL", now=1.0)
    ledger.set_demand("neo", 1, 2.0)
    (again,) = [decision.lease for decision in ledger.decide() if isinstance(decision, HandOver)]

    (fact,), _ = take_back(ledger, plan(), 12, {again.number: range(1)}, "'a'", "killed by SIGSEGV", now=3.0)

    assert isinstance(fact, ItemCondemned)
    assert "a" == kept(fact.failed_item)
    assert [(1, 11, "killed by SIGKILL", True), (2, 12, "killed by SIGSEGV", True)] == [
        (a.number, a.pid, a.ended, a.died) for a in fact.failed_item.attempts
    ]
    assert (1, 2, 0) == (ledger.account().dead_lettered, ledger.account().waiting, ledger.account().leased)


def test_a_worker_without_an_item_in_hand_blames_none() -> None:
    ledger, _lease = leased(pack_safe(ITEMS))

    facts, _ = take_back(ledger, plan(), 11, {}, "", "killed by SIGKILL", now=1.0)

    assert [] == facts
    assert 3 == ledger.account().waiting
