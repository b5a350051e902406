"""Whatever befalls the record, the last cut that was committed is there, whole, and the run beside it goes on."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from kept_cuts import Arena, RecordedRun, cut_of, cut_of_bodies, end_recording, keeper, wait_until_due
from small_disks import small_disk

from runner.errors import ResumeRefused
from runner.ledger.ranges import ItemRange
from runner.record.cut_reader import read_cut
from runner.record.history import runs_in
from runner.record.reader import RecordDamaged, RunView
from runner.record.resumption import take_up
from runner.transports.cut import Cut, WriterCut

BYTES = os.urandom(500_000)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


def small() -> Cut:
    return cut_of_bodies(b"small")


def other() -> Cut:
    return cut_of_bodies(b"other")


def big_enough() -> Cut:
    return cut_of_bodies(*[BYTES[:3000]] * 20)


def big() -> Cut:
    return cut_of_bodies(*[BYTES] * 10)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RecordedRun]:
    run = RecordedRun(tmp_path)
    yield run
    run.close()


@contextmanager
def run_on_small_disk(folder: Path, size: str) -> Iterator[RecordedRun]:
    """A run whose home is a file system of its own."""
    with small_disk(folder, size):
        run = RecordedRun(folder)
        try:
            yield run
        finally:
            run.close()


def is_whole(run: RecordedRun) -> bool:
    with closing(sqlite3.connect(run.folder.path / "run.db")) as database:
        return [("ok",)] == list(database.execute("PRAGMA integrity_check"))


@pytest.mark.slow
@needs_root
def test_a_full_disk_leaves_the_last_cut_and_the_next_that_fits_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.record.cuts.LONGEST_PAUSE", 0.2)
    with run_on_small_disk(tmp_path, "2m") as run:
        recorder = run.begin()
        found = []
        for cut in (small(), big(), other(), big()):
            wait_until_due(recorder)
            recorder.cut(cut)
            run.say(recorder)
            wait_until_due(recorder)
            found.append((run.kept(), is_whole(run)))
        end_recording(recorder)
        (row,) = runs_in(tmp_path)

    assert [(small(), True), (small(), True), (other(), True), (other(), True)] == found
    assert recorder.trouble is not None
    assert recorder.trouble.startswith("the run can't be gone on with from its end: ")
    assert "disk is full" in recorder.trouble
    assert ("failed", 1) == (row.outcome, row.waiting)


@needs_root
def test_big_items_that_find_no_room_leave_the_last_cut_and_no_half_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.record.cuts.LONGEST_PAUSE", 0.2)
    arena = Arena()
    with run_on_small_disk(tmp_path, "2m") as run:
        recorder = run.begin()
        for cut in (small(), cut_of(*(arena.frame(os.urandom(900_000)) for _ in range(3)))):
            wait_until_due(recorder)
            recorder.cut(cut)
            wait_until_due(recorder)
        left = list((run.folder.path / "bulk").iterdir()), run.kept(), arena.ended
        end_recording(recorder)
        del cut
    arena.close()

    assert ([], small()) == left[:2]
    assert "No space left on device" in str(recorder.trouble)


@needs_root
def test_where_nothing_may_be_written_any_more_a_run_is_shown_and_not_gone_on_with(tmp_path: Path) -> None:
    with run_on_small_disk(tmp_path, "20m") as run:
        recorder = run.begin()
        wait_until_due(recorder)
        recorder.cut(small())
        wait_until_due(recorder)
        os.kill(recorder.pid, signal.SIGKILL)
        end_recording(recorder)
        subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)
        kept = run.kept()
        with pytest.raises(ResumeRefused, match="its folder can't be locked: Read-only file system"):
            take_up(run.folder)

    assert small() == kept


def struck(file: Path, seed: int) -> None:
    """Write nonsense somewhere, or cut the file off."""
    chance = random.Random(seed)
    size = file.stat().st_size
    with file.open("r+b") as database:
        if seed % 5 == 0:
            database.truncate(chance.randrange(size))
        for _ in range(chance.choice((1, 20, 400))):
            database.seek(chance.randrange(size))
            database.write(chance.randbytes(chance.choice((1, 4, 100))))


@pytest.mark.parametrize("seeds", [range(40), pytest.param(range(40, 600), marks=pytest.mark.slow)])
def test_a_damaged_record_is_said_to_be_damaged_or_has_a_cut_that_is_one(
    tmp_path: Path, seeds: range
) -> None:
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        with keeper(folder) as kept:
            kept.keep(replace(big_enough(), states={"neo": b"state"}, writers=(WriterCut("chef", 3),)))
        struck(folder / "run.db", seed)
        try:
            with RunView(folder) as view:
                cut = read_cut(view)
        except RecordDamaged:
            continue
        assert cut is None or all(
            isinstance(each, ItemRange) for queue in cut.queues for each in queue.ranges()
        )


def grown(file: Path, size: int) -> Callable[[], bool]:
    return lambda: file.exists() and file.stat().st_size > size


def wait_for(happened: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not (done := happened()) and time.monotonic() < deadline:
        pass
    return done


@pytest.mark.parametrize("size", [0, 1_000_000, 3_000_000])
def test_a_recorder_that_is_killed_in_the_middle_of_a_cut_leaves_the_last_one(
    run: RecordedRun, size: int
) -> None:
    recorder = run.begin()
    wait_until_due(recorder)
    recorder.cut(small())
    wait_until_due(recorder)
    log = run.folder.path / "run.db-wal"
    recorder.cut(big())
    assert wait_for(grown(log, log.stat().st_size + size if size else 0))
    os.kill(recorder.pid, signal.SIGKILL)
    end_recording(recorder)

    assert run.kept() in (small(), big())
    assert is_whole(run)


@pytest.mark.slow
def test_recorders_killed_at_any_moment_leave_a_cut_that_was_sent(tmp_path: Path) -> None:
    """The one that was answered for last, or the one behind it; in the next incarnation too."""
    run, answered = RecordedRun(tmp_path), None
    try:
        for life in range(10):
            recorder = run.begin()
            wait_until_due(recorder)
            if life == 0:
                recorder.cut(answered := small())
                wait_until_due(recorder)
            sent = answered
            for number in range(1 + life % 4):
                cut = cut_of_bodies(*[BYTES[:1000]] * 1000, bytes([life, number]))
                wait_until_due(recorder)
                answered, sent = sent, cut
                recorder.cut(cut)
            time.sleep(0.003 * life)
            os.kill(recorder.pid, signal.SIGKILL)
            end_recording(recorder)
            found = run.kept()
            assert found in (answered, sent), life
            assert is_whole(run)
            answered = found
    finally:
        run.close()


@pytest.mark.parametrize("lives", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_any_number_of_incarnations_leaves_no_more_than_one(tmp_path: Path, lives: int) -> None:
    arena, sizes = Arena(), []
    for life in range(1, lives + 1):
        with keeper(tmp_path, life) as kept:
            frames = [arena.frame(os.urandom(70_000)), *(arena.frame(os.urandom(1000)) for _ in range(200))]
            kept.keep(cut_of(*frames[: 150 + life % 50]))
            kept.writer.end({"at": float(life), "outcome": "interrupted", "exit_code": 130})
        sizes.append(sum(each.stat().st_size for each in tmp_path.rglob("*") if each.is_file()))
    arena.close()

    assert max(sizes) <= 1.5 * sizes[0], (sizes[0], max(sizes))
