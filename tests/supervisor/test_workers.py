"""The workers: who exists, and how the end of a worker's life is judged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runner.events.run import WorkerOutcome
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, WorkerPlan, make_plan
from runner.supervisor.workers import WorkerExit, WorkerState, WorkerTable, judge

ASKED = "the run is being stopped"


def plan_of(**stages: tuple[str, ...]) -> Plan:
    handler = HandlerRef("python", "baozi:steam")
    specs = tuple(StageSpec(name, handler, workers=workers) for name, workers in stages.items())
    return make_plan(WorkflowSpec("baozi", Path("baozi.yaml"), specs))


def worker_plan() -> WorkerPlan:
    return plan_of(chef=("neo",)).workers[0]


@pytest.mark.parametrize(
    ("finished", "asked", "failure", "code", "expected"),
    [
        (True, None, None, 0, (WorkerOutcome.FINISHED, "nothing left to do")),
        (True, None, None, 3, (WorkerOutcome.DIED, "exited with code 3")),
        (True, None, None, -9, (WorkerOutcome.DIED, "killed by SIGKILL")),
        (False, None, None, 0, (WorkerOutcome.DIED, "exited with code 0 in the middle of its work")),
        (False, None, None, 7, (WorkerOutcome.DIED, "exited with code 7 in the middle of its work")),
        (False, None, None, -11, (WorkerOutcome.DIED, "killed by SIGSEGV")),
        (False, None, "OSError: cold", 1, (WorkerOutcome.DIED, "OSError: cold")),
        (False, None, "OSError: cold", -9, (WorkerOutcome.DIED, "OSError: cold")),
        (False, ASKED, None, -15, (WorkerOutcome.STOPPED, ASKED)),
        (False, ASKED, None, 0, (WorkerOutcome.STOPPED, ASKED)),
        (True, ASKED, None, -15, (WorkerOutcome.STOPPED, ASKED)),
        (True, ASKED, None, 0, (WorkerOutcome.FINISHED, "nothing left to do")),
        (False, ASKED, "OSError: cold", -15, (WorkerOutcome.DIED, "OSError: cold")),
    ],
)
def test_an_end_is_judged_by_what_was_said_what_was_asked_and_the_exit_code(
    finished: bool, asked: str | None, failure: str | None, code: int, expected: tuple[WorkerOutcome, str]
) -> None:
    worker = WorkerState(worker_plan(), finished=finished, failure=failure, asked_to_end=asked)

    exited = judge(WorkerExit("neo", 11, code), worker)

    assert (11, code, *expected) == (exited.pid, exited.code, exited.outcome, exited.reason)


def test_a_worker_of_a_stage_that_was_scaled_down_has_not_run_out_of_work() -> None:
    worker = WorkerState(worker_plan(), finished=True, retired=True)

    exited = judge(WorkerExit("neo", 11, 0), worker)

    assert (WorkerOutcome.FINISHED, "its stage was scaled down") == (exited.outcome, exited.reason)


def test_a_new_generation_starts_with_a_clean_record() -> None:
    worker = WorkerState(worker_plan(), 1, 11, False, True, "OSError", "Traceback", ASKED)

    worker.started(12)

    assert WorkerState(worker_plan(), generation=2, pid=12, alive=True) == worker


def test_that_a_worker_was_asked_and_that_it_is_gone_are_two_moments() -> None:
    worker = WorkerState(worker_plan())
    worker.started(11)
    exited = WorkerExit("neo", 11, -15)

    worker.signalled("it was told to", 10.0)
    worker.signalled("it was told again", 11.0)
    worker.ended(exited, 12.0)

    assert ("it was told again", 10.0, exited, 12.0, False) == (
        worker.asked_to_end,
        worker.asked_at,
        worker.last_exit,
        worker.ended_at,
        worker.alive,
    )


def test_what_the_one_before_was_asked_is_nothing_to_its_successor() -> None:
    worker = WorkerState(worker_plan())
    worker.signalled("it was told to", 10.0)

    worker.started(12)
    worker.ended(WorkerExit("neo", 12, 0), 13.0)

    assert (None, None) == (worker.asked_to_end, worker.asked_at)


def test_the_table_tells_who_has_existed_and_who_does() -> None:
    workers = WorkerTable(plan_of(chef=("neo", "alex"), eater=("eater-1",)))

    workers["neo"].started(11)
    workers["neo"].alive = False
    workers["eater-1"].started(12)

    assert ["neo", "alex", "eater-1"] == names(workers.all())
    assert ["neo", "eater-1"] == names(workers.started())
    assert ["eater-1"] == names(workers.alive())
    assert [] == names(workers.alive("chef"))


def names(workers: list[WorkerState]) -> list[str]:
    return [worker.plan.name for worker in workers]


@pytest.mark.slow
def test_mypy_refuses_an_event_that_lacks_a_field_or_has_another(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    source = tmp_path / "events.py"
    source.write_text(
        "from runner.events.run import WorkerReady\n"
        "from runner.supervisor.workers import WorkerState\n"
        "def publish(worker: WorkerState) -> None:\n"
        "    WorkerReady(**worker.process_labels())\n"
        "    WorkerReady(**worker.labels())\n"
        "    WorkerReady(**worker.process_labels(), queue='steamer')\n"
    )
    told = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(source)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout

    found = [line for line in told.splitlines() if line.startswith(f"{source}:") and ": error: " in line]
    assert [5, 6] == [int(line.removeprefix(f"{source}:").split(":")[0]) for line in found], told
