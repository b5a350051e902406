"""Runs that are watched from other processes, which are killed and stopped at will."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from runner.events.base import Event
from runner.record.reader import RecordDamaged
from runner.store.discovery import running_folders
from runner.store.run_folder import RunFolder
from runner.store.run_socket import WATCH_SOCKET
from runner.watch.client import RunWatch, WatchSource, find_watchable
from runner.watch.hub import MOST_BYTES
from runner.watch.state import RunPhase

pytestmark = pytest.mark.slow

WORKFLOW = """
name: shop
stages:
  lister: {run: "shop:lister", to: pages}
  parser: {run: "shop:parse", from: pages, count: 2}
"""
HANDLERS = """
import time
from pathlib import Path
from typing import TypeVar

def lister():
    n = 0
    while not Path("enough").exists():
        yield n
        n += 1
        time.sleep(0.005)

def parse(n, worker):
    worker.log.info("parsed", n=n, filler="x" * (20_000 if Path("loud").exists() else 1))
"""
PATIENCE = 60.0
"""Seconds that no wait takes even on a busy machine."""


class Shop:
    """A run in a process of its own, which goes on until it has had enough."""

    def __init__(self, folder: Path, mprun: Path, env: dict[str, str]) -> None:
        self.folder, self.home = folder, folder / "home"
        (folder / "shop.yaml").write_text(WORKFLOW)
        (folder / "shop.py").write_text(HANDLERS)
        self._mprun, self._env = mprun, {**env, "MPRUN_HOME": str(self.home)}
        self.runner: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, stderr: int = subprocess.DEVNULL) -> RunWatch:
        """Run it, and watch it once it tells of itself."""
        arguments = [self._mprun, "run", "shop.yaml", *(options or ("-q",))]
        self.runner = subprocess.Popen(
            arguments, cwd=self.folder, env=self._env, stdin=subprocess.DEVNULL, stderr=stderr
        )
        return until(self.watch)

    def watch(self) -> RunWatch | None:
        """Watch it live; None as long as nobody tells of it."""
        for run_folder in running_folders(self.home):
            with contextlib.suppress(RecordDamaged):
                watch = RunWatch(run_folder)
                if watch.source is WatchSource.LIVE and watch.state.phase is RunPhase.RUNNING:
                    return watch
                watch.close()
        return None

    def end(self) -> int:
        """Let it come to its end; return its exit code."""
        (self.folder / "enough").touch()
        assert self.runner is not None
        return self.runner.wait(PATIENCE)

    def end_watched(self, *watches: RunWatch) -> None:
        """Let it come to its end, of which those hear who read."""
        (self.folder / "enough").touch()
        for each in watches:
            wait_for(each, lambda each=each: each.is_over)  # type: ignore[misc]
        assert self.end() == 0

    def kill(self) -> None:
        if self.runner is not None and self.runner.poll() is None:
            self.runner.kill()
            self.runner.wait()

    def teller(self) -> int:
        """Return the pid of the process that tells of it: the child of the runner that listens there."""
        assert self.runner is not None
        sockets = Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()
        inodes = {line.split()[6] for line in sockets if line.endswith(WATCH_SOCKET)}
        for child in Path(f"/proc/{self.runner.pid}/task/{self.runner.pid}/children").read_text().split():
            for descriptor in Path(f"/proc/{child}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()).removeprefix("socket:[").rstrip("]") in inodes:
                        return int(child)
        raise AssertionError("nobody listens")


@pytest.fixture
def shop(tmp_path: Path, mprun: Path, plain_env: dict[str, str]) -> Iterator[Shop]:
    made = Shop(tmp_path, mprun, plain_env)
    yield made
    made.kill()


T = TypeVar("T")


def until(look: Callable[[], T | None]) -> T:
    """Look until there is something."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came")


def wait_for(watch: RunWatch, condition: Callable[[], bool]) -> list[Event]:
    """Watch until something is so; return what has come."""
    events: list[Event] = []
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        events += watch.wait(0.5)
    return events


def descriptors(pid: int | str) -> set[str]:
    return {each.name for each in Path(f"/proc/{pid}/fd").iterdir()}


def parsed(watch: RunWatch) -> int:
    return watch.state.stages()[1].passed


def test_who_comes_late_sees_the_whole_past_and_then_the_same_as_who_came_early(shop: Shop) -> None:
    with shop.start() as early:
        wait_for(early, lambda: early.state.elapsed > 1.5)
        late = shop.watch()
        assert late is not None
        with late:
            series = late.state.series("stage/parser/done")
            assert series is not None
            assert (early.state.began, 4) <= (series.start, len(series.values))
            assert "run.started" == late.state.recent[0].kind

            shop.end_watched(early, late)
            assert late.state.report() == early.state.report()
            assert (RunPhase.ENDED, WatchSource.LIVE, "done") == (
                late.state.phase,
                late.source,
                late.state.outcome,
            )
            assert 0 < parsed(late) == late.state.report().stage("parser").done
    assert not (late.run_folder.path / WATCH_SOCKET).exists()


def test_many_watch_and_nothing_of_them_is_left(shop: Shop) -> None:
    before = descriptors("self")
    with contextlib.ExitStack() as all_:
        watches = [all_.enter_context(shop.start())]
        watches += [all_.enter_context(until(shop.watch)) for _ in range(39)]
        told = len(descriptors(shop.teller()))
        for each in watches[:20]:
            each.close()
        until(lambda: len(descriptors(shop.teller())) <= told - 20)

        shop.end_watched(*watches[20:])
        assert {"done"} == {each.state.outcome for each in watches[20:]}
    assert before == descriptors("self")


_WATCHER = """
import sys, time
from pathlib import Path
from runner.store.run_folder import RunFolder
from runner.watch.client import RunWatch

with RunWatch(RunFolder(sys.argv[1], Path(sys.argv[2]))) as watch:
    while not watch.is_over:
        watch.wait(1.0)
        print(watch.missed, watch.state.told, flush=True)
"""


@pytest.fixture
def stranger(shop: Shop) -> Iterator[Callable[[RunFolder], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(run_folder: RunFolder) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-c", _WATCHER, run_folder.run, str(run_folder.home)]
        started.append(subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True))
        assert started[0].stdout is not None
        started[0].stdout.readline()
        return started[0]

    yield start
    for each in started:
        each.kill()
        each.communicate()
    assert shop is not None


def test_a_watcher_that_is_stopped_holds_up_nobody_and_is_up_to_date_when_it_goes_on(
    shop: Shop, stranger: Callable[[RunFolder], subprocess.Popen[str]]
) -> None:
    with shop.start() as watch:
        stopped = stranger(watch.run_folder)
        stopped.send_signal(signal.SIGSTOP)
        (shop.folder / "loud").touch()
        told = 0
        deadline = time.monotonic() + PATIENCE
        while told < 3 * MOST_BYTES:  # more than waits for anybody
            assert time.monotonic() < deadline, "it never came"
            told += sum(len(event.line()) for event in watch.wait(0.5))
        (shop.folder / "loud").unlink()

        now = watch.state.told
        stopped.send_signal(signal.SIGCONT)
        assert stopped.stdout is not None
        words = stopped.stdout.fileno()
        os.set_blocking(words, False)
        heard: list[bytes] = [b""]

        def is_up_to_date() -> bool:
            with contextlib.suppress(BlockingIOError):
                heard[0] += os.read(words, 1 << 16)
            last = heard[0].split(b"\n")[-2:-1]
            return any(int(missed) > 0 and float(at) >= now for missed, at in map(bytes.split, last))

        until(is_up_to_date)
        assert 0 == shop.end()


def test_a_watcher_that_is_killed_is_missed_by_nobody(
    shop: Shop, stranger: Callable[[RunFolder], subprocess.Popen[str]]
) -> None:
    with shop.start() as watch:
        killed = stranger(watch.run_folder)
        killed.kill()
        killed.wait()
        before = parsed(watch)
        wait_for(watch, lambda: parsed(watch) > before + 20)
        shop.end_watched(watch)
        assert WatchSource.LIVE is watch.source


def test_a_runner_that_is_killed_is_known_to_be_at_once(shop: Shop) -> None:
    with shop.start() as watch:
        wait_for(watch, lambda: parsed(watch) > 20)
        assert shop.runner is not None
        shop.runner.kill()
        began = time.monotonic()
        wait_for(watch, lambda: watch.is_over)

        assert time.monotonic() - began < PATIENCE / 2
        assert (RunPhase.KILLED, None) == (watch.state.phase, watch.state.outcome)
        assert watch.state.report().stage("parser").done > 0
    shop.runner.wait()

    killed = RunWatch(find_watchable("shop", shop.home))  # it has left its socket, at which nobody is
    assert (RunPhase.KILLED, WatchSource.RECORD, "") == (killed.state.phase, killed.source, killed.trouble)
    assert (killed.run_folder.path / WATCH_SOCKET).exists()
    with shop.start():  # and the next run of the same file takes it away
        assert not (killed.run_folder.path / WATCH_SOCKET).exists()
        assert 0 == shop.end()


def test_where_the_process_is_killed_that_tells_of_a_run_its_record_is_read(shop: Shop) -> None:
    with shop.start() as watch:
        wait_for(watch, lambda: parsed(watch) > 20)
        os.kill(shop.teller(), signal.SIGKILL)
        wait_for(watch, lambda: watch.source is WatchSource.RECORD)
        assert ("the process that tells of it is gone", RunPhase.RUNNING) == (
            watch.trouble,
            watch.state.phase,
        )

        before = parsed(watch)
        wait_for(watch, lambda: parsed(watch) > before)
        assert None is shop.watch()
        shop.end()
        wait_for(watch, lambda: watch.is_over)
        assert RunPhase.ENDED is watch.state.phase


def test_a_screen_that_is_stopped_holds_up_nobody_who_watches(shop: Shop) -> None:
    reading, writing = os.pipe()
    with shop.start("--log", "json", stderr=writing) as watch:
        os.close(writing)
        (shop.folder / "loud").touch()
        wait_for(watch, lambda: parsed(watch) > 100)  # 2 MB, and a pipe takes 64 KiB
        (shop.folder / "loud").unlink()
        before = parsed(watch)
        wait_for(watch, lambda: parsed(watch) > before + 100)

        (shop.folder / "enough").touch()
        wait_for(watch, lambda: watch.is_over)
        assert "done" == watch.state.outcome
        with os.fdopen(reading, "rb") as log:
            lines = log.read().splitlines()
    assert b'"run.finished"' in lines[-1]
    assert 0 == shop.end()


JOBS = """
name: ci
jobs:
  build: {steps: ["echo built"]}
  test: {needs: build, steps: ["while [ ! -e enough ]; do sleep 0.05; done"]}
"""


def test_jobs_are_watched_too(shop: Shop) -> None:
    (shop.folder / "shop.yaml").write_text(JOBS)
    with shop.start("-q") as watch:
        wait_for(watch, lambda: any(job.step and job.name == "test" for job in watch.state.jobs()))
        build, test = watch.state.jobs()
        assert ("build", "passed", "test", "running", ("build",)) == (
            build.name,
            build.state,
            test.name,
            test.state,
            test.needs,
        )
        shop.end_watched(watch)
        assert ["passed", "passed"] == [job.state for job in watch.state.jobs()]
