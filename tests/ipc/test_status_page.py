"""Status pages: words that survive their writer, in this process, a forked one and a spawned one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spawn_targets import overrun, work_afar

from runner.events.item_times import ItemTimes, bucket_of
from runner.ipc.status_page import STACKS_SIGNAL, Counters, StatusPage, Wait, Word, read_stacks


@pytest.fixture(params=["shared", "private"])
def page(request: pytest.FixtureRequest) -> Iterator[StatusPage]:
    made: StatusPage = getattr(StatusPage, request.param)()
    yield made
    made.close()


@pytest.fixture
def shared() -> Iterator[StatusPage]:
    made = StatusPage.shared()
    yield made
    made.close()


def test_a_fresh_page_says_nothing(page: StatusPage) -> None:
    assert (Counters(), "") == (page.counters(), page.item)


def test_each_word_is_read_as_its_own_counter_and_times_in_seconds(page: StatusPage) -> None:
    for word in range(Word.TO_READ + 1):
        page.words[word] = 10**9 * word
    page.words[Word.ITEM] = page.words[Word.WAITING] = 0

    counters = page.counters()

    seconds = (float(Word.BUSY), float(Word.STARVED), float(Word.BLOCKED))
    counts = tuple(10**9 * word for word in (Word.RECEIVED, Word.SENT, Word.DONE, Word.FAILED))
    assert Counters(*counts, 10**9 * Word.RETRIED, *seconds) == counters


def test_work_that_goes_on_counts_up_to_now_whoever_looks(shared: StatusPage) -> None:
    shared.words[Word.BUSY] = 10**9
    other = StatusPage(os.dup(shared.fileno()))

    shared.begin_work()
    seen = [other.counters().busy, shared.counters().busy]
    nanos = shared.end_work()
    ended = [other.counters().busy, shared.counters().busy]
    other.close()

    assert [1.0, *sorted([*seen, *ended])] == [1.0, *seen, *ended]
    assert 1 + nanos / 1e9 == pytest.approx(ended[0]) == ended[1]


@pytest.mark.parametrize("wait", [Wait.ITEM, Wait.ROOM, Wait.JOIN, Wait.LOCK])
def test_a_wait_that_goes_on_counts_up_to_now_and_up_to_the_death_of_whoever_waits(
    shared: StatusPage, wait: Wait
) -> None:
    def waited() -> float:
        counters = shared.counters()
        return counters.starved if wait is Wait.ITEM else counters.blocked

    began = shared.show_wait(wait)
    first = waited()
    second = waited()
    shared.stop_clock()
    until = time.perf_counter_ns()
    last = waited()

    assert 0 < first < second < last == waited() <= (until - began) / 1e9
    assert 0.0 == shared.counters().busy


@pytest.mark.parametrize("wait", [Wait.ITEM, Wait.ROOM, Wait.JOIN, Wait.LOCK])
def test_nobody_is_busy_while_it_waits(wait: Wait, page: StatusPage) -> None:
    page.begin_work()
    page.show_wait(wait)
    waiting = [page.counters().busy, page.counters().busy]
    page.show_wait(Wait.NOTHING)
    working = [page.counters().busy, page.counters().busy]
    nanos = page.end_work()

    assert waiting[0] == waiting[1]
    assert waiting[1] < working[0] < working[1] <= nanos / 1e9


def test_a_wait_outside_of_work_makes_nobody_busy(page: StatusPage) -> None:
    page.show_wait(Wait.ITEM)
    page.show_wait(Wait.NOTHING)
    with page.at_rest():
        pass

    assert 0 == page.counters().busy == page.end_work()


def test_the_clock_of_a_worker_that_died_at_work_stands(page: StatusPage) -> None:
    page.begin_work()

    page.stop_clock()

    assert 0 < page.counters().busy == page.counters().busy


def test_words_are_added_to(page: StatusPage) -> None:
    page.add(Word.DONE)
    page.add(Word.DONE, 4)

    assert 5 == page.counters().done


@pytest.mark.parametrize("text", ["bun 1", "neo的包子0", "🥟", ""])
def test_the_item_in_hand_can_be_read(text: str, page: StatusPage) -> None:
    page.set_item("something longer that was there before")

    page.set_item(text)

    assert text == page.item


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=[])))
def test_a_long_item_is_cut_between_two_characters(text: str) -> None:
    page = StatusPage.private()

    page.set_item("🥟" + text * 40)
    item = page.item
    page.close()

    # A half character is no UTF-8; it shows as a question mark.
    whole = "🥟" + (text * 40).encode("utf-8", "replace").decode()
    assert item == whole or (whole.startswith(item) and 509 <= len(item.encode()) <= 512)


def test_the_counters_of_several_workers_add_up() -> None:
    several = [Counters(received=2, done=1, busy=0.5), Counters(received=3, failed=1, busy=0.25)]

    assert Counters(received=5, done=1, failed=1, busy=0.75) == Counters.total(several)
    assert Counters() == Counters.total([])


def test_counters_have_the_names_that_events_use() -> None:
    expected = {
        "received": 1,
        "sent": 2,
        "done": 3,
        "failed": 4,
        "retried": 5,
        "busy": 0.5,
        "starved": 0.25,
        "blocked": 0.125,
    }

    assert expected == Counters(1, 2, 3, 4, 5, 0.5, 0.25, 0.125).as_fields()


def test_items_are_counted_by_how_long_they_took_and_the_slowest_alone_is_named(page: StatusPage) -> None:
    for text, count, nanos in (("a", 1, 20_000_000), ("b", 1, 50_000_000), ("", 3, 30), ("c", 1, 40_000_000)):
        page.set_item(text)
        page.count_items(count, nanos)

    counts = {bucket_of(ms * 10**6): 1 for ms in (20, 40, 50)}
    assert ItemTimes({0: 3, **counts}, 0.05, "b") == page.counters().times


def test_of_a_stretch_of_items_a_slow_one_at_its_end_is_counted_by_itself(page: StatusPage) -> None:
    page.set_item("slow")
    page.count_stretch(50, 1_500_000, 30_000)
    page.count_stretch(21, 7_200_000, 7_000_000)
    page.count_stretch(1, 9_000_000, 9_000_000)

    counts = {bucket_of(30_000): 50, bucket_of(10_000): 20, bucket_of(7_000_000): 1, bucket_of(9_000_000): 1}
    assert counts == page.counters().times.counts


def test_items_alone_can_be_counted_too(page: StatusPage) -> None:
    page.words[Word.RECEIVED], page.words[Word.SENT], page.words[Word.DONE], page.words[Word.FAILED] = (
        4,
        3,
        2,
        1,
    )

    assert (4, 3, 2, 1) == page.counts()


def test_quick_items_are_counted_together_and_slow_ones_each(page: StatusPage) -> None:
    for nanos in (*[10_000] * 50, 7_000_000, *[10_000] * 50):
        page.count_item(nanos)
    page.count_item(10_000)
    page.count_quick()

    assert {bucket_of(10_000): 101, bucket_of(7_000_000): 1} == page.counters().times.counts


def test_counters_of_several_workers_add_up() -> None:
    one, other = (Counters(done=2, busy=0.5, times=ItemTimes({3: 2}, s, "x")) for s in (0.1, 0.2))

    assert Counters(done=4, busy=1.0, times=ItemTimes({3: 4}, 0.2, "x")) == Counters.total((one, other))
    assert Counters() == Counters.total(())


def test_the_page_of_a_killed_worker_still_tells(shared: StatusPage) -> None:
    process = multiprocessing.get_context("fork").Process(target=_work_and_be_killed, args=(shared,))

    process.start()
    process.join()

    assert -signal.SIGKILL == process.exitcode
    assert (7, 7, "包子 7") == (shared.counters().done, shared.counters().times.items, shared.item)
    process.close()


def _work_and_be_killed(page: StatusPage) -> None:
    page.add(Word.DONE, 7)
    page.count_items(7, 7000)
    page.set_item("包子 7")
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_spawned_worker_writes_to_the_same_page(shared: StatusPage) -> None:
    process = multiprocessing.get_context("spawn").Process(target=work_afar, args=(shared,))
    shared.words[Word.STOP] = 1

    process.start()
    process.join()

    assert (0, 1, "afar") == (process.exitcode, shared.counters().done, shared.item)
    process.close()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_thatoverruns_leaves_its_stacks(method: str, shared: StatusPage) -> None:
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=overrun, args=(shared, theirs.send_bytes, theirs.recv_bytes))

    process.start()
    theirs.close()
    ours.recv_bytes()
    assert process.pid is not None
    file = shared.open_stacks()
    assert file is not None
    before = read_stacks(file)
    os.kill(process.pid, STACKS_SIGNAL)
    ours.send_bytes(b"go home")  # it answers only after the signal, since both were there when it woke
    ours.recv_bytes()
    process.join()
    stacks = read_stacks(file)
    os.close(file)
    process.close()
    ours.close()

    assert "" == before
    assert "in overrun" in stacks


def test_a_page_whose_worker_has_not_come_so_far_has_no_stacks(shared: StatusPage) -> None:
    assert None is shared.open_stacks()


def test_a_closed_page_gives_its_descriptor_back() -> None:
    page = StatusPage.shared()
    descriptor = page.fileno()
    os.fstat(descriptor)

    page.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
