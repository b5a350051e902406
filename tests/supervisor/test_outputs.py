"""What stages leave, in the supervisor's hands: it stays where a cut speaks of it, and is there again or refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runner.errors import ResumeRefused
from runner.loader.load import load
from runner.spec.plan import Plan, make_plan
from runner.supervisor.outputs import open_outputs, surplus
from runner.transports.cut import OUTPUT, Cut

STATE = b'{"length": 3}'


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A stage whose output replaces a file."""
    (tmp_path / "flow.yaml").write_text(
        "name: flow\nstages:\n  numbers: {run: {range: {stop: 9}}, to: q}\n"
        f"  sink: {{run: {{jsonl: {{path: {tmp_path}/out, mode: replace}}}}, from: q}}\n",
        encoding="utf-8",
    )
    return make_plan(load(tmp_path / "flow.yaml"))


def hidden(plan: Plan) -> list[Path]:
    return list(plan.path.parent.glob(".out.*"))


def left_by_another(plan: Plan) -> Cut:
    """The cut of a runner that was killed when a line and a half had been written."""
    with open_outputs(plan, resumable=True) as (told, outputs):
        (part,) = (Path(each.prepared.of(each.name).path) for each in told.workers if each.stage == "sink")
        part.write_text("1\n2\n3", encoding="utf-8")
        kept = {OUTPUT + stage: data for stage, data in outputs.kept().items()}
    return Cut(states={**kept, "sink-1": STATE})


def test_nothing_stays_of_a_start_that_no_cut_speaks_of(plan: Plan) -> None:
    with open_outputs(plan, resumable=True):
        assert len(hidden(plan)) == 1

    assert [] == hidden(plan)


def test_nothing_stays_where_nobody_could_go_on(plan: Plan) -> None:
    with open_outputs(plan) as (_, outputs):
        outputs.kept()

    assert [] == hidden(plan)


def test_what_a_cut_speaks_of_stays_and_is_opened_again(plan: Plan) -> None:
    cut = left_by_another(plan)
    cut_off = list(surplus(plan, plan.origin, cut))

    with open_outputs(plan, resumable=True, cut=cut) as (_, outputs):
        fault = outputs.finish(complete=True, workers=[("sink-1", "sink")], state_of=lambda _worker: STATE)

    assert ([2], None) == ([count for _, count in cut_off], fault)
    assert "1\n2" == (plan.path.parent / "out").read_text(encoding="utf-8")
    assert [] == hidden(plan)


def test_who_can_not_have_it_again_is_refused_and_leaves_it_as_it_is(plan: Plan) -> None:
    cut = left_by_another(plan)
    (folder,) = hidden(plan)
    shutil.move(folder, plan.path.parent / "aside")

    with (
        pytest.raises(
            ResumeRefused, match=f"run '{plan.origin}' can't be gone on with: stage 'sink': .* is gone"
        ),
        open_outputs(plan, resumable=True, cut=cut),
    ):
        pass

    shutil.move(plan.path.parent / "aside", folder)
    with open_outputs(plan, resumable=True, cut=cut):
        assert [folder] == hidden(plan)
