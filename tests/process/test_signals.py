"""Signals to the supervisor: noted, in order, and everything as it was before once that is over."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator

import pytest

from runner.process.signals import NobodyReads, SignalInbox, first_signal_ignored, handlers_kept

HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def surroundings_untouched() -> Iterator[None]:
    before = [signal.getsignal(number) for number in HEEDED]
    yield
    now = [signal.getsignal(number) for number in HEEDED]
    for number, handler in zip(HEEDED, before, strict=True):
        signal.signal(number, handler)
    assert before == now, "handlers are as they were before"


def is_readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def test_signals_are_taken_in_the_order_in_which_they_came() -> None:
    with SignalInbox() as inbox:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGINT):
            os.kill(os.getpid(), number)

        taken = inbox.take()
        again = inbox.take()

    assert [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGINT] == taken
    assert [] == again


def test_a_signal_makes_the_wake_descriptor_readable_until_it_is_taken() -> None:
    with SignalInbox() as inbox:
        history = [is_readable(inbox.wake)]
        os.kill(os.getpid(), signal.SIGTERM)
        history.append(is_readable(inbox.wake))
        inbox.take()
        history.append(is_readable(inbox.wake))

    assert [False, True, False] == history


def test_a_signal_ends_a_wait_on_the_wake_descriptor() -> None:
    with SignalInbox() as inbox:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        readable, _, _ = select.select([inbox.wake], [], [], 20)
        taken = inbox.take()
        timer.join()

    assert ([inbox.wake], [signal.SIGTERM]) == (readable, taken)


def test_more_signals_than_the_pipe_takes_are_no_trouble() -> None:
    with SignalInbox() as inbox:
        for _ in range(70_000):
            signal.raise_signal(signal.SIGHUP)

        taken = inbox.take()

        assert 70_000 == len(taken)
        assert not is_readable(inbox.wake)


def test_what_is_ignored_stays_ignored() -> None:
    """
    A shell's `nohup`, or a job in the background, ignores a signal on purpose.
    """
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SignalInbox() as inbox:
            os.kill(os.getpid(), signal.SIGHUP)
            taken = inbox.take()
        after = signal.getsignal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)

    assert ([], signal.SIG_IGN) == (taken, after)


def test_a_wake_descriptor_that_was_set_before_is_set_again() -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    before = signal.set_wakeup_fd(writing)
    try:
        with SignalInbox():
            pass
        restored = signal.set_wakeup_fd(before)
    finally:
        os.close(reading)
        os.close(writing)

    assert writing == restored


def test_an_error_inside_leaves_as_much_in_order() -> None:
    with pytest.raises(ZeroDivisionError), SignalInbox() as inbox:
        raise ZeroDivisionError

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(inbox.wake)


def test_in_another_thread_it_collects_nothing_and_changes_nothing() -> None:
    seen: list[object] = []

    def enter() -> None:
        with SignalInbox() as inbox:
            seen.append([signal.getsignal(number) for number in HEEDED])
            seen.append(inbox.take())

    before = [signal.getsignal(number) for number in HEEDED]
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()

    assert [before, []] == seen


@pytest.mark.parametrize("number", HEEDED)
def test_the_first_signal_passes_by_where_one_is_spared_and_the_second_has_its_effect(
    number: signal.Signals,
) -> None:
    taken: list[int] = []
    signal.signal(number, lambda came, _frame: taken.append(came))
    history = []

    with first_signal_ignored():
        for _ in range(2):
            os.kill(os.getpid(), number)
            history.append(list(taken))
    signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)

    assert [[], [number]] == history


@pytest.mark.parametrize("number", HEEDED)
def test_the_first_signal_ends_what_waits_for_a_reader(number: signal.Signals) -> None:
    before = [signal.getsignal(number) for number in HEEDED]

    with pytest.raises(NobodyReads), first_signal_ignored(lambda: True):
        os.kill(os.getpid(), number)

    assert before == [signal.getsignal(number) for number in HEEDED]


@pytest.mark.parametrize("number", HEEDED)
def test_no_signal_changes_the_end_of_a_process_that_has_said_how_it_ends(number: signal.Signals) -> None:
    before = [signal.getsignal(number) for number in HEEDED]

    with handlers_kept():
        with first_signal_ignored(and_all_after=True):
            pass
        for _ in range(3):
            os.kill(os.getpid(), number)

    assert before == [signal.getsignal(number) for number in HEEDED]


def test_what_was_heeded_before_is_heeded_again_when_none_was_spared() -> None:
    before = [signal.getsignal(number) for number in HEEDED]

    with first_signal_ignored():
        within = [signal.getsignal(number) for number in HEEDED]

    assert before == [signal.getsignal(number) for number in HEEDED]
    assert not set(map(id, before)) & set(map(id, within))


def test_in_another_thread_no_signal_is_spared() -> None:
    def enter() -> None:
        with first_signal_ignored():
            seen.append([signal.getsignal(number) for number in HEEDED])

    seen: list[list[object]] = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()

    assert [[signal.getsignal(number) for number in HEEDED]] == seen


@pytest.mark.parametrize("number", HEEDED)
def test_what_a_handler_forks_has_the_signals_that_were_there_before_ours(number: signal.Signals) -> None:
    """Handlers run in threads of this process where a run is `inline`; pools end their processes by SIGTERM."""
    ends: list[int] = []
    own = signal.signal(number, signal.SIG_DFL)

    def fork() -> None:
        if not (pid := os.fork()):
            signal.alarm(20)
            while True:
                signal.pause()  # goes on after a signal that is only noted
        os.kill(pid, number)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    with first_signal_ignored(), SignalInbox() as inbox:
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
        os.kill(os.getpid(), number)
        taken = inbox.take()
    signal.signal(number, own)

    assert ([-number], [number]) == (ends, taken)
