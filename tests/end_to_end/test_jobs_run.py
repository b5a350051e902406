"""Runs of jobs through the installed command: workers killed, runs stopped, the supervisor killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from jobs_runs import Runs
from jobs_workers import is_alive, wait_until


@pytest.fixture
def runs(tmp_path: Path, mprun: Path, plain_env: Mapping[str, str]) -> Iterator[Runs]:
    """Starts runs, and sees to it that nothing of them is left."""
    made = Runs(tmp_path, mprun, plain_env)
    yield made
    made.close()


@pytest.mark.slow
def test_a_killed_worker_costs_an_attempt_and_the_run_goes_on(runs: Runs) -> None:
    run = runs.start(
        "name: r\njobs:\n"
        "  a: {run: 'sleep 600 & echo $! > child; sleep 601', attempts: {max: 2, backoff: 0, timeout: 1s}}\n"
        "  b: {run: sleep 0.1}\n"
    )
    begun = run.wait_for("job.started", job="a")
    child = run.events_file.parent / "child"
    wait_until(lambda: child.exists() and child.read_text().strip())
    pid = int(child.read_text())
    worker = next(e["pid"] for e in run.named("worker.spawned", worker=begun["worker"]))

    os.kill(worker, signal.SIGKILL)

    again = run.wait_for("job.retried", job="a")
    assert "its worker was killed by SIGKILL; it is tried again at once, 1 attempt left" == again["reason"]
    wait_until(lambda: not is_alive(pid))
    assert 1 == run.finish()
    assert {"a": "timed_out", "b": "passed"} == run.results
    assert [] == run.left_behind()


def test_the_last_attempt_lost_with_its_worker_is_a_failure(runs: Runs) -> None:
    run = runs.start("name: r\njobs:\n  a: {run: 'kill -9 $PPID; sleep 60'}\n  b: {run: 'true'}\n")

    assert 1 == run.finish()
    [ended] = run.named("job.finished", job="a")
    assert ("failed", "its worker was killed by SIGKILL") == (ended["result"], ended["reason"])
    assert "passed" == run.results["b"]


STOPPED = """\
name: r
limits: {stop_timeout: 10s}
jobs:
  a: {run: "trap 'echo bye; exit 1' TERM; echo up; while :; do sleep 0.05; done", ensure: [echo cleaned]}
  b: {needs: a, run: echo never}
  c: {needs: a, if: always(), run: echo after all}
  done: {run: echo done}
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.quick("15")
def test_a_signal_stops_what_runs_lets_clean_up_run_and_tells_what_was_done(
    number: signal.Signals, runs: Runs
) -> None:
    run = runs.start(STOPPED, "--jobs", "2")
    log = Path(run.wait_for("job.started", job="a")["log"])
    wait_until(lambda: "up" in log.read_text())
    run.wait_for("job.finished", job="done")

    run.process.send_signal(number)

    assert 128 + number == run.finish()
    assert {"a": "cancelled", "b": "cancelled", "c": "passed", "done": "passed"} == run.results
    assert log.read_text().endswith("bye\ncleaned\n")
    assert [] == run.left_behind()
    assert "1 cancelled" in run.said or "2 cancelled" in run.said


@pytest.mark.slow
def test_a_second_signal_ends_everything_at_once(runs: Runs) -> None:
    run = runs.start(
        "name: r\nlimits: {stop_timeout: 1m}\njobs:\n  a: {run: \"trap '' TERM; echo up; sleep 600\"}\n"
    )
    log = Path(run.wait_for("job.started", job="a")["log"])
    wait_until(lambda: log.exists() and "up" in log.read_text())
    run.process.send_signal(signal.SIGINT)
    run.wait_for("job.cancelled", job="a")
    began = time.monotonic()

    run.process.send_signal(signal.SIGINT)

    assert 130 == run.finish()
    assert time.monotonic() - began < 20
    assert {"a": "cancelled"} == run.results
    assert "SIGKILL" == run.named("job.finished", job="a")[0]["signal"]
    assert [] == run.left_behind()


@pytest.mark.slow
def test_the_time_limit_of_the_run_stops_it_and_exits_5(runs: Runs) -> None:
    run = runs.start(
        "name: r\nlimits: {timeout: 500ms}\njobs:\n  a: {run: sleep 600}\n  b: {needs: a, run: 'true'}\n"
    )

    assert 5 == run.finish()
    assert {"a": "cancelled", "b": "cancelled"} == run.results
    assert [] == run.left_behind()


def test_sigkill_of_the_runner_leaves_nobody_wherever_they_went_and_whole_logs(runs: Runs) -> None:
    run = runs.start(
        "name: r\njobs:\n"
        "  a: {run: 'setsid sleep 600 & setsid setsid sleep 601 & for i in $(seq 50); do echo $i; done; sleep 602'}\n"
        "  b: {services: {s: {run: sleep 603}}, run: sleep 604}\n",
        "--jobs",
        "2",
    )
    log = Path(run.wait_for("job.started", job="a")["log"])
    wait_until(lambda: log.exists() and log.read_text().endswith("50\n"))
    run.wait_for("service.ready", job="b")
    assert 5 <= len(run.left_behind())

    run.process.kill()

    wait_until(lambda: not run.left_behind())
    assert "".join(f"{number}\n" for number in range(1, 51)) == log.read_text()


@pytest.mark.slow
def test_a_secret_is_for_its_own_job_and_shown_nowhere(runs: Runs) -> None:
    run = runs.start(
        "name: r\njobs:\n"
        "  other: {run: 'echo \"[$THE_TOKEN]\"'}\n"
        '  own: {secrets: THE_TOKEN, run: \'echo "<$THE_TOKEN>"; test -z "$THE_TOKEN"\'}\n',
        THE_TOKEN="s3cr3t-of-the-test",
    )

    assert 1 == run.finish()
    logs = {e["job"]: Path(e["log"]).read_text() for e in run.named("job.finished")}
    assert {"other": "[]\n", "own": "<***>\n"} == logs
    assert "s3cr3t" not in run.said + run.events_file.read_text()


@pytest.mark.slow
def test_logs_are_for_their_owner_alone(runs: Runs, tmp_path: Path) -> None:
    run = runs.start("name: r\njobs:\n  a: {run: echo x}\n")
    assert 0 == run.finish()

    log = Path(run.named("job.finished", job="a")[0]["log"])

    assert (0o600, 0o700) == (log.stat().st_mode & 0o777, log.parent.stat().st_mode & 0o777)
    assert log.is_relative_to(tmp_path / "home")


@pytest.mark.slow
def test_one_job_alone_runs_with_what_it_needs(runs: Runs) -> None:
    run = runs.start(
        "name: r\njobs:\n  a: {run: 'true'}\n  b: {needs: a, run: 'true'}\n  c: {run: 'true'}\n"
        "  d: {needs: b, strategy: {matrix: {n: [1, 2]}}, run: 'true'}\n",
        "--job",
        "d (2)",
    )

    assert 0 == run.finish()
    assert {"a": "passed", "b": "passed", "d (2)": "passed"} == run.results


@pytest.mark.slow
def test_a_gigabyte_of_output_is_in_the_log_and_not_in_anybodys_memory(runs: Runs) -> None:
    run = runs.start("name: r\njobs:\n  a: {run: 'head -c 100000000 /dev/zero'}\n", "-q")

    assert 0 == run.finish()
    assert 100_000_000 == Path(run.named("job.finished", job="a")[0]["log"]).stat().st_size


def test_where_logs_can_not_be_kept_the_run_is_refused_with_a_word(runs: Runs) -> None:
    run = runs.start("name: r\njobs:\n  a: {run: echo x}\n", MPRUN_HOME="/proc/no-such-place")

    assert 2 == run.finish()
    assert "the logs of jobs can't be kept under '/proc/no-such-place'" in run.said
    assert "set MPRUN_HOME to a folder that can be written" in run.said


@pytest.mark.slow
def test_a_run_of_jobs_is_listed_can_be_stopped_and_is_not_scaled(runs: Runs) -> None:
    run = runs.start("name: reached\njobs:\n  a: {run: sleep 600}\n")
    run.wait_for("step.started", job="a")

    scaled = runs.ask("scale", "reached", "jobs=3")
    listed = runs.ask("ps")
    stopped = runs.ask("stop", "reached")

    assert (2, True) == (scaled.returncode, "mprun run --jobs N" in scaled.stderr)
    assert (0, True) == (listed.returncode, "reached" in listed.stdout)
    assert (0, 143) == (stopped.returncode, run.finish())
    assert {"a": "cancelled"} == run.results
