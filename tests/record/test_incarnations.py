"""A run whose runner was killed is gone on with in the same record: counts, curves and jobs go on."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kept_cuts import keep_cut
from record_homes import recorded

from runner.errors import ResumeRefused
from runner.events.run import WorkerLogged
from runner.record.failures import MOST_SAMPLES
from runner.record.fold import RunFold
from runner.record.history import runs_in
from runner.record.reader import RecordDamaged, RunView
from runner.record.recorder import Recorder
from runner.record.resumption import take_up
from runner.record.schema import DATABASE, create
from runner.record.writer import RunWriter
from runner.store.run_folder import RunFolder
from runner.store.run_lock import RunLock, is_held, read_ended, write_ended
from runner.transports.cut import Cut

REPORT = {"outcome": "failed", "exit_code": 1, "reason": "it fell", "stages": [], "queues": []}


def begun(incarnation: int, **more: Any) -> dict[str, Any]:
    return {"workflow": "baozi", "file": "b.yaml", "pid": os.getpid(), "at": 100.0 * incarnation, **more}


def failed(number: int) -> dict[str, Any]:
    return {"worker": "w", "stage": "shop", "item": str(number), "error": f"ValueError: no {number}"}


def progress(done: int) -> dict[str, Any]:
    stage = {"name": "eater", "received": done, "sent": 0, "done": done, "failed": 0, "busy": 0.1, "alive": 2}
    return {"elapsed": 1.0, "stages": [stage], "queues": []}


@pytest.fixture
def killed(tmp_path: Path) -> RunFolder:
    return recorded(tmp_path, "abcd", outcome=None, over=False)


def test_what_was_counted_goes_on_where_it_was(tmp_path: Path) -> None:
    lives = 3
    for n in range(1, lives + 1):
        writer = RunWriter(tmp_path, begun(n, text=f"text {n}"), incarnation=n)
        fold = RunFold() if n == 1 else writer.last_fold()
        for number in range(80):
            fold.take("item.failed", 100.0 * n + number / 10, "error", failed(number))
        fold.take("item.retried", 100.0 * n, "warning", failed(0))
        fold.take("run.progress", 100.0 * n + 5, "debug", progress(n))
        fold.take("job.started", 100.0 * n, "info", {"job": "test", "attempt": n})
        writer.commit(fold, 0.0, last=True)
        writer.close()

    with RunView(tmp_path) as view:
        (kind,) = view.kinds()
        failures, retries = list(view.events("item.failed")), list(view.events("item.retried"))
        series, facts, jobs = view.series("stage/eater/done"), view.facts(), view.jobs()
        incarnations = view.incarnations()
    assert (80 * lives, MOST_SAMPLES, 100.0) == (kind["n"], len(kind["samples"]), kind["first"])
    assert (MOST_SAMPLES, lives) == (len(failures), len(retries))
    assert series is not None and (100.0, 1.0, 3.0) == (series.start, series.values[0], series.values[-1])
    assert len(series.values) > 1 and ("test", 3, 300.0) == (
        jobs[0]["id"],
        jobs[0]["attempts"],
        jobs[0]["began"],
    )
    assert (100.0, f"text {lives}") == (facts["at"], facts["text"])
    assert [(n, 100.0 * n) for n in range(1, lives + 1)] == [(life.n, life.began) for life in incarnations]


def test_time_between_incarnations_is_none_that_it_took(tmp_path: Path) -> None:
    run_folder = RunFolder("abcd", tmp_path)
    RunLock(run_folder.make()).release()
    for n, last_word in enumerate((110.0, 230.0), start=1):
        writer = RunWriter(run_folder.path, begun(n), incarnation=n)
        fold = RunFold()
        fold.take("worker.ready", last_word, "debug", {"worker": "neo", "stage": "s"})
        writer.commit(fold, 0.0)
        if n == 2:
            writer.end({"at": 240.0, "outcome": "done", "exit_code": 0})
        writer.close()

    (run,) = runs_in(tmp_path)
    assert (100.0, 240.0, 50.0) == (run.began, run.ended, run.seconds)


@pytest.mark.parametrize(("elapsed", "cut_at", "lived"), [(50.0, None, 50.0), (50.0, 160.0, 60.0)])
def test_one_that_was_killed_has_lived_until_its_last_snapshot_or_cut(
    tmp_path: Path, elapsed: float, cut_at: float | None, lived: float
) -> None:
    run_folder = RunFolder("abcd", tmp_path)
    RunLock(run_folder.make()).release()
    seconds = []
    for n in (1, 2, 3):
        writer = RunWriter(run_folder.path, begun(n), incarnation=n)
        fold = RunFold() if n == 1 else writer.last_fold()
        fold.take("worker.ready", 100.0 * n + 1, "debug", {"worker": "neo", "stage": "s"})
        if n == 1:
            fold.take("run.progress", 100.0 + elapsed, "debug", {**progress(7), "elapsed": elapsed})
        writer.commit(fold, 0.0)
        if n == 1 and cut_at is not None:
            keep_cut(writer, Cut(), cut_at)
        writer.close()
        seconds.append(runs_in(tmp_path)[0].seconds)

    assert [lived, lived + 1, lived + 2] == seconds


def test_one_that_is_killed_at_once_took_no_longer_than_it_lived(tmp_path: Path) -> None:
    run_folder = RunFolder("abcd", tmp_path)
    RunLock(run_folder.make()).release()
    for n, taken in enumerate(({**progress(7), "elapsed": 50.0}, None), start=1):
        writer = RunWriter(run_folder.path, begun(n), incarnation=n)
        fold = RunFold() if n == 1 else writer.last_fold()
        fold.take("worker.ready", 100.0 * n + 1, "debug", {"worker": "neo", "stage": "s"})
        if taken is not None:
            fold.take("run.progress", 150.0, "debug", taken)
        writer.commit(fold, 0.0)
        writer.close()

    (run,) = runs_in(tmp_path)
    assert (201.0, 7) == (run.ended, run.done)


def test_while_it_goes_on_nothing_of_its_last_end_is_told(tmp_path: Path) -> None:
    run_folder = recorded(tmp_path, "abcd", outcome="failed")
    writer = RunWriter(run_folder.path, begun(2), incarnation=2)
    writer.commit(RunFold(), 0.0)
    resumed = take_up(run_folder)

    (run,) = runs_in(tmp_path)
    with RunView(run_folder.path) as view:
        facts = view.facts()
    writer.close()
    resumed.lock.release()
    assert ("running", 2, None) == (run.outcome, run.incarnations, run.ended)
    assert not {"outcome", "exit_code", "report", "reason"} & facts.keys()


def test_an_incarnation_that_comes_too_late_writes_nothing(killed: RunFolder) -> None:
    first, second = (RunWriter(killed.path, begun(2, text=text), incarnation=2) for text in ("a", "b"))
    first.commit(RunFold(), 0.0)
    late = r"it is that of incarnation 2: 2 has come too late"
    with pytest.raises(sqlite3.DatabaseError, match=late):
        second.commit(RunFold(), 0.0)
    with pytest.raises(sqlite3.DatabaseError, match=late):
        RunWriter(killed.path, begun(2), incarnation=2)
    for writer in (second, first):
        writer.close()

    with RunView(killed.path) as view:
        assert ("a", 2) == (view.facts()["text"], len(view.incarnations()))


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.finish()


def go_on(run_folder: RunFolder, recorder: Recorder) -> None:
    resumed = take_up(run_folder)
    recorder.begin(run_folder.path, lambda: (begun(resumed.incarnation), None), resumed)


def test_the_recorder_goes_on_with_a_record(killed: RunFolder, recorder: Recorder) -> None:
    write_ended(killed.path, {"outcome": "failed"})
    go_on(killed, recorder)
    event = WorkerLogged(worker="neo", stage="chef", pid=1, message="again", fields={})
    recorder.observe(event.stamped(time.time(), "abcd"))
    recorder.note_end(REPORT)
    recorder.close()
    recorder.finish()

    (run,) = runs_in(killed.home)
    with RunView(killed.path) as view:
        said = [event.name for event in view.events()]
        lives = view.incarnations()
    assert (None, False) == (recorder.trouble, is_held(killed.path))
    assert ("failed", 1, 2, 1.0) == (run.outcome, run.exit_code, run.incarnations, run.began)
    assert (["worker.spawned", "worker.logged"], [None, "failed"]) == (said, [life.outcome for life in lives])
    assert 1 == (read_ended(killed.path) or {})["exit_code"], "the end that was written last"


@pytest.mark.parametrize("how", ["finish", "abandon"])
def test_one_that_never_begins_leaves_the_run_as_it_was(
    killed: RunFolder, recorder: Recorder, how: str
) -> None:
    go_on(killed, recorder)
    if how == "abandon":
        recorder.abandon()
    recorder.close()
    recorder.finish()

    assert False is is_held(killed.path)
    assert ["killed"] == [run.outcome for run in runs_in(killed.home)]


HOLD = """
import sys, time, pathlib
from runner.store.run_folder import RunFolder
from runner.record.resumption import take_up
from runner.record.schema import DATABASE, create
resumed = take_up(RunFolder("abcd", pathlib.Path(sys.argv[1])))
print(resumed.incarnation, flush=True)
time.sleep(600)
"""


def test_the_second_who_goes_on_is_refused_with_the_pid_of_the_first(killed: RunFolder) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(killed.home)], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None and "2\n" == first.stdout.readline()
        try:
            with pytest.raises(ResumeRefused, match=f"run 'abcd' is under way: process {first.pid} runs it"):
                take_up(killed)
        finally:
            first.kill()

    take_up(killed).lock.release()


WRITE = """
import sys, time, pathlib
from runner.store.run_lock import WriterHold
hold = WriterHold(pathlib.Path(sys.argv[1]), 0.0)
print("holds", flush=True)
time.sleep(float(sys.argv[2]))
"""


def test_it_waits_for_what_the_last_recorder_still_writes(
    killed: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", WRITE, str(killed.path)]
    with subprocess.Popen([*command, "0.3"], stdout=subprocess.PIPE, text=True) as last:
        assert last.stdout is not None and "holds\n" == last.stdout.readline()
        take_up(killed).lock.release()
        ended = last.poll()
    monkeypatch.setattr("runner.record.resumption._LAST_WRITES", 0.05)
    with subprocess.Popen([*command, "600"], stdout=subprocess.PIPE, text=True) as last:
        assert last.stdout is not None and "holds\n" == last.stdout.readline()
        with pytest.raises(ResumeRefused, match="the process that kept its record before still writes"):
            take_up(killed)
        held = is_held(killed.path)
        last.send_signal(signal.SIGKILL)

    assert (0, False) == (ended, held)


def test_what_came_from_elsewhere_or_is_of_another_version_is_not_gone_on_with(killed: RunFolder) -> None:
    with closing(sqlite3.connect(killed.path / "run.db")) as database:
        database.execute("PRAGMA user_version=1")
    with pytest.raises(RecordDamaged, match="of version 1: only one of 2"):
        take_up(killed)
    (killed.path / "run.json.seal").unlink()
    with pytest.raises(ResumeRefused, match="has come from elsewhere"):
        take_up(killed)

    assert False is is_held(killed.path)


def test_a_record_whose_writer_was_killed_in_a_transaction_without_a_log_is_read_as_it_was_before(
    tmp_path: Path,
) -> None:
    """As one is that is killed while it leaves one plain file behind: whoever only reads can't take that back."""
    connection, _ = create(tmp_path / DATABASE, lasting=False)
    connection.execute("INSERT INTO fact VALUES ('workflow', 'baozi')")
    connection.close()
    child = os.fork()
    if not child:
        writer = sqlite3.connect(tmp_path / DATABASE, isolation_level=None)
        writer.execute("PRAGMA journal_mode=DELETE")
        writer.execute("PRAGMA cache_size=1")
        writer.execute("BEGIN IMMEDIATE")
        for number in range(2000):
            writer.execute("INSERT INTO fact VALUES (?, ?)", (str(number), "x" * 1000))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert list(tmp_path.glob("*-journal"))
    with RunView(tmp_path) as view:
        assert view.facts() == {"workflow": "baozi"}


def test_a_database_of_which_nothing_was_written_says_so(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / DATABASE).close()
    with pytest.raises(RecordDamaged, match="it is empty: nothing of the run has been written"):
        RunView(tmp_path)
