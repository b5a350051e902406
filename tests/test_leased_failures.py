"""What the ledger makes of a failure that a worker reports, and of an item in hand at a death."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from runner.facts import RETRY, Exited, ItemCondemned, ItemFailed, ItemJudged, ItemRedelivered, Remains
from runner.frames import pack_safe, pack_series, unpack
from runner.leases import LeasedBook
from runner.parcels import Frame, HandOver, Lease
from runner.plan import WorkerPlan
from runner.spec import HandlerRef, OnError, RetryPolicy, Role
from runner.transports.leased_failures import bury, ending, judge, report
from runner.wire import Kind, Message

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


def leased(payload: bytes) -> tuple[LeasedBook, Lease]:
    """A book whose three items are in neo's hands."""
    book = LeasedBook("q", None)
    book.writer("chef", 0.0)
    book.want("neo", 3, 0.0)
    book.offer("chef", Frame(payload, 3), 0.0)
    (lease,) = [decision.lease for decision in book.decide() if isinstance(decision, HandOver)]
    return book, lease


def reported(payload: bytes, index: int, item: object, **words: str) -> Message:
    handed = Message(Kind.LEASE, count=0, upto=3, lease=1, nanos=1, body=payload)
    return report(handed, index, item, 1000, {**WORDS, **words})


def kept(remains: Remains | None) -> object:
    """The item that a letter would hold."""
    assert remains is not None
    assert remains.frame is not None
    return next(unpack(remains.frame, remains.index, remains.index + 1))


@pytest.mark.parametrize("payload", [pack_safe(ITEMS), pack_series([pickle.dumps(item) for item in ITEMS])])
def test_a_final_failure_leaves_one_dead_letter_and_finishes_those_before(payload: bytes) -> None:
    book, lease = leased(payload)

    fact = judge(book, lease, plan(), 11, reported(payload, 1, "b"), now=1.0)

    account = book.account()
    assert (1, 1, 1, 0) == (account.done, account.dead_lettered, account.leased, account.waiting)
    assert ("b", None, "dead_letter") == (kept(fact.remains), fact.delay, fact.failure.action)
    assert [(1, "neo", 11, "ValueError: b", False)] == [
        (a.number, a.worker, a.pid, a.ended, a.died) for a in (fact.remains or Remains(None, 0, ())).attempts
    ]


def test_a_failure_with_attempts_left_waits_for_its_backoff() -> None:
    payload = pack_safe(ITEMS)
    book, lease = leased(payload)
    policy = plan(attempts=2, backoff=4.0)

    fact = judge(book, lease, policy, 11, reported(payload, 0, "a", action=RETRY), now=1.0)

    assert ItemJudged("neo", ItemFailed("neo", "'b'", "ValueError: b", action=RETRY), 1, delay=4.0) == fact
    assert (1, 2, 5.0) == (book.account().waiting, book.account().leased, book.due)


@pytest.mark.parametrize("action", ["fail", "skip", "dead_letter"])
def test_the_stage_says_what_a_final_failure_means_not_the_worker(action: str) -> None:
    payload = pack_safe(ITEMS)
    book, lease = leased(payload)

    fact = judge(book, lease, plan(OnError.SKIP), 11, reported(payload, 1, "b", action=action), now=1.0)

    assert ("skip", None) == (fact.failure.action, fact.remains)
    assert 1 == book.account().dropped


@pytest.mark.parametrize(
    "body", [b"", b"\xff" * 4, b"\x02\0\0\0[]", b"\x02\0\0\0{}", b"\x03\0\0\0\xff\xff\xff"]
)
def test_a_report_that_makes_no_sense_fails_the_item_all_the_same(body: bytes) -> None:
    book, lease = leased(pack_safe(ITEMS))
    message = Message(Kind.FAILED, upto=0, lease=lease.number, body=body)

    fact = judge(book, lease, plan(), 11, message, now=1.0)

    assert "an error that can't be read" == fact.failure.error
    assert 1 == book.account().dead_lettered


def test_the_first_death_hands_the_item_out_again_alone() -> None:
    book, lease = leased(pack_safe(ITEMS))

    fact = bury(book, plan(), 11, (lease.number, 1), "'b'", "killed by SIGKILL", now=1.0)

    assert ItemRedelivered("neo", "'b'", attempt=2) == fact
    book.want("alex", 1, 2.0)
    parcels = [decision.lease.parcel for decision in book.decide() if isinstance(decision, HandOver)]
    assert [(0, 1, 1)] == [(parcel.start, parcel.stop, parcel.attempt) for parcel in parcels]
    assert 3 == book.account().waiting + book.account().leased


def test_the_second_death_makes_a_dead_letter_with_both_in_it() -> None:
    book, lease = leased(pack_series([pickle.dumps(item) for item in ITEMS]))
    bury(book, plan(), 11, (lease.number, 0), "'a'", "killed by SIGKILL", now=1.0)
    book.want("neo", 1, 2.0)
    (again,) = [decision.lease for decision in book.decide() if isinstance(decision, HandOver)]

    fact = bury(book, plan(), 12, (again.number, 0), "'a'", "killed by SIGSEGV", now=3.0)

    assert isinstance(fact, ItemCondemned)
    assert "a" == kept(fact.remains)
    assert [(1, 11, "killed by SIGKILL", True), (2, 12, "killed by SIGSEGV", True)] == [
        (a.number, a.pid, a.ended, a.died) for a in fact.remains.attempts
    ]
    assert (1, 2, 0) == (book.account().dead_lettered, book.account().waiting, book.account().leased)


def test_a_worker_without_an_item_in_hand_blames_none() -> None:
    book, _lease = leased(pack_safe(ITEMS))

    fact = bury(book, plan(), 11, None, "", "killed by SIGKILL", now=1.0)

    assert fact is None
    assert 3 == book.account().waiting


@pytest.mark.parametrize(("code", "expected"), [(-9, "killed by SIGKILL"), (3, "exited with code 3")])
def test_a_death_of_which_nothing_else_is_known_is_called_by_its_signal_or_code(
    code: int, expected: str
) -> None:
    assert expected == ending(Exited("neo", 11, code))
