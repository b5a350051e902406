"""What the ways to show jobs one after the other, and line by line, have in common."""

from __future__ import annotations

from pathlib import Path

import pytest
from job_histories import cancelled, skipped
from job_shows import Stage

from runner.render.job_output.grouped import GroupView
from runner.render.job_output.streamed import StreamView
from runner.render.style import OutputStyle


@pytest.fixture(params=[GroupView, StreamView])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    stage.show = request.param(stage.written.append, OutputStyle())
    return stage


def test_a_job_that_finds_itself_up_to_date_ends_as_skipped(stage: Stage) -> None:
    stage.starts("a")
    stage.happens(skipped("a", reason="it is up to date"))
    stage.steps()

    assert ["- a was skipped: it is up to date"] == stage.shown
    assert stage.show.step() is None


def test_a_job_that_is_called_off_between_two_attempts_is_told_once(stage: Stage) -> None:
    stage.starts("a")
    stage.is_retried("a")
    stage.steps()
    stage.happens(cancelled("a"))
    stage.ends("a", "cancelled")
    stage.steps()

    assert [
        "! a: attempt 1 exited with 75",
        "- a was cancelled after 1.0s: its steps are cancelled",
    ] == stage.shown[-2:]
