"""Declared locks between real processes: who holds one, who waits, and what becomes of it when its holder is killed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from spawn_targets import hold

from runner.ipc.status_page import StatusPage, Wait, Word
from runner.process.resources.locks import Lock, LockFile, LockProvider, open_locks
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan

PATIENCE = 30.0


@pytest.fixture
def file() -> Iterator[LockFile]:
    made = LockFile.create()
    yield made
    made.close()


class Other:
    """Another process, which does one thing, says so, and then waits to be let go."""

    def __init__(self, act: Callable[[], object]) -> None:
        said, say = os.pipe()
        wait, self._go = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            code = 1
            try:
                os.close(self._go)
                os.close(said)
                act()
                os.write(say, b".")
                os.read(wait, 1)
                code = 0
            finally:
                os._exit(code)
        os.close(wait)
        os.close(say)
        self._said = said

    def wait(self) -> None:
        """Wait until it has done its thing."""
        assert b"." == os.read(self._said, 1)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> int:
        os.close(self._go)
        os.close(self._said)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextlib.contextmanager
def another(act: Callable[[], object], *, starts: bool = True) -> Iterator[Other]:
    """A process that has done `act` (or, unless it `starts`, is about to) and lives until the block is left."""
    other = Other(act)
    try:
        if starts:
            other.wait()
        yield other
    finally:
        other.end()


def test_what_one_process_holds_another_can_not_have(file: LockFile) -> None:
    lock = Lock("mutex", file, 0)

    with another(lock.acquire):
        held = (lock.acquire(block=False), lock.acquire(timeout=0.01), lock.locked())
    free = (lock.locked(), lock.acquire(block=False), lock.locked())

    assert ((False, False, True), (False, True, True)) == (held, free)


def test_each_name_is_a_lock_of_its_own(file: LockFile) -> None:
    mutex, printer = Lock("mutex", file, 0), Lock("printer", file, 1)

    with another(mutex.acquire):
        taken = printer.acquire(block=False)

    assert taken


def test_a_lock_that_is_released_goes_to_whoever_waits(file: LockFile) -> None:
    lock = Lock("mutex", file, 0)
    lock.acquire()

    with another(lock.acquire, starts=False) as waiting:
        lock.release()
        waiting.wait()
        held = lock.locked()

    assert held


def test_a_holder_that_is_killed_blocks_nobody(file: LockFile) -> None:
    lock = Lock("mutex", file, 0)

    with another(lock.acquire) as holder, another(lock.acquire, starts=False) as waiting:
        holder.kill()
        waiting.wait()
        before = lock.locked()
        waiting.kill()
        taken = lock.acquire(timeout=PATIENCE)

    assert (True, True) == (before, taken)


@pytest.mark.parametrize("start", ["fork", "program"])
def test_what_a_holder_has_started_does_not_hold_on_to_its_lock(file: LockFile, start: str) -> None:
    """
    A descriptor that a child inherits would keep the lock taken for as long as the child lives.
    """
    lock = Lock("mutex", file, 0)
    quiet, loud = os.pipe()
    os.set_inheritable(loud, True)

    def hold_and_start() -> None:
        lock.acquire()
        if start == "program":
            subprocess.Popen(["sleep", "1000"], close_fds=False)
        elif not os.fork():
            signal.pause()

    with another(hold_and_start) as holder:
        heir = child_of(holder.pid)
        holder.kill()
        taken = lock.acquire(timeout=PATIENCE)
        os.kill(heir, 0)  # it lives on
        os.kill(heir, signal.SIGKILL)
    os.close(loud)
    ended = os.read(quiet, 1)
    os.close(quiet)

    assert (True, b"") == (taken, ended)


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def test_a_process_forked_by_the_holder_is_a_holder_of_its_own(file: LockFile) -> None:
    lock = Lock("mutex", file, 0)

    def look() -> None:
        assert not lock.acquire(block=False)

    with lock, another(look):
        pass
    with another(lock.acquire):
        taken = lock.acquire(block=False)

    assert not taken


def test_a_process_forked_inside_the_block_leaves_it_quietly_and_frees_nothing(file: LockFile) -> None:
    lock = Lock("mutex", file, 0)
    with lock:
        pid = os.fork()
        if not pid:
            with contextlib.ExitStack() as leave:
                leave.callback(os._exit, 1)
                lock.__exit__(None, None, None)
                os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        held = lock.locked()

    assert (0, True, False) == (code, held, lock.locked())


def test_a_lock_travels_to_a_process_that_a_handler_spawns(file: LockFile) -> None:
    lock = Lock("mutex", file, 0)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=hold, args=(lock, theirs))
    child.start()
    taken = ours.recv()
    seen = lock.acquire(block=False)
    ours.send("go")
    child.join()
    ours.close()
    theirs.close()
    child.close()

    assert (True, False, True) == (taken, seen, lock.acquire(timeout=PATIENCE))


def test_threads_of_one_worker_hold_it_in_turns(file: LockFile) -> None:
    lock = Lock("mutex", file, 0)
    taken: list[bool] = []
    with lock:
        thread = threading.Thread(target=lambda: taken.append(lock.acquire(block=False)))
        thread.start()
        thread.join()
    waiting = threading.Thread(target=lambda: taken.append(lock.acquire()))
    waiting.start()
    waiting.join()

    assert [False, True] == taken


def test_who_would_wait_for_itself_is_told_so(file: LockFile) -> None:
    lock = Lock("mutex", file, 0)
    with lock:
        at_once = (lock.acquire(block=False), lock.acquire(timeout=0.001))

        with pytest.raises(
            RuntimeError, match="lock 'mutex': this worker holds it already, and would wait for itself"
        ):
            lock.acquire()

    assert (False, False) == at_once


def test_only_its_holder_releases_it(file: LockFile) -> None:
    lock = Lock("mutex", file, 0)

    with another(lock.acquire), pytest.raises(ValueError, match="lock 'mutex': this worker does not hold it"):
        lock.release()


def test_an_exception_in_the_block_frees_it(file: LockFile) -> None:
    lock = Lock("mutex", file, 0)

    with contextlib.suppress(KeyError), lock:
        raise KeyError

    assert not lock.locked()


def test_a_wait_is_shown_and_counted_as_waited_not_as_busy(file: LockFile) -> None:
    page = StatusPage.private()
    lock = Lock("mutex", file, 0, page)

    with another(Lock("mutex", file, 0).acquire) as holder:
        waiting = threading.Thread(target=lock.acquire)
        waiting.start()
        while page.words[Word.WAITING] != Wait.LOCK:
            assert waiting.is_alive()
        holder.kill()
        waiting.join(PATIENCE)

    assert page.words[Word.BLOCKED] > 0
    assert Wait.NOTHING == page.words[Word.WAITING]
    page.close()


def test_who_need_not_wait_is_not_shown_as_waiting(file: LockFile) -> None:
    page = StatusPage.private()

    with Lock("mutex", file, 0, page):
        assert (0, 0) == (page.words[Word.BLOCKED], page.words[Word.WAITING_SINCE])

    page.close()


def test_a_worker_has_one_lock_of_each_name_however_often_it_asks() -> None:
    stage = StageSpec("wash", HandlerRef("python", "kitchen:wash"), workers=("wash-1",))
    (worker,) = make_plan(WorkflowSpec("kitchen", Path("kitchen.yaml"), (stage,))).workers
    provider = LockProvider(("mutex", "printer"))
    page = StatusPage.private()

    resources = open_locks(provider.resources_for(worker), page)

    assert resources["mutex"].resolve() is resources["mutex"].resolve()
    assert resources["mutex"].resolve() is not resources["printer"].resolve()
    provider.close()
    page.close()
