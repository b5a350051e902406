"""The handler of workers that run jobs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jobs_specs import job
from jobs_workers import in_child, read_log, request, shell

from runner.handlers.kinds import WorkerContext
from runner.handlers.python import bind
from runner.jobs.executor.runner import JobRunner
from runner.jobs.executor.services import Services
from runner.jobs.plan import plan_jobs
from runner.jobs.requests import JobMessage, JobRequest
from runner.jobs.up_to_date import UpToDateCheck
from runner.spec.model import Role, WorkflowSpec

Reports = list[tuple[str, dict[str, Any]]]


def handled(*requests: JobRequest, attempts: int = 1, revoked: int = 0) -> Reports:
    """Give requests to a job runner, in a child, and return what it reports."""

    def work() -> Reports:
        reports: Reports = []

        def report(what: str, fields: Mapping[str, Any]) -> None:
            reports.append((what, dict(fields)))

        context = WorkerContext(
            "worker-1", "jobs", 1, 1, report=report, revoked=lambda: revoked, attempts=lambda: attempts
        )
        job_runner = JobRunner(context)
        for each in requests:
            job_runner(each)
        return reports

    return in_child(work)


def test_a_request_is_begun_run_and_ended_and_each_message_names_it(tmp_path: Path) -> None:
    reports = handled(request(tmp_path, shell("echo hi"), number=5))

    assert [JobMessage.BEGUN, "step.started", "step.finished", JobMessage.ENDED] == [
        what for what, _ in reports
    ]
    assert {5} == {fields["request"] for _, fields in reports}
    assert ("passed", 0) == (reports[-1][1]["result"], reports[-1][1]["exitcode"])


def test_a_request_from_a_dead_worker_goes_back_without_being_run(tmp_path: Path) -> None:
    reports = handled(request(tmp_path, shell("touch ran"), number=5), attempts=2)

    assert [(JobMessage.RETURNED, {"request": 5})] == reports
    assert not (tmp_path / "ran").exists()


def test_a_request_that_was_revoked_runs_no_further_than_its_first_wait(tmp_path: Path) -> None:
    reports = handled(request(tmp_path, shell("sleep 30"), number=5), revoked=5)

    assert "cancelled" == reports[-1][1]["result"]


def test_a_revocation_of_another_request_is_none_of_this_ones_business(tmp_path: Path) -> None:
    reports = handled(request(tmp_path, shell("sleep 0.1"), number=6), revoked=5)

    assert "passed" == reports[-1][1]["result"]


def test_a_job_with_inputs_is_skipped_when_nothing_has_changed(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a")
    home, workflow = str(tmp_path / "home"), str(tmp_path / "w.yaml")
    check = UpToDateCheck("job", str(tmp_path), ("in.txt",), (), {"command": "echo"}, home, workflow)
    what = request(tmp_path, shell("echo run >> log.txt"), up_to_date=check)

    reports = handled(what, replace(what, number=2))

    ended = [fields for name, fields in reports if name == JobMessage.ENDED]
    assert ["passed", "skipped"] == [fields["result"] for fields in ended]
    assert "up to date" in ended[1]["reason"]
    assert "run\n" == (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("error", [ValueError("no such thing"), re.error("bad"), KeyError("x")])
def test_an_error_that_nobody_foresaw_fails_its_job_alone(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(self: Services, _deadlines: object) -> None:
        if self._request.number == 1:
            raise error

    monkeypatch.setattr(Services, "start", fail)
    what = request(tmp_path, shell("echo hi"))

    reports = handled(what, replace(what, number=2))

    ended = [fields for name, fields in reports if name == JobMessage.ENDED]
    assert ["failed", "passed"] == [fields["result"] for fields in ended]
    assert ended[0]["reason"].startswith(f"an error of mprun's own, not of the job: {type(error).__name__}: ")


def test_one_job_runner_runs_requests_one_after_the_other(tmp_path: Path) -> None:
    what = request(tmp_path, shell("echo $MPRUN_ATTEMPT"))

    handled(what, replace(what, number=2, attempt=2))

    assert "1\n2\n" == read_log(what)


def test_the_plan_names_a_handler_that_can_be_bound() -> None:
    [worker] = plan_jobs(WorkflowSpec("w", Path("w.yaml"), (), jobs=(job("a"),)), 1).workers

    def work() -> str:
        context = WorkerContext("worker-1", "jobs", 1, 1, beside=worker.beside, role=Role.CONSUMER)
        return type(bind(worker.handler.target, {}, context)).__name__

    assert "Mapper" == in_child(work)
