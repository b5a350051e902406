"""What events are: made from plain words, typed by enumerations, described by one schema."""

from __future__ import annotations

import pytest

from runner.events.catalogue import KINDS, event_schema
from runner.events.jobs import StepFinished
from runner.events.run import ItemFailed, RunFinished, RunOutcome, WorkerOutcome
from runner.spec.failures import OnError
from runner.spec.model import JobResult

ENUMS = [
    ("run.finished", "outcome", RunOutcome),
    ("worker.exited", "outcome", WorkerOutcome),
    ("item.failed", "action", OnError),
    ("job.finished", "result", JobResult),
    ("step.finished", "result", JobResult),
]


@pytest.mark.parametrize(("kind", "name", "enum"), ENUMS)
def test_the_schema_lists_the_words_of_an_enumeration(kind: str, name: str, enum: type[RunOutcome]) -> None:
    described = next(each for each in event_schema()["oneOf"] if each["title"] == kind)

    assert [each.value for each in enum] == described["properties"][name]["enum"]
    assert {name: enum} == KINDS[kind].enums


def test_what_a_row_may_leave_open_is_null_in_the_schema() -> None:
    started = next(each for each in event_schema()["oneOf"] if each["title"] == "run.started")
    row = started["properties"]["queues"]["items"]["properties"]

    assert [{"type": "string"}, {"type": ["integer", "null"]}] == [row["name"], row["maxsize"]]


def test_an_event_that_is_made_from_plain_words_has_the_enumeration_all_the_same() -> None:
    step = StepFinished(
        job="test", step=1, name="ruff", exitcode=1, signal=None, duration=0.5, result="timed_out"
    )
    failed = ItemFailed(worker="neo", stage="chef", queue=None, item="1", error="E", action="skip")

    assert (JobResult.TIMED_OUT, OnError.SKIP) == (step.result, failed.action)
    assert step.result.is_failure


def test_a_word_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="'splendid' is not a valid RunOutcome"):
        RunFinished(outcome="splendid", exitcode=0, reason=None, seconds=1.0, queues=[])
