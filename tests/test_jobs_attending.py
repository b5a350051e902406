"""The alarm, and waits that it cuts short. What is attended is tested with whole attempts."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path

from jobs_workers import in_child

from runner.jobs.attending import Alarm, Attendance, Bound, CutShort
from runner.jobs.logbook import Logbook
from runner.spec_jobs import Result


def attendance(folder: Path, alarm: Alarm, *, revoked: bool = False) -> Attendance:
    log = Logbook(str(folder / "log"))
    return Attendance([log], alarm, lambda: revoked, grace=1.0, idle_timeout=None, silent=lambda _: None)


def test_the_alarm_rings_once_however_often_it_is_pulled_and_can_be_hushed() -> None:
    def work() -> list[bool]:
        alarm = Alarm()
        heard = []
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGUSR1)
            heard.append(bool(select.select([alarm], [], [], 10)[0]))
            alarm.hush()
            heard.append(bool(select.select([alarm], [], [], 0)[0]))
        return heard

    assert [True, False, True, False] == in_child(work)


def test_a_pause_ends_when_its_time_is_over(tmp_path: Path) -> None:
    assert None is in_child(lambda: attendance(tmp_path, Alarm()).pause(0.05))


def test_a_pause_ends_at_a_bound_with_its_reason(tmp_path: Path) -> None:
    late = CutShort(Result.FAILED, "it is late")

    def work() -> tuple[CutShort | None, bool]:
        began = time.monotonic()
        cut = attendance(tmp_path, Alarm()).pause(60, [Bound(began + 0.05, late)])
        return cut, time.monotonic() - began < 30

    assert (late, True) == in_child(work)


def test_a_pause_ends_when_the_job_is_called_off(tmp_path: Path) -> None:
    cut = in_child(lambda: attendance(tmp_path, Alarm(), revoked=True).pause(0.05))

    assert CutShort(Result.CANCELLED, "it was called off") == cut
