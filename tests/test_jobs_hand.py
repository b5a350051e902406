"""The handler of workers that run jobs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jobs_specs import job
from jobs_workers import in_child, order, read_log, shell

from runner.handlers.base import WorkerContext
from runner.handlers.python import bind
from runner.jobs.hand import BEGUN, ENDED, RETURNED, Hand
from runner.jobs.layout import lay_out
from runner.jobs.orders import FreshOrder, Order
from runner.jobs.serving import Services
from runner.spec import Role, WorkflowSpec

Reports = list[tuple[str, dict[str, Any]]]


def handled(*orders: Order, attempts: int = 1, revoked: int = 0) -> Reports:
    """Give orders to a hand, in a child, and return what it reports."""

    def work() -> Reports:
        reports: Reports = []

        def report(what: str, fields: Mapping[str, Any]) -> None:
            reports.append((what, dict(fields)))

        context = WorkerContext(
            "worker-1", "jobs", 1, 1, report=report, revoked=lambda: revoked, attempts=lambda: attempts
        )
        hand = Hand(context)
        for each in orders:
            hand(each)
        return reports

    return in_child(work)


def test_an_order_is_begun_run_and_ended_and_each_word_names_it(tmp_path: Path) -> None:
    reports = handled(order(tmp_path, shell("echo hi"), number=5))

    assert [BEGUN, "step.started", "step.finished", ENDED] == [what for what, _ in reports]
    assert {5} == {fields["order"] for _, fields in reports}
    assert ("passed", 0) == (reports[-1][1]["result"], reports[-1][1]["exitcode"])


def test_an_order_from_a_dead_workers_hand_goes_back_without_being_run(tmp_path: Path) -> None:
    reports = handled(order(tmp_path, shell("touch ran"), number=5), attempts=2)

    assert [(RETURNED, {"order": 5})] == reports
    assert not (tmp_path / "ran").exists()


def test_an_order_that_was_revoked_runs_no_further_than_its_first_wait(tmp_path: Path) -> None:
    reports = handled(order(tmp_path, shell("sleep 30"), number=5), revoked=5)

    assert "cancelled" == reports[-1][1]["result"]


def test_a_revocation_of_another_order_is_none_of_this_ones_business(tmp_path: Path) -> None:
    reports = handled(order(tmp_path, shell("sleep 0.1"), number=6), revoked=5)

    assert "passed" == reports[-1][1]["result"]


def test_a_job_with_inputs_is_skipped_when_nothing_has_changed(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a")
    fresh = FreshOrder(str(tmp_path / "home"), str(tmp_path / "w.yaml"), ("in.txt",), (), {"command": "echo"})
    what = order(tmp_path, shell("echo run >> log.txt"), fresh=fresh)

    reports = handled(what, replace(what, number=2))

    ended = [fields for name, fields in reports if name == ENDED]
    assert ["passed", "skipped"] == [fields["result"] for fields in ended]
    assert "up to date" in ended[1]["reason"]
    assert "run\n" == (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("error", [ValueError("no such thing"), re.error("bad"), KeyError("x")])
def test_an_error_that_nobody_foresaw_fails_its_job_alone(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(self: Services, _bounds: object) -> None:
        if self._order.number == 1:
            raise error

    monkeypatch.setattr(Services, "start", fail)
    what = order(tmp_path, shell("echo hi"))

    reports = handled(what, replace(what, number=2))

    ended = [fields for name, fields in reports if name == ENDED]
    assert ["failed", "passed"] == [fields["result"] for fields in ended]
    assert ended[0]["reason"].startswith(f"an error of mprun's own, not of the job: {type(error).__name__}: ")


def test_one_hand_runs_orders_one_after_the_other(tmp_path: Path) -> None:
    what = order(tmp_path, shell("echo $MPRUN_ATTEMPT"))

    handled(what, replace(what, number=2, attempt=2))

    assert "1\n2\n" == read_log(what)


def test_the_plan_names_a_handler_that_can_be_bound() -> None:
    [worker] = lay_out(WorkflowSpec("w", Path("w.yaml"), (), jobs=(job("a"),)), 1).workers

    def work() -> str:
        context = WorkerContext("worker-1", "jobs", 1, 1, beside=worker.beside, role=Role.CONSUMER)
        return type(bind(worker.handler.target, {}, context)).__name__

    assert "Mapper" == in_child(work)
