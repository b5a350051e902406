"""Signals and kills at random moments of a run of 200 jobs: nobody is left, logs are whole, the exit code is right."""

from __future__ import annotations

import random
import re
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from jobs_runs import Running, Runs
from jobs_workers import wait_until

KINDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SEED = 20260917


def many_jobs() -> str:
    """200 jobs: each prints a line at a time, some start what outlives them, some ignore signals, some clean up."""
    lines = ["name: storm", "limits: {stop_timeout: 300ms}", "jobs:"]
    for number in range(200):
        needs = f"needs: j{number - 20}, " if number >= 20 else ""
        wild = ("", "setsid sleep 500 & ", "trap '' TERM; ", "sleep 501 & ")[number % 4]
        run = f"{wild}for i in 1 2 3 4 5; do echo line $i of {number}; sleep 0.01; done"
        ensure = "ensure: [echo cleaned]," if number % 5 == 0 else ""
        lines.append(f'  j{number}: {{{needs}{ensure} run: "{run}"}}')
    return "\n".join(lines) + "\n"


@pytest.fixture
def runs(tmp_path: Path, mprun: Path, plain_env: Mapping[str, str]) -> Iterator[Runs]:
    made = Runs(tmp_path, mprun, plain_env)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(20))
def test_a_run_of_200_jobs_that_is_ended_at_a_random_moment_leaves_nobody(turn: int, runs: Runs) -> None:
    number = KINDS[turn % len(KINDS)]
    moment = random.Random(SEED + turn).uniform(0.0, 2.5)
    run = runs.start(many_jobs(), "--jobs", "4")
    run.wait_for("run.started")
    time.sleep(moment)  # the moment is what is tried

    over = run.process.poll() is not None
    run.process.send_signal(number)
    code = run.finish()

    if not over:
        assert (-9 if number is signal.SIGKILL else 128 + number) == code
    wait_until(lambda: not run.left_behind())
    assert_logs_are_whole(run)
    if number is not signal.SIGKILL and not over:
        assert_all_is_told(run)


def assert_logs_are_whole(run: Running) -> None:
    """What a job has printed is there, line by line, from the first on."""
    for started in run.named("job.started"):
        log = Path(started["log"]).read_text(encoding="utf-8")
        job = started["job"].removeprefix("j")
        lines = [line for line in log.splitlines() if line.startswith("line")]
        assert [f"line {n} of {job}" for n in range(1, len(lines) + 1)] == lines


def assert_all_is_told(run: Running) -> None:
    """Each of the jobs is accounted for, and the closing line adds up to all of them."""
    assert 200 == len(run.results)
    closing = next(
        line for line in reversed(run.said.splitlines()) if line and not line.startswith("resume with: ")
    )
    counts = [
        int(n.replace(",", "")) for n in re.findall(r"([\d,]+) (?:passed|cancelled|failed|skipped)", closing)
    ]
    assert 200 == sum(counts), closing
