"""Runs a test, in a process of its own: what it prints is kept, what hangs is ended, a killed runner has a successor.

    mprun test ── fork ──► runner of the test ── fork ──► its workers
        │ waits, to a bound       │ stdout, stderr ──► said
        └◄── result.json ─────────┘ failures.jsonl, outputs, marks of faults

The folder of a test is where its handlers work, and where its record is. It is gone with the test.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Any

from runner.composition import run
from runner.errors import MprunError
from runner.events.base import Event
from runner.events.run import ItemDeadLettered, ItemFailed
from runner.facts import dataclass
from runner.file_tests.scenario import OutputSpec, Scenario
from runner.handlers.doubles import collected
from runner.process.child import die_with_parent
from runner.record.recorder import NO_RECORD, open_recorder
from runner.record.resumption import TakenRun, take_up
from runner.spec.failures import OnError
from runner.store.run_folder import HOME, RunFolder

_GRACE = 10.0
"""Seconds that a runner may take beyond the timeout of its test, in which it ends what hangs by itself."""
_MOST_FAILURES = 10_000
_RESULT, _FAILURES, _SAID, _WORK, _HOME = "result.json", "failures.jsonl", "said.txt", "work", "home"
_PREFIX = "mprun-test-"
_COUNTS = ("put", "done", "dropped", "dead_lettered")


@dataclass(frozen=True, slots=True)
class FailedInTest:
    """An item that failed for good."""

    stage: str
    item: str
    """Its repr, on one line and cut where it is long."""
    error: str


@dataclass(frozen=True, slots=True)
class Observed:
    """What came of a test."""

    seconds: float
    exit: int | None = None
    """None where there was no end: it was killed, or hung."""
    reason: str | None = None
    outputs: dict[str, list[Any]] = field(default_factory=dict)
    failures: tuple[FailedInTest, ...] = ()
    ledger: dict[str, dict[str, int]] = field(default_factory=dict)
    unreached: tuple[int, ...] = ()
    """Faults that never struck, by their numbers."""
    said: str = ""
    """What its handlers printed."""


@contextlib.contextmanager
def folder_for_test() -> Iterator[Path]:
    """Make a folder for one test, and take it away after it; and those of whoever was killed before."""
    _remove_left_behind()
    path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    try:
        (path / _WORK).mkdir()
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _remove_left_behind() -> None:
    """Take away the folders of tests whose `mprun test` is gone, as after SIGKILL; those of others stay."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            is_ours = path.lstat().st_uid == os.getuid() and not path.is_symlink()
            if pid.isdecimal() and is_ours and not Path("/proc", pid).exists():
                shutil.rmtree(path, ignore_errors=True)


def execute(scenario: Scenario) -> Observed:
    """Run a test to its end, which its timeout bounds. Whatever it started is gone when this returns, or raises."""
    _copy_files(scenario)
    began = time.monotonic()
    deadline = began + scenario.test.timeout + _GRACE
    for life in range(scenario.restarts + 1):
        code = _wait(_fork(scenario, life), deadline)
        if code == 0 or not _was_struck(scenario, life):
            break
    return _observed(scenario, time.monotonic() - began)


def _copy_files(scenario: Scenario) -> None:
    """Put what the test's handlers are to find where they work."""
    beside = scenario.plan.path.parent
    for name in scenario.test.files:
        source, target = beside / name, scenario.folder / _WORK / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)


def _was_struck(scenario: Scenario, life: int) -> bool:
    """Say whether the end of a runner was asked for by the test, so that another goes on."""
    marks = [
        mark
        for mark, fault in zip(scenario.marks, scenario.test.faults, strict=True)
        if fault.kind == "restart"
    ]
    struck = sum(len([*scenario.folder.glob(f"{Path(mark).name}*")]) for mark in marks)
    return struck > life and not (scenario.folder / _RESULT).exists()


def _fork(scenario: Scenario, life: int) -> int:
    gc.freeze()  # what the child collects would be copied first
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        die_with_parent(parent)
        _live(scenario, life)
        os._exit(0)
    finally:
        os._exit(70)


def _wait(pid: int, deadline: float) -> int:
    """Wait for a runner, and end one that is late, or whose test is given up. Its watchdog ends what it started."""
    try:
        descriptor = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            while not poll.poll(100):
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
        finally:
            os.close(descriptor)
        _, status = os.waitpid(pid, 0)
    except BaseException:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        raise
    return os.waitstatus_to_exitcode(status)


# ── in the runner's own process ──


def _live(scenario: Scenario, life: int) -> None:
    """Be one of the runners of a test."""
    os.setsid()  # Ctrl-C is for who started the test, and ends it as a whole
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _keep_what_is_said(scenario.folder / _SAID)
    os.environ[HOME] = str(scenario.folder / _HOME)
    os.chdir(scenario.folder / _WORK)
    watcher = _Watcher(scenario.folder / _FAILURES, life)
    recorder = open_recorder() if scenario.restarts else NO_RECORD
    try:
        report = run(scenario.plan, [watcher], recorder=recorder, resumed=_taken(scenario) if life else None)
        queues = {queue.name: {key: getattr(queue, key) for key in _COUNTS} for queue in report.queues}
        result: dict[str, Any] = {"exit": report.exit_code, "reason": report.reason, "ledger": queues}
    except MprunError as error:
        result = {"exit": int(error.exit_code), "reason": str(error), "ledger": {}}
    finally:
        recorder.finish()
    (scenario.folder / _RESULT).write_text(json.dumps(result))


def _taken(scenario: Scenario) -> TakenRun | None:
    """Take up the run whose runner was killed; None where nothing of it was kept, so that another begins."""
    home = scenario.folder / _HOME
    folders = [*(home / "runs").iterdir()] if (home / "runs").is_dir() else []
    if not folders:
        return None
    return take_up(RunFolder(folders[0].name, home))


def _keep_what_is_said(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


class _Watcher:
    """Keeps each item that failed for good, so that who goes on with the run need not know."""

    def __init__(self, path: Path, life: int) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._life = life
        self._left = _MOST_FAILURES
        self._failed: set[tuple[str, str]] = set()

    def observe(self, event: Event) -> None:
        """Take note of a failure."""
        match event:
            case ItemFailed() if event.action is not OnError.ROUTE:
                self._failed.add((event.stage, event.item))
                self._keep(event)
            case ItemDeadLettered() if (event.stage, event.item) not in self._failed:
                self._keep(event)  # its workers died with it in hand

    def _keep(self, event: ItemFailed | ItemDeadLettered) -> None:
        if self._left:
            self._left -= 1
            told = {"stage": event.stage, "item": event.item, "error": event.error, "life": self._life}
            self._file.write(json.dumps(told) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()


# ── what came of it ──


def _observed(scenario: Scenario, seconds: float) -> Observed:
    folder = scenario.folder
    said = _text(folder / _SAID)
    unreached = tuple(
        n for n, mark in enumerate(scenario.marks) if not any(folder.glob(f"{Path(mark).name}*"))
    )
    if not (folder / _RESULT).exists():
        return Observed(seconds, unreached=unreached, said=said, failures=_failures(folder))
    result = json.loads((folder / _RESULT).read_text())
    return Observed(
        seconds,
        exit=result["exit"],
        reason=result["reason"],
        outputs={each.name: _outputs_in(each, result["ledger"]) for each in scenario.outputs},
        failures=_failures(folder),
        ledger=result["ledger"],
        unreached=unreached,
        said=said,
    )


def _outputs_in(output: OutputSpec, ledger: dict[str, dict[str, int]]) -> list[Any]:
    text = _text(output.path)
    # The last line of a worker that was killed may be half a line.
    lines = text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]
    return collected(lines, ledger.get(output.queue, {}).get("put", 0))


def _failures(folder: Path) -> tuple[FailedInTest, ...]:
    """Return the items that failed; of those that failed under two runners, as they were handed out again, one."""
    lives: dict[int, list[FailedInTest]] = {}
    for line in _text(folder / _FAILURES).splitlines():
        told = json.loads(line)
        lives.setdefault(told["life"], []).append(FailedInTest(told["stage"], told["item"], told["error"]))
    found: list[FailedInTest] = []
    for failures in lives.values():
        again = [*found]
        for each in failures:
            if each in again:
                again.remove(each)
            else:
                found.append(each)
    return tuple(found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
