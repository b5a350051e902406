"""Concurrency groups over all runs of the machine: runs that hold one are killed, stopped, called off."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from jobs_runs import Running, Runs
from jobs_workers import wait_until

# Whoever gets in notes who it is; it is wrong if somebody who is there lives.
GUARDED = """\
name: guarded
limits: {stop_timeout: 5s}
jobs:
  a:
    concurrency: {group: %s, scope: machine}
    run: |
      if [ -e holder ] && grep '^State:.[^ZX]' "/proc/$(cat holder)/status"; then echo "$WHO" >> overlaps; fi
      echo $$ > holder
      touch "held-$WHO"
      sleep "$SECONDS_HELD"
      rm holder
"""
PLACE = "concurrency: {group: g, scope: machine%s}"


@pytest.fixture
def runs(tmp_path: Path, mprun: Path, plain_env: Mapping[str, str]) -> Iterator[Runs]:
    """Starts runs whose groups are their own, and sees to it that nothing of them is left."""
    made = Runs(tmp_path, mprun, {**plain_env, "XDG_STATE_HOME": str(tmp_path / "state")})
    yield made
    made.close()


def guarded(runs: Runs, who: str, seconds: str) -> Running:
    return runs.start(GUARDED % "'g/ü'", WHO=who, SECONDS_HELD=seconds)


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True], ids=["the runner alone", "all of it at once"])
def test_of_six_runs_one_is_in_at_a_time_and_none_that_is_killed_keeps_the_others_out(
    whole: bool, runs: Runs
) -> None:
    stuck = {who: guarded(runs, who, "60") for who in ("s1", "s2", "s3")}
    others = [guarded(runs, who, "0.05") for who in ("a", "b", "c")]

    while stuck:
        wait_until(lambda: any((runs.folder / f"held-{who}").exists() for who in stuck))
        who = next(who for who in stuck if (runs.folder / f"held-{who}").exists())
        run = stuck.pop(who)
        if whole:
            run.kill_all()
        else:
            run.process.kill()
            run.process.wait()

    assert [0, 0, 0] == [run.finish() for run in others]
    assert not (runs.folder / "overlaps").exists()
    assert ["passed"] * 3 == [run.results["a"] for run in others]


@pytest.mark.slow
def test_a_run_that_waits_says_for_whom_and_ends_at_once_when_it_is_to(runs: Runs) -> None:
    first = guarded(runs, "first", "60")
    wait_until((runs.folder / "held-first").exists)
    second = runs.start(GUARDED.replace("    run:", "    timeout: 10ms\n    run:") % "'g/ü'")
    waiting = second.wait_for("job.waiting", job="a")
    [begun] = first.named("run.started")

    assert "g/ü" == waiting["group"]
    assert (
        f"waits for group 'g/ü', held by run {begun['run']} (pid {first.process.pid}) job a"
        == waiting["reason"]
    )
    assert waiting["reason"] in runs.ask("ps", second.named("run.started")[0]["run"]).stdout

    os.kill(second.process.pid, signal.SIGINT)
    assert 130 == second.finish()
    assert [] == second.named("job.started")
    os.kill(first.process.pid, signal.SIGINT)
    assert 130 == first.finish()
    third = guarded(runs, "third", "0")
    assert 0 == third.finish()


@pytest.mark.slow
def test_a_newer_run_calls_an_older_one_off_and_waits_for_its_clean_up(runs: Runs) -> None:
    text = (
        "name: deploy\njobs:\n  a:\n    " + PLACE % ", cancel-in-progress: true" + "\n"
        "    run: touch up-$WHO; sleep $SECONDS_HELD; echo $WHO >> done\n"
        "    ensure: [sleep 0.3; echo cleaned up after $WHO >> done]\n"
        "  b: {needs: a, run: echo b of $WHO >> done}\n"
    )
    older = runs.start(text, WHO="older", SECONDS_HELD="60")
    wait_until((runs.folder / "up-older").exists)
    newer = runs.start(text, WHO="newer", SECONDS_HELD="0")

    assert (0, 1) == (newer.finish(), older.finish())
    [called_off] = older.named("job.cancelled", job="a")
    run = newer.named("run.started")[0]["run"]
    assert f"run {run} (pid {newer.process.pid}) job a takes its place in group 'g'" == called_off["reason"]
    assert {"a": "cancelled", "b": "skipped"} == older.results
    assert ["cleaned up after older", "newer", "cleaned up after newer", "b of newer"] == (
        runs.folder / "done"
    ).read_text().splitlines()


@pytest.mark.slow
def test_a_run_that_is_killed_and_goes_on_asks_for_its_place_again(runs: Runs) -> None:
    first = guarded(runs, "first", "60")
    wait_until((runs.folder / "held-first").exists)
    second = guarded(runs, "second", "0.2")
    second.wait_for("job.waiting")
    first.process.kill()
    first.process.wait()
    again = runs.call("resume", first.named("run.started")[0]["run"], WHO="first", SECONDS_HELD="0")

    assert (0, 0) == (second.finish(), again.finish())
    assert not (runs.folder / "overlaps").exists()


def test_a_group_that_cant_be_had_cancels_the_job_and_says_why(runs: Runs) -> None:
    (runs.folder / "state").write_text("a file")
    run = runs.start("name: g\njobs: {a: {" + PLACE % "" + ", run: touch here}, b: {run: 'true'}}\n")

    assert 1 == run.finish()
    [cancelled] = run.named("job.cancelled", job="a")
    assert cancelled["reason"].startswith("group 'g' of the machine can't be had: Not a directory")
    assert ({"a": "cancelled", "b": "passed"}, False) == (run.results, (runs.folder / "here").exists())
