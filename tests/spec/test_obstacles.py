"""What is in the way of going on with a run: by its plan, and by who had come to an end when it was kept last."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from graph_plans import plan, stage

from runner.spec.commits import NO_STATE, KeptState
from runner.spec.model import HandlerRef, StageSpec
from runner.spec.obstacles import (
    Hindrance,
    Reached,
    in_the_way,
    obstacles_as_facts,
    obstacles_of_facts,
    run_obstacles,
)
from runner.spec.plan import Plan
from runner.spec.resources import SharedSpec
from runner.spec.resume import OverDeath, ResumePolicy

COUNTER = replace(stage("counter", "bag", None, count=2), kept=KeptState("total", "shop.py", 7))
CLOCK = stage("clock", None, None)
STDIN = replace(stage("reader", None, "bag"), handler=HandlerRef("lines", "lines", {"path": "-"}))
LISTER, EATER = stage("lister", None, "bag"), stage("eater", "bag", None)


def asked(found: list[Hindrance]) -> str:
    """Say how a run is gone on with: `at once`, `asked` for, or `not`."""
    if not found:
        return "at once"
    return "asked" if all(each.can_be_asked for each in found) else "not"


def way(of: Plan, reached: Reached | None) -> str:
    return asked(in_the_way(run_obstacles(of), reached))


@pytest.mark.parametrize(
    ("stages", "ended", "closed", "expected"),
    [
        ([LISTER, EATER], "", "", "at once"),
        ([LISTER, EATER, CLOCK], "", "", "not"),
        ([LISTER, EATER, CLOCK], "", "clock-1", "not"),
        ([LISTER, EATER, CLOCK], "clock-1", "", "at once"),
        ([LISTER, EATER, replace(CLOCK, daemon=True)], "", "", "at once"),
        ([STDIN, EATER], "", "eater-1", "not"),
        ([STDIN, EATER], "reader-1", "", "at once"),
        ([replace(STDIN, over_death=OverDeath.AT_MOST_ONCE), EATER], "", "", "at once"),
        ([LISTER, COUNTER], "", "", "not"),
        ([LISTER, COUNTER], "lister-1", "counter-1", "not"),
        ([LISTER, COUNTER], "lister-1", "counter-1 counter-2", "asked"),
        ([LISTER, COUNTER], "counter-1", "counter-2", "asked"),
        ([LISTER, COUNTER], "counter-1 counter-2", "", "at once"),
        ([LISTER, replace(COUNTER, state=NO_STATE)], "", "", "at once"),
        ([LISTER, COUNTER, CLOCK], "", "counter-1 counter-2", "not"),
    ],
)
def test_who_has_ended_decides_whether_a_run_is_gone_on_with(
    stages: list[StageSpec], ended: str, closed: str, expected: str
) -> None:
    reached = Reached(ended.split(), closed.split(), done={"bag": 3})

    assert expected == way(plan(*stages), reached)


def test_what_is_kept_of_no_item_is_no_loss_and_a_worker_that_was_added_counts() -> None:
    of = plan(LISTER, COUNTER)

    assert "at once" == way(of, Reached(done={"bag": 0}))
    assert "not" == way(of, Reached(("counter-1", "counter-2"), (), {"counter-3": "counter"}, {"bag": 3}))


def test_without_a_cut_or_anybody_who_knows_the_queues_there_is_one_reason() -> None:
    of = plan(LISTER, COUNTER, CLOCK)

    (never,) = in_the_way(run_obstacles(of), None)
    assert "before anything of it was kept" in never.why
    for other, why in [
        (replace(of, transport="joinable"), "under `joinable` nobody knows"),
        (replace(of, resume=ResumePolicy(keeps=False)), "its file says `resume: none`"),
    ]:
        (found,) = in_the_way(run_obstacles(other), None)
        assert found.why.startswith(why)
        assert "not" == way(other, Reached(("clock-1", "counter-1", "counter-2")))


def test_a_record_says_of_its_run_what_the_plan_does() -> None:
    of = replace(plan(LISTER, COUNTER, STDIN, CLOCK), shared=(SharedSpec("board", "dict"),))
    found = run_obstacles(of)

    assert found == obstacles_of_facts(json.loads(json.dumps(obstacles_as_facts(found))))
    assert () == obstacles_of_facts([{"lacking": "of another version"}])


def test_the_more_workers_have_come_to_their_end_the_less_is_in_the_way() -> None:
    found = run_obstacles(plan(LISTER, COUNTER, STDIN, CLOCK))
    names = ["counter-1", "counter-2", "reader-1", "clock-1"]
    for ended in itertools.chain.from_iterable(itertools.combinations(names, n) for n in range(5)):
        before = len(in_the_way(found, Reached(ended, done={"bag": 1})))
        for one in names:
            assert len(in_the_way(found, Reached({*ended, one}, done={"bag": 1}))) <= before
    assert [] == in_the_way(found, Reached(names, done={"bag": 1}))
