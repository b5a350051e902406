"""The watchdog: after a SIGKILL of its supervisor nothing of the run is left; after an orderly end nobody is harmed."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.ipc.descriptors import close_all_but
from runner.process.child import adopt_orphans, children, end_orphans
from runner.process.watchdog import RUN_VARIABLE, SessionTable, Watchdog, apply_tag, tag_of
from runner.store.run_folder import mark_of

PATIENCE = 20.0
AT_MOST = 2.0
"""Seconds in which what a killed supervisor leaves behind must be gone."""

RUN = f"test-{os.getpid()}"


@pytest.fixture(autouse=True)
def known() -> Iterator[list[int]]:
    """The children that were there before the test. Whatever a test leaves behind is ended after it."""
    before = children()
    adopt_orphans(True)
    yield before
    end_orphans(spare=(), known=before)
    adopt_orphans(False)


class Pipe:
    """Tells of others' lives: they write to it, and its end comes when the last of them is gone."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def say(self, number: int = 0) -> None:
        os.write(self.writing, b"%10d" % number)

    def hear(self) -> int:
        assert is_readable(self.reading, PATIENCE)
        return int(os.read(self.reading, 10))

    def ends_within(self, seconds: float) -> bool:
        """Wait until nobody holds the writing end."""
        self._close_writing()
        return is_readable(self.reading, seconds) and os.read(self.reading, 1) == b""

    def is_held(self) -> bool:
        """Whether somebody else holds the writing end, and says nothing."""
        self._close_writing()
        return not is_readable(self.reading, 0)

    def close(self) -> None:
        self._close_writing()
        os.close(self.reading)

    def _close_writing(self) -> None:
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


@pytest.fixture
def other() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def is_readable(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


def wait_for_death(pid: int) -> None:
    watched = os.pidfd_open(pid)
    died = is_readable(watched, PATIENCE)
    os.close(watched)
    assert died


def fork(main: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            main()
        finally:
            os._exit(0)
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def wait_for_ever() -> None:
    while True:
        signal.pause()


def say_and_wait(pipe: Pipe) -> None:
    pipe.say(os.getpid())
    wait_for_ever()


def lead_a_session(pipe: Pipe) -> None:
    """A worker without any pact with its parent, and what it has started. As every worker, it holds no watchdog."""
    os.setsid()
    close_all_but((0, 1, 2, pipe.writing))
    fork(lambda: say_and_wait(pipe))
    say_and_wait(pipe)


def become_marked(pipe: Pipe, run: str) -> None:
    """A program in a session of its own, which carries only a run's mark."""
    become_program(pipe, {**os.environ, RUN_VARIABLE: run})


def become_program(pipe: Pipe, environment: dict[str, str]) -> None:
    """A program in a session of its own. It speaks once it is that program."""
    os.setsid()
    os.set_inheritable(pipe.writing, True)
    code = (
        f"import os, signal; os.write({pipe.writing}, b'%10d' % os.getpid()); "
        "[signal.pause() for _ in iter(int, 1)]"
    )
    os.execve(sys.executable, [sys.executable, "-S", "-E", "-c", code], environment)


def lead_away(pipe: Pipe) -> None:
    os.setsid()
    say_and_wait(pipe)


def lead_away_bare(pipe: Pipe) -> None:
    """A tagged worker that turns into another program, with nothing else to be known by."""
    close_all_but((0, 1, 2, pipe.writing))
    apply_tag(tag_of(RUN))
    become_program(pipe, {})


def fork_away(pipe: Pipe, run: str) -> None:
    """A worker, and its fork that has a session of its own and runs no other program."""
    close_all_but((0, 1, 2, pipe.writing))
    apply_tag(tag_of(run))
    fork(lambda: lead_away(pipe))


def test_a_killed_supervisors_sessions_are_ended(pipe: Pipe) -> None:
    def supervise() -> None:
        watchdog = Watchdog(RUN)
        watchdog.register(fork(lambda: lead_a_session(pipe)))
        say_and_wait(pipe)

    supervisor = fork(supervise)
    for _ in range(3):
        pipe.hear()

    kill(supervisor)

    assert pipe.ends_within(AT_MOST)


def test_whatever_carries_a_killed_supervisors_mark_is_ended(pipe: Pipe, other: Pipe) -> None:
    def supervise() -> None:
        Watchdog(RUN)
        fork(lambda: become_marked(pipe, RUN))
        fork(lambda: become_marked(other, f"{RUN}-another"))
        wait_for_ever()

    supervisor = fork(supervise)
    pipe.hear()
    other.hear()

    kill(supervisor)

    assert pipe.ends_within(AT_MOST)
    assert other.is_held()


def test_what_the_next_runner_of_the_same_run_has_started_lives_on(pipe: Pipe, other: Pipe) -> None:
    def supervise() -> None:
        Watchdog(mark_of(RUN, 1))
        fork(lambda: fork_away(pipe, mark_of(RUN, 1)))
        fork(lambda: fork_away(other, mark_of(RUN, 2)))
        wait_for_ever()

    supervisor = fork(supervise)
    pipe.hear()
    other.hear()

    kill(supervisor)

    assert pipe.ends_within(AT_MOST)
    assert other.is_held()


def test_a_fork_that_left_its_workers_session_is_ended(pipe: Pipe, other: Pipe) -> None:
    """All that it has of the run is its tag."""

    def supervise() -> None:
        Watchdog(RUN)
        fork(lambda: fork_away(pipe, RUN))
        fork(lambda: fork_away(other, f"{RUN}-another"))
        wait_for_ever()

    supervisor = fork(supervise)
    pipe.hear()
    other.hear()

    kill(supervisor)

    assert pipe.ends_within(AT_MOST)
    assert other.is_held()


def test_a_program_with_a_session_and_an_environment_of_its_own_is_ended(pipe: Pipe) -> None:
    def supervise() -> None:
        Watchdog(RUN)
        fork(lambda: lead_away_bare(pipe))
        wait_for_ever()

    supervisor = fork(supervise)
    pipe.hear()

    kill(supervisor)

    assert pipe.ends_within(AT_MOST)


def test_a_session_that_ended_before_is_not_looked_for(pipe: Pipe, other: Pipe) -> None:
    """
    Its number may be somebody else's by now.
    """
    watchdogs = Pipe()

    def supervise() -> None:
        watchdog = Watchdog(RUN)
        former = fork(lambda: lead_a_session(other))
        watchdog.register(former)
        watchdog.unregister(former)
        watchdog.register(fork(lambda: lead_a_session(pipe)))
        watchdogs.say(watchdog.pid)
        wait_for_ever()

    supervisor = fork(supervise)
    watchdog = watchdogs.hear()
    for _ in range(2):
        pipe.hear()
        other.hear()

    kill(supervisor)
    wait_for_death(watchdog)
    watchdogs.close()

    assert pipe.ends_within(0)
    assert other.is_held()


def test_after_an_orderly_end_everybody_lives_on(pipe: Pipe, known: list[int]) -> None:
    watchdog = Watchdog(RUN)
    worker = fork(lambda: lead_a_session(pipe))
    watchdog.register(worker)
    marked = fork(lambda: become_marked(pipe, RUN))
    for _ in range(3):
        pipe.hear()

    watchdog.close()

    assert sorted([*known, worker, marked]) == sorted(children())
    assert pipe.is_held()
    for pid in (worker, marked):
        os.kill(pid, 0)


def test_a_supervisor_without_standard_streams_has_its_watchdog_too(pipe: Pipe) -> None:
    """
    Then the pipe between the two is where stdin would be; the watchdog must not take that for a place to tidy up.
    """

    def supervise() -> None:
        os.close(0)
        watchdog = Watchdog(RUN)
        fork(lambda: become_marked(pipe, RUN))
        pipe_hears = is_readable(pipe.reading, PATIENCE)
        watchdog.close()
        os._exit(0 if pipe_hears else 1)

    supervisor = fork(supervise)
    _, status = os.waitpid(supervisor, 0)
    pipe.hear()

    assert 0 == status
    assert pipe.is_held()


def test_a_closed_watchdog_leaves_although_somebody_still_holds_its_pipe(pipe: Pipe) -> None:
    watchdog = Watchdog(RUN)
    holder = fork(lambda: say_and_wait(pipe))
    pipe.hear()

    watchdog.close()

    kill(holder)
    assert watchdog.pid not in children()


def test_a_watchdog_that_was_killed_stops_nobody(known: list[int]) -> None:
    watchdog = Watchdog(RUN)
    os.kill(watchdog.pid, signal.SIGKILL)
    wait_for_death(watchdog.pid)

    watchdog.register(4711)
    watchdog.unregister(4711)
    watchdog.close()

    assert known == children()


def test_the_watchdog_leaves_at_no_signal_that_is_meant_for_the_supervisor() -> None:
    watchdog = Watchdog(RUN)
    wait_for_session(watchdog.pid)  # by then it is settled
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(watchdog.pid, number)

    alive = os.waitpid(watchdog.pid, os.WNOHANG) == (0, 0)
    watchdog.close()

    assert alive


def wait_for_session(pid: int) -> None:
    while os.getsid(pid) != pid:
        os.sched_yield()


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 5))))
def test_a_session_is_open_if_its_last_word_is_a_birth(told: list[tuple[bool, int]]) -> None:
    table = SessionTable(places=8)
    alive: set[int] = set()
    for is_birth, pid in told:
        if is_birth == (pid in alive):  # who lives is not born, and who does not can't die
            continue
        (table.register if is_birth else table.unregister)(pid)
        (alive.add if is_birth else alive.discard)(pid)

    sessions = table.sessions()
    table.close()

    assert alive == sessions


def test_places_of_sessions_that_have_ended_are_given_again_and_one_too_many_is_left_out() -> None:
    table = SessionTable(places=2)
    table.register(11)
    table.register(12)
    table.unregister(11)
    for pid in (13, 14):
        table.register(pid)
    table.unregister(14)

    sessions = table.sessions()
    table.close()

    assert {12, 13} == sessions


def test_who_is_forked_sees_what_is_registered_later_and_others_do_not() -> None:
    table = SessionTable(places=2)
    asked, told = os.pipe()

    def look() -> None:
        os.read(asked, 1)
        os._exit(0 if table.sessions() == {4711} else 1)

    child = fork(look)
    table.keep_here()
    table.register(4711)
    os.write(told, b".")
    _, status = os.waitpid(child, 0)
    table.close()
    os.close(asked)
    os.close(told)

    assert 0 == status
