"""What jobs print, shown by the observer process, for real: its terminals, its pipes, and its end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from job_histories import finished, run_finished, run_started, started

from runner.render.process import ObserverProcess, open_observers
from runner.render.process_main import JobOutputOptions

AT_ONCE = 2.0
"""Seconds that no bounded step takes even on a busy machine; a blocked one takes for ever."""
MUCH = 20 * 2**20
"""Bytes of output that no pipe or terminal holds."""

Show = Callable[..., ObserverProcess]


class Channel:
    """Where output goes, and what has come out of its other end so far."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading = reading
        self.writing = writing
        self.seen = b""

    def until(self, wanted: str, timeout: float = 20.0) -> str:
        """Read until `wanted` was seen, and return all."""
        deadline = time.monotonic() + timeout
        while wanted.encode() not in self.seen:
            ready, _, _ = select.select([self.reading], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"{wanted!r} never came; seen: {self.seen[-1000:]!r}"
            chunk = os.read(self.reading, 1 << 16)
            assert chunk, f"{wanted!r} never came before the end; seen: {self.seen[-1000:]!r}"
            self.seen += chunk
        return self.seen.decode()

    def close(self) -> None:
        for fd in (self.reading, self.writing):
            with contextlib.suppress(OSError):  # a test that closes one itself says so
                os.close(fd)


@pytest.fixture
def pipe() -> Iterator[Channel]:
    channel = Channel(*os.pipe())
    yield channel
    channel.close()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Channel]:
    monkeypatch.setenv("TERM", "xterm-256color")
    channel = Channel(*pty.openpty())
    fcntl.ioctl(channel.writing, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    yield channel
    channel.close()


@pytest.fixture
def show() -> Iterator[Show]:
    with Path(os.devnull).open("w") as nowhere:

        def start(channel: Channel, mode: str = "group", *, colors: bool = False) -> ObserverProcess:
            [observer] = open_observers(
                stream=nowhere, jobs=JobOutputOptions(channel.writing, mode, colors=colors)
            )
            return observer

        yield start


def much(log: Path) -> str:
    log.write_bytes(b"x" * 99 + b"\n")
    with log.open("ab") as file:
        for _ in range(MUCH // 2**20):
            file.write((b"x" * 63 + b"\n") * 2**14)
    return str(log)


def test_a_job_is_shown_while_it_runs(pipe: Channel, show: Show, tmp_path: Path) -> None:
    log = tmp_path / "lint.log"
    observer = show(pipe, "stream")
    observer.observe(run_started(1))
    observer.observe(started("lint", log=str(log)))
    for number in range(3):
        with log.open("a", encoding="utf-8") as file:
            file.write(f"line {number}\n")
        pipe.until(f"lint | line {number}\n")
    observer.observe(finished("lint", log=str(log)))
    pipe.until("✓ lint passed")
    observer.observe(run_finished())
    observer.close()

    assert observer.trouble is None


def test_a_workflow_of_stages_has_its_stdout_for_itself(show: Show) -> None:
    channel = Channel(*os.pipe())
    observer = show(channel)
    observer.observe(run_started())
    os.close(channel.writing)

    ended, _, _ = select.select([channel.reading], [], [], 20)

    assert (True, b"") == (bool(ended), os.read(channel.reading, 1))
    observer.close()
    channel.close()


def test_a_reader_that_goes_away_stops_the_output_and_nothing_else(show: Show, tmp_path: Path) -> None:
    channel = Channel(*os.pipe())
    events = tmp_path / "events.jsonl"
    observer = show(channel)
    observer.write_events_to(events)
    os.close(channel.reading)
    log = much(tmp_path / "lint.log")

    for event in (
        run_started(1),
        started("lint", log=log),
        finished("lint", log=log),
        started("test", log=log),
        run_finished(),
    ):
        observer.observe(event)
    observer.close()

    assert observer.trouble is None
    assert 5 == len(events.read_bytes().splitlines())
    channel.close()


def test_a_reader_that_does_not_read_holds_up_nobody_and_the_end_for_a_bounded_time(
    pipe: Channel, show: Show, tmp_path: Path
) -> None:
    log = much(tmp_path / "lint.log")
    observer = show(pipe)
    began = time.monotonic()
    observer.observe(run_started(1000))
    for number in range(1000):
        observer.observe(started(f"{number}", log=log))
        observer.observe(finished(f"{number}", log=log))
    observer.observe(run_finished())
    told = time.monotonic() - began
    observer.close(timeout=0.3)
    took = time.monotonic() - began

    assert told < AT_ONCE
    assert took < AT_ONCE * 2
    assert observer.trouble == "the log is incomplete: the process that writes it was killed by SIGKILL"


def test_what_is_left_at_the_end_is_shown_whole_to_a_pipe_as_long_as_it_is_read(
    show: Show, tmp_path: Path
) -> None:
    reader = subprocess.Popen(["sh", "-c", "sleep 0.5; wc -c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert reader.stdin is not None and reader.stdout is not None
    log = much(tmp_path / "lint.log")
    observer = show(Channel(-1, reader.stdin.fileno()))
    for event in (run_started(1), started("lint", log=log), finished("lint", log=log), run_finished()):
        observer.observe(event)
    reader.stdin.close()

    observer.close(timeout=5)

    heading = "▸ lint\n" + "✓ lint passed in 1.0s\n"
    counted = reader.stdout.read()
    reader.stdout.close()
    reader.wait()
    assert Path(log).stat().st_size + len(heading.encode()) == int(counted)
    assert observer.trouble is None


def test_ctrl_c_ends_the_wait_for_what_is_left_and_nothing_else(tmp_path: Path) -> None:
    much(tmp_path / "lint.log")
    script = f"""
import sys, threading, os, signal
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from job_histories import *
from runner.render.process import open_observers
from runner.render.process_main import JobOutputOptions
log = {str(tmp_path / "lint.log")!r}
reading, writing = os.pipe()
[observer] = open_observers(stream=sys.stderr, jobs=JobOutputOptions(writing))
for event in (run_started(1), started("lint", log=log), finished("lint", log=log), run_finished()):
    observer.observe(event)
os.read(reading, 1)
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
observer.close(timeout=60)
print("went on")
"""
    began = time.monotonic()

    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60
    )

    assert ("went on\n", "", 0) == (done.stdout, done.stderr, done.returncode)
    assert time.monotonic() - began < 20


def test_it_ends_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    much(tmp_path / "lint.log")
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from job_histories import *
from runner.render.process import open_observers
from runner.render.process_main import JobOutputOptions
[observer] = open_observers(stream=sys.stderr, jobs=JobOutputOptions(2, "stream"))
observer.observe(run_started(1))
observer.observe(started("lint", log={str(tmp_path / "lint.log")!r}))
print(observer.pid, flush=True)
time.sleep(60)
"""
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert supervisor.stdout is not None
    observer = int(supervisor.stdout.readline())
    watched = os.pidfd_open(observer)

    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    ended, _, _ = select.select([watched], [], [], 20)

    os.close(watched)
    supervisor.stdout.close()
    assert ended


def test_when_the_observer_is_killed_the_run_goes_on_and_says_so_at_the_end(
    pipe: Channel, show: Show, tmp_path: Path
) -> None:
    log = tmp_path / "lint.log"
    log.write_bytes(b"first\n")
    observer = show(pipe, "stream")
    observer.observe(run_started(1))
    observer.observe(started("lint", log=str(log)))
    pipe.until("first")

    os.kill(observer.pid, signal.SIGKILL)
    for number in range(2000):
        observer.observe(started(f"{number}", log=str(log)))
    observer.observe(run_finished(1))
    observer.close()

    assert observer.trouble == "the log is incomplete: the process that writes it was killed by SIGKILL"


@pytest.mark.slow
def test_not_even_a_stopped_terminal_keeps_it_after_a_supervisor_that_is_killed(
    terminal: Channel, tmp_path: Path
) -> None:
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from job_histories import *
from runner.render.process import open_observers
from runner.render.process_main import JobOutputOptions
[observer] = open_observers(stream=sys.stderr, jobs=JobOutputOptions({terminal.writing}, "stream"))
observer.observe(run_started(1))
observer.observe(started("lint", log={much(tmp_path / "lint.log")!r}))
print(observer.pid, flush=True)
time.sleep(60)
"""
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[terminal.writing],
    )
    assert supervisor.stdout is not None and supervisor.stderr is not None
    observer = int(supervisor.stdout.readline())
    watched = os.pidfd_open(observer)
    terminal.until("lint | ")  # and never again, so that it is soon held up in a write

    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    ended, _, _ = select.select([watched], [], [], 20)

    os.close(watched)
    supervisor.stdout.close()
    supervisor.stderr.close()
    assert ended


@pytest.mark.parametrize("colors", [True, False])
def test_colours_of_a_job_reach_a_terminal_that_wants_them(
    colors: bool, terminal: Channel, show: Show, tmp_path: Path
) -> None:
    log = tmp_path / "lint.log"
    log.write_bytes(b"\x1b[31mred\x1b[0m \x1b[2Jclear\n")
    observer = show(terminal, "group", colors=colors)
    for event in (
        run_started(1),
        started("lint", log=str(log)),
        finished("lint", log=str(log)),
        run_finished(),
    ):
        observer.observe(event)
    observer.close()

    shown = terminal.until("lint passed in 1.0s")
    assert (colors, False) == ("\x1b[31mred\x1b[0m clear" in shown, "\x1b[2J" in shown)


def test_a_terminal_that_is_stopped_is_shown_the_rest_when_it_goes_on(
    terminal: Channel, show: Show, tmp_path: Path
) -> None:
    log = tmp_path / "lint.log"
    log.write_bytes(b"first\n")
    observer = show(terminal, "stream")
    observer.observe(run_started(1))
    observer.observe(started("lint", log=str(log)))
    terminal.until("first")
    termios.tcflow(terminal.writing, termios.TCOOFF)  # as Ctrl-S does
    with log.open("ab") as file:
        file.write(b"second\n")
    began = time.monotonic()
    for number in range(1000):
        observer.observe(started(f"{number}", log=os.devnull))
    told = time.monotonic() - began
    termios.tcflow(terminal.writing, termios.TCOON)
    shown = terminal.until("second")
    observer.observe(run_finished(1))
    observer.close()

    assert told < AT_ONCE
    assert shown.index("first") < shown.index("second")
    assert observer.trouble is None
