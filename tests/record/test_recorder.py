"""The recorder's process: it never holds up its run, and whatever becomes of it is told once."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from record_homes import recorded

from runner.events.run import WorkerLogged
from runner.jobs.resumption import JobNote
from runner.record import recorder as recorder_module
from runner.record.history import runs_in
from runner.record.reader import RunView
from runner.record.recorder import Recorder, open_recorder
from runner.store.run_folder import RunFacts, RunFolder
from runner.store.run_lock import is_held

DAY = 86400.0
REPORT = {"outcome": "done", "exit_code": 0, "reason": None, "stages": [], "queues": []}


def said(number: int) -> WorkerLogged:
    event = WorkerLogged(worker="neo", stage="chef", pid=1, message="x" * 100, fields={"number": number})
    return event.stamped(time.time(), "abcd")


@pytest.fixture
def run_folder(tmp_path: Path) -> RunFolder:
    run_folder = RunFolder("abcd", tmp_path)
    run_folder.write_facts(RunFacts("abcd", "baozi", "baozi.yaml", os.getpid(), time.time()))
    return run_folder


@pytest.fixture
def recorder(run_folder: RunFolder) -> Iterator[Recorder]:
    recorder = Recorder()
    facts = {
        "workflow": "baozi",
        "file": "baozi.yaml",
        "pid": os.getpid(),
        "at": time.time(),
        "text": "name: baozi",
    }
    recorder.begin(run_folder.path, lambda: (facts, None))
    yield recorder
    recorder.finish()


def end(recorder: Recorder) -> None:
    recorder.note_end(REPORT)
    recorder.close()
    recorder.finish()


def facts(run_folder: RunFolder) -> dict[str, Any]:
    with RunView(run_folder.path) as view:
        return view.facts()


def test_the_run_is_held_from_its_beginning_until_all_of_it_is_written(
    run_folder: RunFolder, recorder: Recorder
) -> None:
    recorder.observe(said(1))
    recorder.note_end(REPORT)
    recorder.close()
    before = is_held(run_folder.path)
    recorder.finish()

    assert (True, False, None) == (before, is_held(run_folder.path), recorder.trouble)
    assert ["done"] == [run.outcome for run in runs_in(run_folder.home)]
    assert "name: baozi" == facts(run_folder)["text"]


def test_what_comes_too_fast_for_it_is_counted_and_the_run_goes_on(
    run_folder: RunFolder, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MOST_BYTES", 100_000)
    os.kill(recorder.pid, signal.SIGSTOP)
    for number in range(5000):
        recorder.observe(said(number))
    os.kill(recorder.pid, signal.SIGCONT)
    end(recorder)

    (run,) = runs_in(run_folder.home)
    missing = facts(run_folder)["missing"]
    assert 0 < missing < 5000
    assert f"the record of the run is incomplete: {missing:,} events came too fast for it" == recorder.trouble
    assert ("done", f"{missing:,} events came too fast for the record") == (run.outcome, run.trouble)


def test_one_that_hangs_is_ended_and_the_run_shows_what_it_came_to(
    run_folder: RunFolder, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "CLOSE_TIMEOUT", 0.2)
    recorder.observe(said(1))
    os.kill(recorder.pid, signal.SIGSTOP)
    end(recorder)

    (run,) = runs_in(run_folder.home)
    why = "the record of the run is incomplete: the process that keeps it was killed by SIGKILL"
    assert (why, None) == (recorder.trouble, is_held(run_folder.path))
    assert ("done", 0) == (run.outcome, run.exit_code)
    assert why == f"the record of the run is incomplete: {run.trouble}"


def test_where_its_process_dies_the_last_numbers_stand_beside_the_record(
    run_folder: RunFolder, recorder: Recorder
) -> None:
    recorder.observe(said(1))
    deadline = time.monotonic() + 30
    while not (run_folder.path / "run.db").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    while not runs_in(run_folder.home)[0].incarnations and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(recorder.pid, signal.SIGKILL)
    stage = {"name": "eater", "receives": "buns", "sends": None, "done": 7, "failed": 2}
    recorder.note_end({**REPORT, "stages": [stage]})
    recorder.close()
    recorder.finish()

    (run,) = runs_in(run_folder.home)
    assert ("done", 7, 2) == (run.outcome, run.done, run.failed)
    assert run.broke_off is not None and run.ended is not None and run.began <= run.broke_off <= run.ended


def test_without_locks_a_run_lives_as_long_as_its_process(
    run_folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr("runner.store.run_lock.fcntl.flock", refuse)
    recorder = Recorder()
    begun = {"workflow": "baozi", "file": "baozi.yaml", "pid": os.getpid(), "at": time.time()}
    recorder.begin(run_folder.path, lambda: (begun, None))
    recorder.observe(said(1))
    deadline = time.monotonic() + 30
    while not (found := runs_in(run_folder.home)) and time.monotonic() < deadline:
        time.sleep(0.01)
    living = [run.outcome for run in found]
    end(recorder)

    assert (["running"], ["done"]) == (living, [run.outcome for run in runs_in(run_folder.home)])


def test_a_run_that_never_began_leaves_no_record(run_folder: RunFolder, recorder: Recorder) -> None:
    end(recorder)
    run_folder.remove_if_empty()

    assert (None, False) == (recorder.trouble, run_folder.path.exists())


@pytest.mark.parametrize(("days", "expected"), [(0.5, ["abcd", "old"]), (1.5, ["abcd"])])
def test_once_a_day_the_end_of_a_run_removes_old_records(
    run_folder: RunFolder, recorder: Recorder, days: float, expected: list[str]
) -> None:
    recorded(run_folder.home, "old", at=time.time() - 90 * DAY)
    stamp = run_folder.home / "pruned"
    stamp.touch()
    os.utime(stamp, (time.time() - days * DAY,) * 2)
    recorder.observe(said(1))
    end(recorder)

    assert expected == sorted(run.id for run in runs_in(run_folder.home))
    assert (days > 1) == (time.time() - stamp.stat().st_mtime < 0.4 * DAY)


def test_a_line_that_holds_what_is_no_text_is_kept_all_the_same(
    run_folder: RunFolder, recorder: Recorder
) -> None:
    event = WorkerLogged(worker="neo", stage="包子", pid=1, message="\udcff \ud800", fields={})
    recorder.observe(event.stamped(time.time(), "abcd"))
    end(recorder)

    with RunView(run_folder.path) as view:
        (stored,) = view.events()
    assert (None, "包子", "\udcff \ud800") == (recorder.trouble, stored.stage, stored.fields["message"])


def test_series_are_there_to_be_read(run_folder: RunFolder, recorder: Recorder) -> None:
    from runner.events.run import RunProgress

    for number in range(3):
        stage: Any = {
            "name": "chef",
            "received": 0,
            "sent": number,
            "done": 0,
            "failed": 0,
            "busy": 0.0,
            "alive": 1,
        }
        event = RunProgress(elapsed=float(number), stages=[stage], queues=[])
        recorder.observe(event.stamped(1000.0 + number, "abcd"))
    end(recorder)

    with RunView(run_folder.path) as view:
        series, none = view.series("stage/chef/sent"), view.series("stage/nobody/sent")
        of_all = view.all_series()
    assert series is not None and of_all["stage/chef/sent"].values == series.values
    assert none is None and len(of_all) == 6
    assert (0, 0, 0, 0, 1, 1, 1, 1, 2) == series.values
    assert {"elapsed": 2.0} == {"elapsed": json.loads(json.dumps(facts(run_folder)["progress"]))["elapsed"]}


def test_what_a_job_hands_on_is_kept_unless_a_secret_is_in_it(run_folder: RunFolder) -> None:
    recorder = Recorder()
    about = {"workflow": "ci", "file": "ci.yaml", "pid": os.getpid(), "at": time.time(), "text": ""}
    recorder.begin(run_folder.path, lambda: (about, lambda value: _without(value, "hunter2")))
    recorder.observe(said(1))

    recorder.note_job(JobNote("open", {"steps": "1"}, lost=2))
    recorder.note_job(JobNote("open", {"steps": "1"}, outputs={"v": "x"}))
    recorder.note_job(JobNote("closed", {"steps": "2"}, outputs={"v": "a hunter2"}))
    end(recorder)
    recorder.finish()

    with RunView(run_folder.path) as view:
        told = {job["id"]: (job["outputs"], job["key"], job["lost"]) for job in view.jobs()}
    assert {"open": ({"v": "x"}, {"steps": "1"}, 2), "closed": (None, {"steps": "2"}, 0)} == told
    assert not any(b"hunter2" in file.read_bytes() for file in run_folder.path.glob("run.db*"))


def _without(value: Any, secret: str) -> Any:
    return json.loads(json.dumps(value).replace(secret, "***"))


def test_where_there_can_be_no_process_the_run_goes_on_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)

    recorder = open_recorder()

    assert "no record of the run is kept: Resource temporarily unavailable" == recorder.trouble


def test_where_nothing_can_be_told_of_the_run_it_goes_on_and_that_is_said(run_folder: RunFolder) -> None:
    def fail() -> Any:
        raise RuntimeError("no idea")

    recorder = Recorder()
    recorder.begin(run_folder.path, fail)
    recorder.observe(said(1))
    end(recorder)

    assert "no record of the run is kept: RuntimeError: no idea" == recorder.trouble
    assert [] == runs_in(run_folder.home)


@pytest.mark.startup
def test_its_process_imports_little_beside_sqlite() -> None:
    """It does so beside a run that may be over sooner; what comes before its fork the command needs itself."""
    program = (
        "import sys, runner.cli.run, runner.record.recorder, runner.render.process, json; before = set(sys.modules)\n"
        "import runner.record.recorder_main, runner.record.writer; print(*sorted(set(sys.modules) - before))"
    )
    started = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    imported = {
        name.partition(".")[0] for name in started.stdout.split() if not name.startswith("runner.record.")
    }
    assert imported <= {
        "sqlite3",
        "_sqlite3",
        "hashlib",
        "_hashlib",
        "_blake2",
        "zlib",
        "array",
        "socket",
        "_socket",
    }
