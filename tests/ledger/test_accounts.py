"""The account of a queue that hands out its own items: sums of what its workers say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import MprunInternalError
from runner.ledger.accounts import Account, CountedLedger, Tally

MAXSIZE = 10


def book_of(*tallies: Tally, maxsize: int | None = MAXSIZE) -> CountedLedger:
    ledger = CountedLedger("steamer", maxsize)
    ledger.update([(f"worker-{number}", tally) for number, tally in enumerate(tallies)], now=0.0)
    return ledger


def test_letters_that_nobody_could_write_have_come_to_an_end_too() -> None:
    account = Account("steamer", MAXSIZE, put=5, done=3, dead_lettered=2)

    assert (True, 0, 2) == ((lost := account.with_lost(2)).settled, lost.dead_lettered, lost.lost)
    assert lost.balanced


def test_the_tallies_of_all_workers_make_one_account() -> None:
    ledger = book_of(Tally(put=5), Tally(put=4), Tally(taken=5, done=3, dropped=1))

    expected = Account("steamer", MAXSIZE, put=9, waiting=4, leased=1, done=3, dropped=1, peak=4)
    assert expected == ledger.account()


def test_a_worker_told_of_twice_counts_once() -> None:
    ledger = CountedLedger("steamer", MAXSIZE)

    ledger.update([("neo", Tally(put=2))], now=0.0)
    ledger.update([("neo", Tally(put=3)), ("eater-1", Tally(taken=3, done=3))], now=1.0)

    assert Account("steamer", MAXSIZE, put=3, done=3, peak=2) == ledger.account()


def test_an_item_seen_taken_before_it_is_seen_put_was_put() -> None:
    ledger = book_of(Tally(put=1), Tally(taken=2, done=1))

    assert Account("steamer", MAXSIZE, put=2, leased=1, done=1) == ledger.account()


def test_an_item_seen_done_before_it_is_seen_taken_was_taken() -> None:
    ledger = book_of(Tally(put=3), Tally(taken=0, done=2))

    assert Account("steamer", MAXSIZE, put=3, waiting=1, done=2, peak=1) == ledger.account()


def test_what_is_over_the_bound_has_left_the_queue() -> None:
    ledger = book_of(Tally(put=MAXSIZE + 2), Tally(taken=1))

    assert (MAXSIZE, 2) == (ledger.account().waiting, ledger.account().leased)


def test_the_time_between_two_looks_at_a_full_queue_counts_as_full() -> None:
    ledger = CountedLedger("steamer", MAXSIZE)

    for now, put in [(0.0, 4), (1.0, 10), (2.5, 10), (3.0, 10)]:
        ledger.update([("neo", Tally(put=put))], now)
    ledger.update([("eater-1", Tally(taken=10, done=10))], now=4.0)
    ledger.update([], now=9.0)

    assert 3.0 == ledger.account().full_seconds


def test_an_unbounded_queue_is_never_full() -> None:
    ledger = book_of(Tally(put=1000), maxsize=None)
    ledger.update([], now=5.0)

    assert 0.0 == ledger.account().full_seconds


@pytest.mark.parametrize(
    ("account", "settled", "balanced"),
    [
        (Account("q", None), True, True),
        (Account("q", None, put=3, done=1, dropped=1, dead_lettered=1), True, True),
        (Account("q", None, put=3, waiting=1, leased=1, done=1), False, True),
        (Account("q", None, put=3, done=2), False, False),
        (Account("q", None, put=2, waiting=1, done=2), True, False),
    ],
)
def test_settled_and_balanced_are_told_apart(account: Account, settled: bool, balanced: bool) -> None:
    assert (settled, balanced) == (account.settled, account.balanced)


def test_events_call_the_queue_by_its_name() -> None:
    fields = Account("steamer", 10, put=2).as_fields()

    assert ("steamer", 10, 2) == (fields["name"], fields["maxsize"], fields["put"])
    assert "queue" not in fields


def test_sums_that_add_up_pass_the_check() -> None:
    book_of(Tally(put=3), Tally(taken=2, done=1, dropped=1)).verify()


@pytest.mark.parametrize(
    "tallies",
    [
        (Tally(put=1), Tally(taken=2)),
        (Tally(put=5), Tally(taken=2, done=3)),
        (Tally(put=5), Tally(taken=2, done=1, dropped=2)),
    ],
)
def test_more_taken_than_put_or_more_done_than_taken_is_our_bug(tallies: tuple[Tally, ...]) -> None:
    ledger = book_of(*tallies)

    with pytest.raises(MprunInternalError, match="queue 'steamer' does not add up"):
        ledger.verify()


counts = st.integers(min_value=0, max_value=30)


@settings(deadline=None)
@given(
    tellings=st.lists(st.lists(st.builds(Tally, counts, counts, counts, counts), max_size=4)),
    maxsize=st.none() | st.integers(1, 20),
)
def test_every_account_balances_and_keeps_its_bound(tellings: list[list[Tally]], maxsize: int | None) -> None:
    """
    Counters are read while workers go on, so that a telling may contradict itself; the account never does.
    """
    ledger = CountedLedger("steamer", maxsize)
    for now, tallies in enumerate(tellings):
        ledger.update([(f"worker-{number}", tally) for number, tally in enumerate(tallies)], float(now))
        account = ledger.account()

        assert account.balanced
        assert min(account.waiting, account.leased) >= 0
        assert account.waiting <= account.peak
        assert maxsize is None or account.waiting <= maxsize
