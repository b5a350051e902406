"""A report that was written as JSON is the same report when it is read, or as much of it as is known here."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runner.events.job_report import JobLine, JobReport, JobState, RunResult, ServiceLine, StepLine
from runner.events.report import Report
from runner.events.report_fields import Failure, QueueLine, StageLine
from runner.events.report_reader import read_report

STAGE = StageLine("eater", "consumer", 2, "steamer", None, received=9, done=8, failed=1, busy=0.5)
QUEUE = QueueLine("steamer", 10, put=9, done=8, dropped=1, joined=True)
FAILURE = Failure("item", "eater-1", "eater", "ValueError: 包子", "steamer", "3", "Traceback", fatal=True)
JOBS = JobReport(
    RunResult.FAILED,
    (
        JobLine(
            "test (3.11)",
            JobState.TIMED_OUT,
            "out of time",
            needs=("build",),
            steps=(StepLine(1, "pytest", "timed_out", None, "SIGKILL", 2.5),),
            services=(ServiceLine("db", was_ready=True),),
        ),
    ),
    2,
    ("build", "test (3.11)"),
    4.5,
)


def report(jobs: JobReport | None = None) -> Report:
    known = ("3f2a", "baozi", "baozi.yaml", "leased", "failed", 1, "1 item failed", 1000.25, 5.5)
    return Report(*known, (STAGE,), (QUEUE,), (FAILURE,), 3, "the eater", jobs)


def written(jobs: JobReport | None = None) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(json.dumps(report(jobs).as_dict()))
    return told


@pytest.mark.parametrize("jobs", [None, JOBS])
def test_a_report_comes_back_as_it_was(jobs: JobReport | None) -> None:
    assert report(jobs) == read_report(written(jobs))


def test_what_only_a_newer_version_knows_is_left_out_and_what_an_older_did_not_say_is_none() -> None:
    told = written() | {"mood": "good"}
    told["stages"][0]["colour"] = "red"
    del told["reason"], told["queues"][0]["name"], told["queues"][0]["peak"]

    read = read_report(told)

    assert (None, (STAGE,)) == (read.reason, read.stages)
    assert (None, 0, 9) == (read.queues[0].name, read.queues[0].peak, read.queues[0].put)


@pytest.mark.parametrize(
    "told", [{}, {"started_at": 5}, {"started_at": "yesterday"}, written() | {"stages": 5}]
)
def test_what_is_no_report_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        read_report(told)
