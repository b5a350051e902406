"""The recorder keeps cuts of the run beside it: never in its way, and whole or not at all."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_cuts import Arena, RecordedRun, cut_of, end_recording, wait_until_due
from kept_cuts import cut_of_bodies as cut_with

from runner.ledger.snapshot import PartitionSnapshot, QueueSnapshot
from runner.record import recorder as recorder_module
from runner.record.reader import RunView
from runner.transports.cut import Cut


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RecordedRun]:
    run = RecordedRun(tmp_path)
    yield run
    run.close()


def test_the_last_cut_is_there_when_the_recorder_says_so_and_the_next_is_due(run: RecordedRun) -> None:
    recorder = run.begin()
    for cut in (cut_with(b"a", b"b"), cut_with(b"c")):
        wait_until_due(recorder)
        recorder.cut(cut)
        wait_until_due(recorder)
        assert cut == run.kept()
    end_recording(recorder)

    assert (None, cut) == (recorder.trouble, run.kept())


def test_while_a_run_goes_on_it_is_known_when_its_last_cut_was_taken_and_that_nothing_is_missing(
    run: RecordedRun,
) -> None:
    recorder = run.begin()
    assert (None, None) == (recorder.kept_at, recorder.trouble_so_far())
    wait_until_due(recorder)
    recorder.cut(cut_with(b"a"))
    assert recorder.kept_at is None
    wait_until_due(recorder)

    assert (run.kept_at(), None) == (recorder.kept_at, recorder.trouble_so_far())


def test_that_the_recorder_is_gone_is_known_while_the_run_goes_on(run: RecordedRun) -> None:
    recorder = run.begin()
    os.kill(recorder.pid, signal.SIGKILL)
    os.waitid(os.P_PID, recorder.pid, os.WEXITED | os.WNOWAIT)
    run.say(recorder)

    expected = "the record of the run is incomplete: the process that keeps it is gone"
    assert expected == recorder.trouble_so_far()


def test_what_the_recorder_has_already_is_not_sent_again_and_what_comes_after_is(run: RecordedRun) -> None:
    recorder = run.begin()
    moments = []
    for cut in (same := cut_with(b"a", b"b"), same, same, cut_with(b"c")):
        wait_until_due(recorder)
        recorder.cut(cut)
        wait_until_due(recorder)
        assert cut == run.kept()
        moments.append(run.kept_at())

    assert moments[0] == moments[1] == moments[2] < moments[3]


def test_one_that_is_stopped_gets_one_cut_and_no_more_until_it_goes_on(run: RecordedRun) -> None:
    recorder = run.begin()
    wait_until_due(recorder)
    os.kill(recorder.pid, signal.SIGSTOP)
    cuts = [cut_with(bytes([number]) * 1_000_000) for number in range(20)]
    took = time.monotonic()
    for cut in cuts:
        recorder.cut(cut)
        recorder.cut_due()
    took = time.monotonic() - took
    os.kill(recorder.pid, signal.SIGCONT)
    wait_until_due(recorder)

    assert took < 1.0
    assert cuts[0] == run.kept()
    recorder.cut(cuts[-1], last=True)
    assert cuts[-1] == run.kept()


@pytest.mark.parametrize("earlier", [(), (cut_with(b"b", b"c"),)], ids=["alone", "instead of an earlier one"])
@pytest.mark.parametrize(("outcome", "expected"), [("failed", cut_with(b"a")), ("done", None)])
def test_of_a_run_that_was_over_at_once_the_last_cut_is_kept_if_anybody_may_want_it(
    run: RecordedRun, earlier: tuple[Cut, ...], outcome: str, expected: Cut | None
) -> None:
    recorder = run.begin()
    for cut in earlier:
        recorder.cut(cut)
    recorder.cut(cut_with(b"a"), last=True)
    waited = (run.folder.path / "run.db").exists()
    end_recording(recorder, outcome)

    assert (False, expected) == (waited, run.kept())
    assert recorder.trouble is None


def test_what_has_an_output_has_its_first_cut_at_once_and_its_end_waits_for_the_last(
    run: RecordedRun,
) -> None:
    recorder = run.begin(at_once=True)
    recorder.cut(cut_with(b"b", b"c"))
    recorder.cut(cut_with(b"a"), last=True)

    assert cut_with(b"a") == run.kept()


def test_the_next_incarnation_goes_on_from_the_cut_and_writes_what_changes(run: RecordedRun) -> None:
    cut = cut_with(b"a", b"b", b"c")
    first = run.begin()
    wait_until_due(first)
    first.cut(cut)
    wait_until_due(first)
    end_recording(first)
    second = run.begin()
    taken = run.kept()
    assert taken == cut
    (queue,) = taken.queues
    (partition,) = queue.partitions
    rest = Cut((QueueSnapshot("q", 3, (PartitionSnapshot(partition.waiting[1:], put=3, done=1),)),))
    wait_until_due(second)
    second.cut(rest)
    end_recording(second, "interrupted")

    with RunView(run.folder.path) as view:
        frames = [row["body"] for row in view.rows("SELECT body FROM frame ORDER BY id")]
    assert (rest, [b"b", b"c"]) == (run.kept(), frames)


def test_its_death_costs_the_cuts_to_come_and_never_the_run(run: RecordedRun) -> None:
    recorder = run.begin()
    cut = cut_with(b"a")
    wait_until_due(recorder)
    recorder.cut(cut)
    wait_until_due(recorder)
    os.kill(recorder.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while recorder.keeps_cuts and time.monotonic() < deadline:
        recorder.cut(cut_with(b"b"))
        recorder.cut_due()
        time.sleep(0.01)
    recorder.cut(cut_with(b"b"), last=True)
    end_recording(recorder)

    assert (False, float("inf")) == (recorder.keeps_cuts, recorder.cut_due())
    assert (
        "the record of the run is incomplete: the process that keeps it was killed by SIGKILL"
        == recorder.trouble
    )
    assert cut == run.kept()


def test_the_last_cut_is_not_waited_for_longer_than_the_end_of_a_run_may_take(
    run: RecordedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = run.begin()
    wait_until_due(recorder)
    monkeypatch.setattr(recorder_module, "CLOSE_TIMEOUT", 0.1)
    os.kill(recorder.pid, signal.SIGSTOP)
    recorder.cut(cut_with(b"a"))
    began = time.monotonic()
    recorder.cut(cut_with(b"b"), last=True)

    assert time.monotonic() - began < 5.0
    end_recording(recorder)


def test_big_items_are_held_until_they_are_copied(run: RecordedRun) -> None:
    arena, recorder = Arena(), run.begin()
    body = os.urandom(300_000)
    wait_until_due(recorder)
    os.kill(recorder.pid, signal.SIGSTOP)
    recorder.cut(cut_of(arena.frame(body)))
    recorder.cut_due()
    before = arena.ended
    os.kill(recorder.pid, signal.SIGCONT)
    wait_until_due(recorder)

    assert (0, 1) == (before, arena.ended)
    assert body == (run.folder.path / "bulk" / "1").read_bytes()[: len(body)]
    end_recording(recorder)
    arena.close()


def test_big_items_are_not_held_for_a_recorder_that_is_gone(run: RecordedRun) -> None:
    arena, recorder = Arena(), run.begin()
    wait_until_due(recorder)
    os.kill(recorder.pid, signal.SIGSTOP)
    recorder.cut(cut_of(arena.frame(os.urandom(300_000))))
    os.kill(recorder.pid, signal.SIGKILL)
    end_recording(recorder)

    assert 1 == arena.ended
    arena.close()


def test_what_is_too_much_at_once_goes_ahead_of_its_cut(
    run: RecordedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.record.cuts._MOST_AT_ONCE", 1000)
    recorder = run.begin()
    cuts = [cut_with(*(bytes([n, number]) * 200 for number in range(7))) for n in range(2)]
    wait_until_due(recorder)
    recorder.cut(cuts[0])
    wait_until_due(recorder)
    ahead = run.kept()
    for _ in range(3):
        recorder.cut(cuts[0])
        wait_until_due(recorder)
    found = run.kept()
    recorder.cut(cuts[1], last=True)

    assert (None, cuts[0], cuts[1]) == (ahead, found, run.kept())
    end_recording(recorder)
