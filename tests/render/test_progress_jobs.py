"""The live view of jobs, on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
import tty
from collections.abc import Iterator

import pytest
from job_histories import finished, run_started, started

from runner.render.progress import ProgressObserver, release


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def shown_by(fd: int) -> str:
    try:
        return os.read(fd, 65536).decode()
    except BlockingIOError:
        return ""


def test_the_jobs_that_run_now_are_drawn_now_and_then_and_not_for_a_short_run(
    terminal: tuple[int, int],
) -> None:
    ours, theirs = terminal
    now = [0.2]
    observer = ProgressObserver(theirs, colors=False, clock=lambda: now[0])
    for event in (run_started(2, at=0.0), started("lint", 0.0)):
        observer.observe(event)
    young, soon = observer.tick(), shown_by(ours)
    now[0] = 1.0
    drawn = observer.tick(), shown_by(ours)
    now[0] = 1.1
    again = observer.tick(), shown_by(ours)
    observer.close()

    assert (pytest.approx(0.3), "") == (young, soon)
    assert "ci  running 00:00:01  0 of 2 done" in drawn[1]
    assert "lint  running  1.0s" in drawn[1]
    assert (pytest.approx(0.15), "") == again
    assert release(80) in shown_by(ours)


def test_the_view_of_jobs_does_not_become_lower_while_it_is_there(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    now = [1.0]
    observer = ProgressObserver(theirs, colors=False, clock=lambda: now[0])
    for event in (run_started(2, at=0.0), started("lint", 0.0), started("test", 0.0)):
        observer.observe(event)
    observer.tick()
    shown_by(ours)
    observer.observe(finished("test"))
    now[0] = 2.0
    observer.tick()
    redrawn = shown_by(ours)
    observer.close()

    assert "\x1b[22;1H" in redrawn  # three rows, as before
    assert "r" not in re.findall(r"\x1b\[[\d;]*([a-zA-Z])", redrawn)


def test_a_terminal_that_is_gone_is_told_at_the_next_event(terminal: tuple[int, int]) -> None:
    gone = os.dup(terminal[1])
    observer = ProgressObserver(gone, clock=lambda: 5.0)
    observer.observe(run_started(1, at=0.0))
    os.close(gone)

    observer.tick()

    with pytest.raises(OSError, match=r"."):
        observer.observe(started("lint"))
