"""The observer process, for real: what reaches the log, and that no trouble of its reaches the work."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import jsonschema
import pytest

from runner.events.base import Event
from runner.events.catalogue import event_schema
from runner.events.run import ItemDropped, RunFinished, RunProgress, RunStarted
from runner.ipc.line_sender import MOST_LINES
from runner.render.process import ObserverProcess, open_observers

AT_ONCE = 2.0
"""Seconds that no bounded step takes even on a busy machine; a blocked one takes for ever."""


def dropped(count: int = 1, reason: str = "why") -> Event:
    return ItemDropped(queue="steamer", count=count, reason=reason).stamped(1.0, "r1")


def snapshot(elapsed: float = 1.0) -> Event:
    return RunProgress(elapsed=elapsed, stages=[], queues=[]).stamped(1.0, "r1")


FINISHED = RunFinished(outcome="done", exitcode=0, reason=None, seconds=1.0, queues=[]).stamped(2.0, "r1")


class Pipe:
    """A pipe with a stream to write to; `lines()` reads what is in it until its writers are gone."""

    def __init__(self) -> None:
        self.reading, writing = os.pipe()
        self.stream: TextIO = os.fdopen(writing, "w")

    def lines(self) -> list[dict[str, Any]]:
        self.stream.close()
        with os.fdopen(self.reading, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def close(self) -> None:
        self.stream.close()
        try:
            os.close(self.reading)
        except OSError:
            return  # read to its end already


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, TextIO]]:
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with os.fdopen(theirs, "w") as stream:
        yield ours, stream
    os.close(ours)


def start(pipe: Pipe, events_file: Path | None = None, **options: Any) -> ObserverProcess:
    [observer] = open_observers(stream=pipe.stream, log=options.pop("log", "json"), **options)
    if events_file is not None:
        observer.write_events_to(events_file)
    return observer


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def read_until(fd: int, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        ready, _, _ = select.select([fd], [], [], 20)
        assert ready, f"waited for {wanted!r} and got {seen!r}"
        seen += os.read(fd, 65536)
    return seen


@pytest.mark.slow
def test_a_pipe_gets_each_event_as_a_json_line_in_order(pipe: Pipe) -> None:
    observer = start(pipe)

    for number in range(300):
        observer.observe(dropped(number, reason="没有理由"))
    observer.observe(FINISHED)
    observer.close()

    lines = pipe.lines()
    validator = jsonschema.Draft202012Validator(event_schema())
    assert [line.get("count") for line in lines] == [*range(300), None]
    assert all(validator.is_valid(line) for line in lines)
    assert observer.trouble is None
    assert is_gone(observer.pid)


def test_the_file_of_events_gets_what_the_log_gets_whatever_the_level(pipe: Pipe, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    observer = start(pipe, level="error", events_file=path)

    for event in (dropped(), snapshot(100.0), FINISHED):
        observer.observe(event)
    observer.close()

    assert [json.loads(line)["event"] for line in path.read_bytes().splitlines()] == [
        "item.dropped",
        "run.progress",
        "run.finished",
    ]
    assert pipe.lines() == []


def test_a_file_that_cannot_be_opened_is_known_before_anything_starts(pipe: Pipe, tmp_path: Path) -> None:
    observer = start(pipe)

    with pytest.raises(FileNotFoundError):
        observer.write_events_to(tmp_path / "missing" / "events.jsonl")
    observer.abandon()


def test_a_run_that_is_refused_leaves_no_word_and_no_process(pipe: Pipe) -> None:
    observer = start(pipe)

    observer.abandon()

    assert pipe.lines() == []
    assert is_gone(observer.pid)


def test_it_goes_in_peace_when_it_is_closed_without_a_word(pipe: Pipe) -> None:
    observer = start(pipe)

    observer.close()

    assert pipe.lines() == []
    assert observer.trouble is None


def test_it_does_not_wait_for_asyncio_to_be_imported() -> None:
    script = """
import sys
from runner.render.process_main import RenderOptions, _import_ahead
_import_ahead(RenderOptions(stream_fd=2))
print("asyncio.events" in sys.modules, sys.modules["asyncio"].get_running_loop.__name__)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "False get_running_loop\n" == done.stdout


def test_a_full_disk_is_told_at_the_end_and_the_log_goes_on(pipe: Pipe) -> None:
    observer = start(pipe, events_file=Path("/dev/full"))

    observer.observe(dropped())
    observer.observe(FINISHED)
    observer.close()

    assert observer.trouble == "the file of events is incomplete: No space left on device"
    assert [line["event"] for line in pipe.lines()] == ["item.dropped", "run.finished"]


def test_a_reader_that_goes_away_stops_the_log_and_nothing_else(pipe: Pipe, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    observer = start(pipe, events_file=path)
    os.close(pipe.reading)

    for number in range(500):
        observer.observe(dropped(number))
    observer.close()

    assert observer.trouble is None
    assert len(path.read_bytes().splitlines()) == 500


@pytest.mark.slow
def test_a_reader_that_does_not_read_never_holds_up_the_work_and_learns_what_it_missed(pipe: Pipe) -> None:
    observer = start(pipe)
    total = 3 * MOST_LINES
    began = time.monotonic()
    for number in range(total):
        observer.observe(dropped(number, reason="x" * 300))
    observer.observe(FINISHED)
    took = time.monotonic() - began
    lines: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: lines.extend(pipe.lines()))
    reader.start()

    observer.close(timeout=60)
    reader.join()

    missing = sum(line["count"] for line in lines if line["event"] == "events.dropped")
    shown = [line["count"] for line in lines if line["event"] == "item.dropped"]
    assert took < AT_ONCE * 5
    assert missing > 0
    assert len(shown) + missing == total
    assert shown == sorted(shown)
    assert lines[-1]["event"] == "run.finished"


def test_progress_is_the_first_to_go_and_nobody_misses_it(pipe: Pipe) -> None:
    observer = start(pipe)
    os.kill(observer.pid, signal.SIGSTOP)
    os.waitpid(observer.pid, os.WUNTRACED)  # it reads nothing from here on: what waits goes on waiting
    while not observer.backlogged:
        observer.observe(dropped(reason="x" * 3000))
    for elapsed in range(100, 200, 10):
        observer.observe(snapshot(float(elapsed)))
    os.kill(observer.pid, signal.SIGCONT)
    lines: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: lines.extend(pipe.lines()))
    reader.start()

    observer.close(timeout=60)
    reader.join()

    assert {line["event"] for line in lines} == {"item.dropped"}


def test_the_end_waits_for_a_stopped_reader_only_so_long(pipe: Pipe) -> None:
    observer = start(pipe)
    while not observer.backlogged:
        observer.observe(dropped(reason="x" * 3000))
    began = time.monotonic()

    observer.close(timeout=0.2)

    assert time.monotonic() - began < AT_ONCE
    assert observer.trouble == "the log is incomplete: the process that writes it was killed by SIGKILL"
    assert is_gone(observer.pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.quick("2")
def test_a_signal_ends_the_wait_for_a_stopped_reader_and_nothing_else(
    number: signal.Signals, pipe: Pipe
) -> None:
    observer = start(pipe)
    while not observer.backlogged:
        observer.observe(dropped(reason="x" * 3000))
    timer = threading.Timer(0.2, os.kill, (os.getpid(), number))
    began = time.monotonic()

    timer.start()
    observer.close(timeout=60)
    timer.join()

    assert time.monotonic() - began < AT_ONCE
    assert is_gone(observer.pid)


def test_when_its_process_is_killed_the_observer_shrugs_and_says_so_at_the_end(pipe: Pipe) -> None:
    observer = start(pipe)
    os.kill(observer.pid, signal.SIGKILL)

    for number in range(2000):
        observer.observe(dropped(number))
    observer.flush_nowait()
    observer.close()

    assert not observer.backlogged
    assert observer.trouble == "the log is incomplete: the process that writes it was killed by SIGKILL"


def test_an_interrupt_is_not_for_the_observer_process(pipe: Pipe) -> None:
    observer = start(pipe)
    observer.observe(dropped(1))
    read_until(pipe.reading, b"\n")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(observer.pid, number)
    observer.observe(dropped(2))
    session = os.getsid(observer.pid)
    observer.close()

    assert session == observer.pid
    assert observer.trouble is None
    assert [line["count"] for line in pipe.lines()] == [2]


def test_it_holds_nothing_that_somebody_else_waits_for(pipe: Pipe) -> None:
    """A descriptor that the fork copied would keep the other end of a pipe waiting for ever."""
    reading, writing = os.pipe()
    observer = start(pipe)
    os.close(writing)
    observer.observe(dropped())
    read_until(pipe.reading, b"\n")

    ready, _, _ = select.select([reading], [], [], 20)
    rest = os.read(reading, 1)
    os.close(reading)
    observer.close()

    assert ready
    assert rest == b""


@pytest.mark.slow
def test_it_ends_with_the_supervisor_even_where_a_worker_holds_a_copy_of_its_channel() -> None:
    script = """
import os, sys, time
from runner.render.process import open_observers
[observer] = open_observers(stream=sys.stderr, log="json")
worker = os.fork()
if worker == 0:
    time.sleep(60)
print(observer.pid, worker, flush=True)
time.sleep(60)
"""
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert supervisor.stdout is not None
    observer, worker = map(int, supervisor.stdout.readline().split())
    watched = os.pidfd_open(observer)

    supervisor.kill()
    supervisor.wait()
    ended, _, _ = select.select([watched], [], [], 20)

    os.kill(worker, signal.SIGKILL)
    os.close(watched)
    supervisor.stdout.close()
    assert ended


def test_a_terminal_gets_text_and_a_live_view_and_its_rows_back(terminal: tuple[int, TextIO]) -> None:
    ours, stream = terminal
    [observer] = open_observers(stream=stream)

    started = RunStarted(
        workflow="baozi", file="baozi.yaml", transport="leased", pid=1, stages=[], queues=[]
    ).stamped(1.0, "r1")
    observer.observe(started)
    observer.observe(snapshot())
    observer.close()

    shown = read_until(ours, b" " * 80 + b"\r")
    assert b"run.started" in shown
    assert b"\x1b[1;23r" in shown
    assert b"\x1b7\x1b[r\x1b8" in shown.partition(b"\x1b[1;23r")[2]
    assert observer.trouble is None


def test_a_terminal_gets_its_rows_back_even_when_the_process_is_killed(terminal: tuple[int, TextIO]) -> None:
    ours, stream = terminal
    [observer] = open_observers(stream=stream, log="json", progress=True)
    observer.observe(snapshot())
    read_until(ours, b"\x1b[1;23r")

    os.kill(observer.pid, signal.SIGKILL)
    observer.close()

    assert b"\x1b7\x1b[r\x1b8\x1b[J" in read_until(ours, b"\x1b[J")


@pytest.mark.parametrize(
    ("variable", "value", "colours", "view"),
    [("NO_COLOR", "1", False, True), ("NO_COLOR", "", True, True), ("TERM", "dumb", False, False)],
)
def test_the_terminal_says_what_it_can_show(
    terminal: tuple[int, TextIO],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    colours: bool,
    view: bool,
) -> None:
    ours, stream = terminal
    monkeypatch.setenv(variable, value)
    [observer] = open_observers(stream=stream)

    observer.observe(snapshot())
    observer.observe(dropped(reason="last"))
    observer.close()

    shown = read_until(ours, b"last")
    assert (b"\x1b[1;33m" in shown) is colours
    assert (b"\x1b[1;23r" in shown) is view


@pytest.mark.startup
def test_a_supervisor_that_imports_this_imports_nothing_slow() -> None:
    slow = {"structlog", "rich", "jsonschema", "asyncio", "logging", "multiprocessing"}
    script = f"import sys, runner.render.process, runner.events.report; print(*sorted({slow!r} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "\n"
