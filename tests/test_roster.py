"""The roster: who exists, and how the end of a worker's life is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.facts import Exited
from runner.plan import Plan, WorkerPlan, make_plan
from runner.roster import Departure, Ending, Record, Roster, judge
from runner.spec import HandlerRef, StageSpec, WorkflowSpec

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
        (True, None, None, 0, Ending("finished", "nothing left to do")),
        (True, None, None, 3, Ending("died", "exited with code 3")),
        (True, None, None, -9, Ending("died", "killed by SIGKILL")),
        (False, None, None, 0, Ending("died", "exited with code 0 in the middle of its work")),
        (False, None, None, 7, Ending("died", "exited with code 7 in the middle of its work")),
        (False, None, None, -11, Ending("died", "killed by SIGSEGV")),
        (False, None, "OSError: cold", 1, Ending("died", "OSError: cold")),
        (False, None, "OSError: cold", -9, Ending("died", "OSError: cold")),
        (False, ASKED, None, -15, Ending("stopped", ASKED)),
        (False, ASKED, None, 0, Ending("stopped", ASKED)),
        (True, ASKED, None, -15, Ending("stopped", ASKED)),
        (True, ASKED, None, 0, Ending("finished", "nothing left to do")),
        (False, ASKED, "OSError: cold", -15, Ending("died", "OSError: cold")),
    ],
)
def test_an_end_is_judged_by_what_was_said_what_was_asked_and_the_exit_code(
    finished: bool, asked: str | None, failure: str | None, code: int, expected: Ending
) -> None:
    record = Record(worker_plan(), finished=finished, failure=failure, asked_to_end=asked)

    assert expected == judge(record, Exited("neo", 11, code))


def test_a_worker_of_a_stage_that_was_scaled_down_has_not_run_out_of_work() -> None:
    record = Record(worker_plan(), finished=True, retired=True)

    assert Ending("finished", "its stage was scaled down") == judge(record, Exited("neo", 11, 0))


def test_a_new_generation_starts_with_a_clean_record() -> None:
    record = Record(worker_plan(), 1, 11, False, True, "OSError", "Traceback", ASKED)

    record.be_born(12)

    assert Record(worker_plan(), generation=2, pid=12, alive=True) == record


def test_that_a_worker_was_asked_and_that_it_is_gone_are_two_moments() -> None:
    record = Record(worker_plan())
    record.be_born(11)
    exited = Exited("neo", 11, -15)

    record.ask_to_end("it was told to", 10.0)
    record.ask_to_end("it was told again", 11.0)
    record.depart("it was told again", exited, 12.0)

    assert Departure("it was told again", exited, 10.0, 12.0) == record.departure


def test_what_the_one_before_was_asked_is_nothing_to_its_successor() -> None:
    record = Record(worker_plan())
    record.ask_to_end("it was told to", 10.0)

    record.be_born(12)
    record.depart("nothing left to do", Exited("neo", 12, 0), 13.0)

    assert record.departure is not None
    assert None is record.departure.asked_at


def test_the_roster_tells_who_has_existed_and_who_does() -> None:
    roster = Roster(plan_of(chef=("neo", "alex"), eater=("eater-1",)))

    roster["neo"].be_born(11)
    roster["neo"].alive = False
    roster["eater-1"].be_born(12)

    assert ["neo", "alex", "eater-1"] == names(roster.all())
    assert ["neo", "eater-1"] == names(roster.started())
    assert ["eater-1"] == names(roster.alive())
    assert [] == names(roster.alive("chef"))


def names(records: list[Record]) -> list[str]:
    return [record.plan.name for record in records]
