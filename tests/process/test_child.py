"""Child processes from outside: real births, real kills; what is waited for is an event, never a while."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from runner.errors import StartFailed
from runner.process import child as process
from runner.process.child import (
    ChildProcess,
    adopt_orphans,
    children,
    die_with_parent,
    end_orphans,
    sigterm_held,
)
from runner.process.signals import SignalInbox

PATIENCE = 20.0
FIRST_REAL_TIME = signal.Signals(signal.SIGRTMIN)


@pytest.fixture(autouse=True)
def known() -> Iterator[list[int]]:
    """The children that were there before the test. Whatever a test leaves behind is ended after it."""
    before = children()
    adopt_orphans(True)
    yield before
    end_orphans(spare=(), known=before)
    adopt_orphans(False)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


class Pipe:
    """Tells of others' lives: they write to it, and its end comes when the last of them is gone."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def say(self, word: bytes) -> None:
        os.write(self.writing, word)

    def hear(self, length: int) -> bytes:
        heard = b""
        while len(heard) < length:
            assert is_readable(self.reading, PATIENCE), f"heard only {heard!r}"
            heard += os.read(self.reading, length - len(heard))
        return heard

    def ends(self) -> bool:
        """Wait until nobody holds the writing end."""
        self.close_writing()
        return is_readable(self.reading, PATIENCE) and os.read(self.reading, 1) == b""

    def is_held(self) -> bool:
        """Whether somebody else holds the writing end, and says nothing."""
        self.close_writing()
        return not is_readable(self.reading, 0)

    def close_writing(self) -> None:
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1

    def close(self) -> None:
        self.close_writing()
        os.close(self.reading)


def is_readable(descriptor: int | ChildProcess, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


def start(main: Callable[..., None], *arguments: object) -> ChildProcess:
    with sigterm_held():
        return ChildProcess(main, arguments, name="neo", daemon=False, method="fork")


def reap(child: ChildProcess) -> int:
    assert is_readable(child, PATIENCE), "it did not die"
    return child.reap()


def fork(main: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            main()
        finally:
            os._exit(0)
    return pid


def wait_for_ever() -> None:
    while True:
        signal.pause()


def say_and_wait(pipe: Pipe, word: bytes = b"!") -> None:
    pipe.say(word)
    wait_for_ever()


def lead_a_session(pipe: Pipe, *, stay: bool = True) -> None:
    """A worker that has started something of its own, which holds the pipe too."""
    os.setsid()
    ready = Pipe()
    fork(lambda: say_and_wait(ready))
    ready.hear(1)
    pipe.say(b"!")
    if stay:
        wait_for_ever()


def end_by(number: int) -> None:
    os.kill(os.getpid(), number)


def test_a_death_makes_the_descriptor_readable_and_nothing_else_does(pipe: Pipe) -> None:
    child = start(say_and_wait, pipe)
    pipe.hear(1)

    alive = is_readable(child, 0)
    child.send(signal.SIGKILL)
    dead = is_readable(child, PATIENCE)

    assert (False, True) == (alive, dead)
    assert -signal.SIGKILL == child.reap()


@pytest.mark.parametrize(
    ("main", "argument", "expected"),
    [
        (str, "returns", 0),
        (sys.exit, 3, 3),
        (os._exit, 200, 200),
        (end_by, signal.SIGTERM, -signal.SIGTERM),
        (end_by, signal.SIGKILL, -signal.SIGKILL),
        (end_by, signal.SIGRTMAX, -signal.SIGRTMAX),
    ],
)
def test_the_exit_code_says_how_it_ended(
    main: Callable[..., None], argument: object, expected: int, known: list[int]
) -> None:
    code = reap(start(main, argument))

    assert expected == code
    assert known == children()


def test_a_spawned_process_is_watched_as_a_forked_one() -> None:
    child = ChildProcess(sys.exit, (5,), name="neo", daemon=True, method="spawn")

    assert 5 == reap(child)


def test_a_process_can_be_ended_from_its_first_moment_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A fresh child has the handlers of its parent, which would note the signal and go on.
    """
    waiting, go = os.pipe()
    begin = process._begin

    def begin_when_told(*arguments: object) -> None:
        os.read(waiting, 1)
        begin(*arguments)

    monkeypatch.setattr(process, "_begin", begin_when_told)
    with SignalInbox():
        child = start(wait_for_ever)
        child.send_alone(signal.SIGTERM)
        os.write(go, b".")
        code = reap(child)
    os.close(waiting)
    os.close(go)

    assert -signal.SIGTERM == code


def test_a_signal_reaches_what_the_process_has_started(pipe: Pipe) -> None:
    child = start(lead_a_session, pipe)
    pipe.hear(1)

    child.send(signal.SIGTERM)

    assert -signal.SIGTERM == reap(child)
    assert pipe.ends()


def test_a_signal_reaches_a_process_that_has_no_group_yet(pipe: Pipe) -> None:
    child = start(say_and_wait, pipe)
    pipe.hear(1)

    child.send(signal.SIGTERM)

    assert -signal.SIGTERM == reap(child)


def test_a_signal_to_the_group_reaches_its_leader_once(pipe: Pipe) -> None:
    """
    Real-time signals queue up, so that each one sent is counted.
    """
    answer = Pipe()
    child = start(_count_signals, pipe, answer)
    answer.hear(1)

    child.send(FIRST_REAL_TIME)
    pipe.say(b"?")
    count = answer.hear(1)
    reap(child)
    answer.close()

    assert 1 == count[0]


def _count_signals(question: Pipe, answer: Pipe) -> None:
    os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, [FIRST_REAL_TIME])
    answer.say(b"!")
    question.hear(1)
    count = 0
    while signal.sigtimedwait([FIRST_REAL_TIME], 0) is not None:
        count += 1
    answer.say(bytes([count]))


def test_a_signal_to_the_process_alone_spares_what_it_has_started(pipe: Pipe) -> None:
    child = start(lead_a_session, pipe)
    pipe.hear(1)

    child.send_alone(signal.SIGKILL)

    assert is_readable(child, PATIENCE)
    assert pipe.is_held()
    assert -signal.SIGKILL == child.reap()
    assert pipe.ends()


def test_what_a_dead_process_leaves_in_its_group_ends_when_it_is_reaped(pipe: Pipe) -> None:
    child = start(_lead_and_leave, pipe)
    pipe.hear(1)
    assert is_readable(child, PATIENCE)
    held = pipe.is_held()

    code = child.reap()

    assert (True, 0) == (held, code)
    assert pipe.ends()


def _lead_and_leave(pipe: Pipe) -> None:
    lead_a_session(pipe, stay=False)


def test_a_signal_to_one_that_is_gone_is_no_error() -> None:
    child = start(os._exit, 0)
    assert is_readable(child, PATIENCE)

    child.send(signal.SIGTERM)
    child.send_alone(signal.SIGTERM)

    assert 0 == child.reap()


def test_a_system_without_processes_left_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more() -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", no_more)

    with pytest.raises(
        StartFailed, match=r"worker 'neo' could not be started: Resource temporarily unavailable"
    ):
        start(wait_for_ever)


def test_a_process_that_cannot_be_watched_is_ended_again(
    known: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_many(_pid: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pidfd_open", too_many)

    with pytest.raises(StartFailed, match=r"worker 'neo' could not be started: Too many open files"):
        start(wait_for_ever)

    assert known == children()


def test_a_worker_dies_with_its_parent(pipe: Pipe) -> None:
    """
    The worker has left its parent's session, and nobody signals it: the kernel does.
    """
    parent = start(_have_a_bound_child, pipe)
    pipe.hear(1)

    parent.send_alone(signal.SIGKILL)

    assert pipe.ends()
    assert -signal.SIGKILL == reap(parent)


def _have_a_bound_child(pipe: Pipe) -> None:
    parent = os.getpid()

    def live() -> None:
        os.setsid()
        die_with_parent(parent)
        say_and_wait(pipe)

    fork(live)
    wait_for_ever()


def test_a_worker_whose_parent_is_gone_already_ends_at_once() -> None:
    child = start(die_with_parent, os.getppid())

    assert 1 == reap(child)


def test_a_grandchild_that_left_every_group_is_adopted_and_ended(pipe: Pipe, known: list[int]) -> None:
    child = start(_leave_a_daemon, pipe)
    daemon = int(pipe.hear(10))
    assert 0 == reap(child)
    held = pipe.is_held()

    ended = end_orphans(spare=(), known=known)

    assert held
    assert [daemon] == ended
    assert pipe.ends()
    assert known == children()


def _leave_a_daemon(pipe: Pipe) -> None:
    """As daemons are made: a session of its own, and a parent that does not wait."""

    def middle() -> None:
        os.setsid()
        fork(lambda: say_and_wait(pipe, b"%10d" % os.getpid()))

    os.waitpid(fork(middle), 0)


def test_children_from_before_the_run_and_helpers_are_spared(pipe: Pipe) -> None:
    before = fork(lambda: say_and_wait(pipe))
    known = children()
    helper = fork(lambda: say_and_wait(pipe))
    orphan = fork(wait_for_ever)
    pipe.hear(2)

    ended = end_orphans(spare=(helper,), known=known)

    assert [orphan] == ended
    assert {before, helper} <= set(children())
    for pid in (before, helper):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_the_helper_of_the_standard_library_is_spared() -> None:
    """
    It is started with the first spawned worker, and serves the whole program, also after the run.
    """
    resource_tracker.ensure_running()

    end_orphans(spare=(), known=())

    resource_tracker.ensure_running()  # warns if it has to start another one, and a warning is an error here


def test_the_dead_are_children_too_until_they_are_reaped(known: list[int]) -> None:
    child = start(os._exit, 0)
    assert is_readable(child, PATIENCE)

    before = children()
    child.reap()

    assert [*known, child.pid] == before
    assert known == children()


def test_a_group_that_was_never_made_takes_no_signal() -> None:
    child = fork(wait_for_ever)

    reached = process.send_to_group(child, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

    assert not reached


OWN_TRACKER = """
import sys
from multiprocessing import resource_tracker
from runner.process.child import children, end_own_tracker
resource_tracker.ensure_running()
(known,) = children()
end_own_tracker([known])
print(children() == [known])
end_own_tracker([])
print(children() == [])
resource_tracker.ensure_running()
print(len(children()))
"""


def test_a_resource_tracker_that_was_not_there_before_the_run_ends_with_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OWN_TRACKER], check=True, capture_output=True, text=True, timeout=30
    )

    assert ["True", "True", "1"] == done.stdout.split()


SPAWNING = """
import mprun
from runner.process.child import children
report = mprun.run_file("w.yaml", overrides=["defaults.stage.start_method=spawn"])
print(report.outcome, children())
"""


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["leased", "joinable"])
def test_no_process_is_left_by_a_run_that_spawns_workers(tmp_path: Path, transport: str) -> None:
    stages = "{src: {run: 'h:src', to: q}, sink: {run: 'h:sink', from: q}}"
    (tmp_path / "w.yaml").write_text(f"name: w\ntransport: {transport}\nstages: {stages}\n")
    (tmp_path / "h.py").write_text("def src():\n    yield 1\ndef sink(item):\n    pass\n")
    (tmp_path / "go.py").write_text(f"if __name__ == '__main__':\n{textwrap.indent(SPAWNING, '    ')}")

    done = subprocess.run(
        [sys.executable, "go.py"], check=True, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert "done []" == done.stdout.strip()
