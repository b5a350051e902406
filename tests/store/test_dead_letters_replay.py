"""A replay is the same workflow, begun at the stages that failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.spec.model import HandlerRef, Role, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec
from runner.store.dead_letters import replay_spec

HANDLER = HandlerRef("python", "m:f")


def stage(
    name: str, receives: str | None = None, sends: str | None = None, needs: tuple[str, ...] = ()
) -> StageSpec:
    return StageSpec(name, HANDLER, {}, (f"{name}-1",), receives, sends, needs=needs)


SPEC = WorkflowSpec(
    "baozi",
    Path("/w/baozi.yaml"),
    (
        stage("chef", sends="steamer"),
        stage("wrapper", "steamer", "boxes", needs=("oven",)),
        stage("taster", "steamer"),
        stage("courier", "boxes", needs=("wrapper",)),
        stage("oven"),
    ),
    tuple(QueueSpec(name, maxsize=7) for name in ("steamer", "boxes")),
)
LETTERS = (Path("/r/wrapper.jsonl"), [1, 4])


def test_a_replay_has_the_letters_instead_of_all_that_comes_before() -> None:
    replayed = replay_spec(SPEC, {"wrapper": LETTERS})

    assert ["letters of wrapper", "wrapper", "courier"] == [each.name for each in replayed.stages]
    source = replayed.stages[0]
    assert (Role.PRODUCER, "steamer") == (source.role, source.sends)
    assert {"path": "/r/wrapper.jsonl", "numbers": [1, 4]} == source.arguments
    assert SPEC.queues[1:] == replayed.queues[1:]


@pytest.mark.parametrize(("own", "expected"), [(1, 1), (7, 2), (None, 2)])
def test_few_letters_wait_so_that_little_is_left_to_do_when_it_is_stopped(
    own: int | None, expected: int
) -> None:
    spec = replace(SPEC, queues=(QueueSpec("steamer", maxsize=own), *SPEC.queues[1:]))

    assert [expected, 7] == [queue.maxsize for queue in replay_spec(spec, {"wrapper": LETTERS}).queues]


def test_a_stage_that_would_take_letters_of_another_is_left_out() -> None:
    replayed = replay_spec(SPEC, {"wrapper": LETTERS})

    assert "taster" not in [each.name for each in replayed.stages]


def test_nobody_waits_for_a_stage_that_is_left_out() -> None:
    replayed = replay_spec(SPEC, {"wrapper": LETTERS})

    assert [(), (), ("wrapper",)] == [each.needs for each in replayed.stages]


def test_a_replay_of_the_last_stage_has_its_queue_alone() -> None:
    replayed = replay_spec(SPEC, {"courier": LETTERS})

    assert ["letters of courier", "courier"] == [each.name for each in replayed.stages]
    assert ["boxes"] == [queue.name for queue in replayed.queues]


def test_letters_of_two_stages_are_replayed_in_one_run() -> None:
    replayed = replay_spec(SPEC, {"wrapper": LETTERS, "courier": LETTERS})

    plan = make_plan(replayed)
    assert ("letters of courier", "wrapper-1") == plan.queues[1].writers


def test_a_name_that_is_taken_is_not_taken_twice() -> None:
    taken = WorkflowSpec("t", Path("t.yaml"), (stage("eater", "q"), stage("letters of eater", sends="q")))

    replayed = replay_spec(taken, {"eater": LETTERS})

    assert "letters of eater'" == replayed.stages[0].name


def test_letters_of_a_stage_that_is_no_more_have_nowhere_to_go() -> None:
    with pytest.raises(UsageError, match="no stage 'waiter' that reads a queue"):
        replay_spec(SPEC, {"waiter": LETTERS})


def test_letters_of_a_producer_come_in_its_place() -> None:
    (chef,) = (stage for stage in SPEC.stages if stage.name == "chef")

    source, *others = replay_spec(SPEC, {"chef": LETTERS}).stages

    assert ("chef", ("chef",), chef.sends) == (source.name, source.workers, source.sends)
    assert "chef" not in [stage.name for stage in others]
