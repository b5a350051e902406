"""What may be otherwise in the file when a run is gone on with, and what its leftovers do not fit any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from graph_plans import plan, stage

from runner.spec.commits import CHECKPOINTED
from runner.spec.failures import RetryPolicy
from runner.spec.model import HandlerRef, StageSpec
from runner.spec.plan import Plan
from runner.spec.plan_changes import Verdict, changes_between

NAMED, ASKED, IMPOSSIBLE = Verdict.NAMED, Verdict.ASKED, Verdict.IMPOSSIBLE
Change = Callable[[StageSpec], StageSpec]


def stages(changed: str = "", change: Change = lambda each: each) -> list[StageSpec]:
    found = [
        stage("lister", None, "paths", count=2),
        stage("reader", "paths", "texts", count=2),
        replace(stage("counter", "texts", None, count=2), state=CHECKPOINTED),
        replace(stage("writer", "texts", None), handler=HandlerRef("text", "", {"path": "out.txt"})),
    ]
    return [change(each) if each.name == changed else each for each in found]


def told(then: Plan, now: Plan) -> list[tuple[str, Verdict]]:
    return [(str(change), change.verdict) for change in changes_between(then, now)]


CASES: list[tuple[str, Change, str, Verdict]] = [
    (
        "reader",
        lambda s: replace(s, handler=HandlerRef("python", "kitchen:better")),
        "stage 'reader': `run` was kitchen:work, and is kitchen:better",
        NAMED,
    ),
    ("reader", lambda s: replace(s, workers=("reader-1",)), "stage 'reader': `count` was 2, and is 1", NAMED),
    (
        "reader",
        lambda s: replace(s, workers=("reader-1", "reader-2", "reader-3")),
        "stage 'reader': `count` was 2, and is 3",
        NAMED,
    ),
    (
        "reader",
        lambda s: replace(s, retry=RetryPolicy(attempts=3)),
        "stage 'reader': `retry` has changed",
        NAMED,
    ),
    (
        "reader",
        lambda s: replace(s, sends="other"),
        "stage 'reader': `to` was texts, and is other",
        IMPOSSIBLE,
    ),
    (
        "lister",
        lambda s: replace(s, workers=("lister-1",)),
        "stage 'lister': `count` was 2, and is 1",
        IMPOSSIBLE,
    ),
    (
        "lister",
        lambda s: replace(s, workers=("a", "b")),
        "stage 'lister': the names of its workers have changed",
        IMPOSSIBLE,
    ),
    (
        "lister",
        lambda s: replace(s, arguments={"root": "/srv"}),
        "stage 'lister': `with` has changed",
        ASKED,
    ),
    (
        "lister",
        lambda s: replace(s, handler=HandlerRef("python", "kitchen:more")),
        "stage 'lister': `run` was kitchen:work, and is kitchen:more",
        ASKED,
    ),
    (
        "counter",
        lambda s: replace(s, workers=("counter-1",)),
        "stage 'counter': `count` was 2, and is 1",
        IMPOSSIBLE,
    ),
    ("counter", lambda s: replace(s, state=None), "stage 'counter': `state` has changed", ASKED),
    ("counter", lambda s: replace(s, description="new"), "", NAMED),
    (
        "writer",
        lambda s: replace(s, handler=HandlerRef("text", "", {"path": "b"})),
        "stage 'writer': the options of `run.text` have changed",
        IMPOSSIBLE,
    ),
    (
        "reader",
        lambda s: replace(s, shard_by="key"),
        "queue 'paths': it was not sharded, and is sharded by `key` among 2",
        IMPOSSIBLE,
    ),
    (
        "reader",
        lambda s: replace(s, keeps_order=True),
        "queue 'paths': how it is bounded, or the order of its items, has changed",
        IMPOSSIBLE,
    ),
]


@pytest.mark.parametrize(
    ("name", "change", "words", "verdict"), CASES, ids=[case[2] or "-" for case in CASES]
)
def test_a_change_is_told_with_what_it_means(name: str, change: Change, words: str, verdict: Verdict) -> None:
    found = told(plan(*stages()), plan(*stages(name, change)))
    assert (words, verdict) in found if words else not found


def test_what_is_gone_or_new_is_named_and_the_gravest_comes_first() -> None:
    less = plan(*(each for each in stages() if each.name != "counter"), stage("extra", "texts"))
    assert told(plan(*stages()), less) == [
        ("stage 'counter': it is gone", IMPOSSIBLE),
        ("stage 'extra': it is new", NAMED),
    ]


def test_another_bound_of_a_queue_is_no_obstacle_and_a_queue_that_is_gone_is() -> None:
    assert told(plan(*stages()), plan(*stages(), size=20)) == [
        ("queue 'paths': `maxsize` was 10, and is 20", NAMED),
        ("queue 'texts': `maxsize` was 10, and is 20", NAMED),
    ]
    assert ("queue 'paths': it is gone, and items may be in it", IMPOSSIBLE) in told(
        plan(*stages()), plan(*stages()[2:])
    )


def test_another_transport_has_no_place_for_what_was_kept() -> None:
    then = plan(*stages())
    then, now = replace(then, transport="leased"), replace(then, transport="joinable")
    assert told(then, now) == [("the workflow: `transport` was leased, and is joinable", IMPOSSIBLE)]


def test_a_plan_that_is_as_it_was_has_no_change() -> None:
    assert not changes_between(plan(*stages()), plan(*stages()))
