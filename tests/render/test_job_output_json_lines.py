"""`--output json`: events and what jobs print, as lines for machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from job_histories import event, run_finished, run_started, skipped
from job_shows import Stage

from runner.events.catalogue import event_schema
from runner.render.job_output.json_lines import JsonView


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    stage.show = JsonView(stage.written.append)
    return stage


def lines(stage: Stage) -> list[dict[str, Any]]:
    told = [json.loads(line) for line in stage.shown]
    validator = jsonschema.Draft202012Validator(event_schema())
    for line in told:
        validator.validate(line)
    return told


def names(stage: Stage) -> list[str]:
    return [line["event"] for line in lines(stage)]


def test_what_a_job_prints_comes_before_its_end_and_the_end_of_the_run_last(stage: Stage) -> None:
    stage.happens(run_started(2))
    stage.starts("a")
    stage.prints("a", b"\x1b[31mone\x1b[0m\ntwo \xff")
    stage.ends("a")
    stage.happens(skipped("b"))
    stage.happens(run_finished())
    stage.steps()
    stage.show.finish()

    assert [
        "run.started",
        "job.started",
        "job.skipped",
        "job.printed",
        "job.finished",
        "run.finished",
    ] == names(stage)
    assert ("a", "one\ntwo �\n") == (lines(stage)[3]["job"], lines(stage)[3]["text"])


def test_attempts_are_told_in_their_order(stage: Stage) -> None:
    stage.starts("a")
    stage.prints("a", "first\n")
    stage.is_retried("a")
    stage.steps()
    stage.starts("a", attempt=2)
    stage.prints("a", "second\n")
    stage.ends("a", attempt=2)
    stage.steps()

    assert [
        "job.started",
        "job.printed",
        "job.retried",
        "job.started",
        "job.printed",
        "job.finished",
    ] == names(stage)


def test_snapshots_are_not_for_it(stage: Stage) -> None:
    stage.happens(event("run.progress", elapsed=1.0, stages=[], queues=[]))

    assert [] == stage.shown


def test_when_time_is_up_it_says_how_much_is_left_out_and_still_how_it_ended(stage: Stage) -> None:
    stage.happens(run_started(1))
    stage.starts("a")
    stage.prints("a", "x\n" * 2**20)
    stage.ends("a")
    stage.happens(run_finished())
    stage.show.step()
    stage.show.finish()

    assert ["job.printed", "job.printed", "job.finished", "run.finished"] == names(stage)[-4:]
    assert (2**21 - 2**16, "") == (lines(stage)[-3]["left_out"], lines(stage)[-3]["text"])
    assert stage.show.step() is None
