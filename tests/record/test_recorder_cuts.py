"""The recorder keeps cuts of the run beside it: never in its way, and whole or not at all."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.events.run import WorkerLogged
from runner.ledger.ranges import Frame, ItemRange
from runner.ledger.snapshot import PartitionSnapshot, QueueSnapshot
from runner.record import recorder as recorder_module
from runner.record.cut_reader import read_cut
from runner.record.reader import RunView
from runner.record.recorder import Recorder
from runner.record.resumption import take_up
from runner.store.run_folder import RunFacts, RunFolder
from runner.transports.cut import Cut

Begun = Callable[[], Recorder]


def cut_of(*bodies: bytes) -> Cut:
    ranges = tuple(ItemRange(Frame(body, 1, len(body), place), 0, 1) for place, body in enumerate(bodies))
    return Cut((QueueSnapshot("q", len(bodies), (PartitionSnapshot(ranges, put=len(bodies)),)),))


@pytest.fixture
def run_folder(tmp_path: Path) -> RunFolder:
    run_folder = RunFolder("abcd", tmp_path)
    run_folder.write_facts(RunFacts("abcd", "baozi", "baozi.yaml", os.getpid(), time.time()))
    return run_folder


@pytest.fixture
def begun(run_folder: RunFolder) -> Iterator[Begun]:
    made: list[Recorder] = []

    def begin() -> Recorder:
        recorder = Recorder()
        made.append(recorder)
        about = {"workflow": "baozi", "file": "baozi.yaml", "pid": os.getpid(), "at": time.time()}
        taken = take_up(run_folder) if len(made) > 1 else None
        recorder.begin(run_folder.path, lambda: (about, None), taken)
        event = WorkerLogged(worker="neo", stage="chef", pid=1, message="x", fields={})
        recorder.observe(event.stamped(time.time(), "abcd"))
        return recorder

    yield begin
    for recorder in made:
        recorder.finish()


def end(recorder: Recorder, outcome: str = "failed") -> None:
    recorder.note_end({"outcome": outcome, "exit_code": 1, "reason": None, "stages": [], "queues": []})
    recorder.close()
    recorder.finish()


def wait_until_due(recorder: Recorder) -> None:
    deadline = time.monotonic() + 60
    while (now := time.monotonic()) < recorder.cut_due():
        assert now < deadline
        time.sleep(0.002)


def kept(run_folder: RunFolder) -> Cut | None:
    with RunView(run_folder.path) as view:
        return read_cut(view)


def test_the_last_cut_is_there_when_the_recorder_says_so_and_the_next_is_due(
    begun: Begun, run_folder: RunFolder
) -> None:
    recorder = begun()
    for cut in (cut_of(b"a", b"b"), cut_of(b"c")):
        wait_until_due(recorder)
        recorder.cut(cut)
        wait_until_due(recorder)
        assert cut == kept(run_folder)
    end(recorder)

    assert (None, cut) == (recorder.trouble, kept(run_folder))


def test_one_that_is_stopped_gets_one_cut_and_no_more_until_it_goes_on(
    begun: Begun, run_folder: RunFolder
) -> None:
    recorder = begun()
    wait_until_due(recorder)
    os.kill(recorder.pid, signal.SIGSTOP)
    cuts = [cut_of(bytes([number]) * 1_000_000) for number in range(20)]
    took = time.monotonic()
    for cut in cuts:
        recorder.cut(cut)
        recorder.cut_due()
    took = time.monotonic() - took
    os.kill(recorder.pid, signal.SIGCONT)
    wait_until_due(recorder)

    assert took < 1.0
    assert cuts[0] == kept(run_folder)
    recorder.cut(cuts[-1], last=True)
    assert cuts[-1] == kept(run_folder)


@pytest.mark.parametrize(("outcome", "expected"), [("failed", cut_of(b"a")), ("done", None)])
def test_of_a_run_that_was_over_at_once_the_last_cut_is_kept_if_anybody_may_want_it(
    begun: Begun, run_folder: RunFolder, outcome: str, expected: Cut | None
) -> None:
    recorder = begun()
    recorder.cut(cut_of(b"a"), last=True)
    waited = (run_folder.path / "run.db").exists()
    end(recorder, outcome)

    assert (False, expected) == (waited, kept(run_folder))


def test_the_next_incarnation_goes_on_from_the_cut_and_writes_what_changes(
    begun: Begun, run_folder: RunFolder
) -> None:
    cut = cut_of(b"a", b"b", b"c")
    first = begun()
    wait_until_due(first)
    first.cut(cut)
    wait_until_due(first)
    end(first)
    second = begun()
    taken = kept(run_folder)
    assert taken == cut
    (queue,) = taken.queues
    (partition,) = queue.partitions
    rest = Cut((QueueSnapshot("q", 3, (PartitionSnapshot(partition.waiting[1:], put=3, done=1),)),))
    wait_until_due(second)
    second.cut(rest)
    end(second, "interrupted")

    with RunView(run_folder.path) as view:
        frames = [row["body"] for row in view.rows("SELECT body FROM frame ORDER BY id")]
    assert (rest, [b"b", b"c"]) == (kept(run_folder), frames)


def test_its_death_costs_the_cuts_to_come_and_never_the_run(begun: Begun, run_folder: RunFolder) -> None:
    recorder = begun()
    cut = cut_of(b"a")
    wait_until_due(recorder)
    recorder.cut(cut)
    wait_until_due(recorder)
    os.kill(recorder.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while recorder.keeps_cuts and time.monotonic() < deadline:
        recorder.cut(cut_of(b"b"))
        recorder.cut_due()
        time.sleep(0.01)
    recorder.cut(cut_of(b"b"), last=True)
    end(recorder)

    assert (False, float("inf")) == (recorder.keeps_cuts, recorder.cut_due())
    assert (
        "the record of the run is incomplete: the process that keeps it was killed by SIGKILL"
        == recorder.trouble
    )
    assert cut == kept(run_folder)


def test_the_last_cut_is_not_waited_for_longer_than_the_end_of_a_run_may_take(
    begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = begun()
    wait_until_due(recorder)
    monkeypatch.setattr(recorder_module, "CLOSE_TIMEOUT", 0.1)
    os.kill(recorder.pid, signal.SIGSTOP)
    recorder.cut(cut_of(b"a"))
    began = time.monotonic()
    recorder.cut(cut_of(b"b"), last=True)

    assert time.monotonic() - began < 5.0
    end(recorder)
