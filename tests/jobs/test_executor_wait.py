"""The wakeup pipe, and waits that it cuts short. What is waited for is tested with whole attempts."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path

from jobs_workers import in_child

from runner.jobs.executor.wait import CommandWaiter, Deadline, Interruption, WakeupPipe
from runner.jobs.log import LogWriter
from runner.spec.model import JobResult


def waiter(folder: Path, wakeup: WakeupPipe, *, revoked: bool = False) -> CommandWaiter:
    log = LogWriter(str(folder / "log"))
    return CommandWaiter([log], wakeup, lambda: revoked, grace=1.0, idle_timeout=None, silent=lambda _: None)


def test_the_pipe_wakes_once_however_often_it_is_signalled_and_can_be_drained() -> None:
    def work() -> list[bool]:
        wakeup = WakeupPipe()
        heard = []
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGUSR1)
            heard.append(bool(select.select([wakeup], [], [], 10)[0]))
            wakeup.drain()
            heard.append(bool(select.select([wakeup], [], [], 0)[0]))
        return heard

    assert [True, False, True, False] == in_child(work)


def test_a_pause_ends_when_its_time_is_over(tmp_path: Path) -> None:
    assert None is in_child(lambda: waiter(tmp_path, WakeupPipe()).pause(0.05))


def test_a_pause_ends_at_a_deadline_with_its_reason(tmp_path: Path) -> None:
    late = Interruption(JobResult.FAILED, "it is late")

    def work() -> tuple[Interruption | None, bool]:
        began = time.monotonic()
        cut = waiter(tmp_path, WakeupPipe()).pause(60, [Deadline(began + 0.05, late)])
        return cut, time.monotonic() - began < 30

    assert (late, True) == in_child(work)


def test_a_pause_ends_when_the_job_is_called_off(tmp_path: Path) -> None:
    cut = in_child(lambda: waiter(tmp_path, WakeupPipe(), revoked=True).pause(0.05))

    assert Interruption(JobResult.CANCELLED, "it was called off") == cut
