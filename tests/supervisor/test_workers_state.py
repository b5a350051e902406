"""What a worker that died has taken along of the items that are done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.events.run import WorkerOutcome
from runner.ipc.status_page import Counters
from runner.spec.commits import CHECKPOINTED, NO_STATE, FlushPolicy, Holder, KeptState, LostBeside
from runner.spec.failures import RestartPolicy
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec
from runner.supervisor.workers import (
    FROM_OUTSIDE,
    WorkerExit,
    WorkerState,
    lost_close,
    lost_state,
    lost_with_reader,
)

SEEN = KeptState("total", "counting.py", 8)
UNSEEN = KeptState()
CURES = (
    "`state: checkpoint` keeps it, a method `flush()` makes it safe, `state: none` says that it does not matter, and "
    "`restart` that another is to begin anew all the same"
)
STAGE = StageSpec(
    "eater", HandlerRef("python", "counting:Total"), workers=("eater-1",), receives="q", kept=SEEN
)


def lost(stage: StageSpec, done: int = 700, instance_of: str = "", holds: str = "") -> str:
    spec = WorkflowSpec("t", Path("t.yaml"), (stage,), (QueueSpec("q"),))
    worker = WorkerState(make_plan(spec).workers[0], instance_of=instance_of, holds=holds)
    exited = WorkerExit("eater-1", 12, -9, WorkerOutcome.DIED, "killed", counters=Counters(done=done))
    return lost_state(worker, exited)


def lost_in_close(stage: StageSpec, *, closes: bool = True, finished: bool = False) -> str:
    spec = WorkflowSpec("t", Path("t.yaml"), (stage,), (QueueSpec("q"),))
    worker = WorkerState(make_plan(spec).workers[0], closes_since=1.0 if closes else None, finished=finished)
    exited = WorkerExit("eater-1", 12, -9, WorkerOutcome.DIED, "killed", counters=Counters(done=7))
    return lost_close(worker, exited)


PLAIN = replace(STAGE, kept=None)


def test_a_death_in_close_is_told_with_the_items_that_it_was_to_make_safe() -> None:
    said = lost_in_close(PLAIN)

    assert said.startswith(
        "it was in its close(), and what that was to make safe of 7 items may be lost; `state: none`"
    )


@pytest.mark.parametrize(
    "stage",
    [
        replace(PLAIN, state=NO_STATE),
        replace(PLAIN, state=CHECKPOINTED),
        replace(PLAIN, flush=FlushPolicy()),
        replace(PLAIN, restart=RestartPolicy()),
        replace(PLAIN, handler=HandlerRef("jsonl", "")),
    ],
    ids=["no state", "a checkpoint", "a flush", "a restart", "a sink of ours"],
)
def test_what_is_safe_before_close_or_may_be_lost_is_not_missed(stage: StageSpec) -> None:
    assert "" == lost_in_close(stage)


@pytest.mark.parametrize(("closes", "finished"), [(False, False), (True, True)])
def test_a_death_before_or_after_close_is_none_in_it(closes: bool, finished: bool) -> None:
    assert "" == lost_in_close(PLAIN, closes=closes, finished=finished)


def test_what_it_kept_is_named_with_the_items_that_made_it() -> None:
    expected = f"what it kept of 700 items in `self.total` (counting.py, line 8) is lost; {CURES}"

    assert expected == lost(STAGE)


@pytest.mark.parametrize(
    ("beside", "cure"),
    [
        (LostBeside.FLUSH, "`state: checkpoint` keeps it, `flush()` may make it safe too, `state: none`"),
        (
            LostBeside.CHECKPOINT,
            "it is the class's, and a checkpoint keeps what is made in `__init__`; `state: none`",
        ),
    ],
)
def test_what_is_lost_beside_a_flush_or_a_checkpoint_has_a_cure_of_its_own(
    beside: LostBeside, cure: str
) -> None:
    kept = replace(SEEN, beside=beside)
    state = CHECKPOINTED if beside is LostBeside.CHECKPOINT else None

    said = lost(replace(STAGE, kept=kept, state=state))

    assert said.startswith(f"what it kept of 700 items in `self.total` (counting.py, line 8) is lost; {cure}")


def test_where_no_item_is_done_nothing_is_lost() -> None:
    assert lost(STAGE, done=0) == ""


@pytest.mark.parametrize(
    "stage",
    [
        replace(STAGE, kept=None),
        replace(STAGE, state=NO_STATE),
        replace(STAGE, restart=RestartPolicy()),
    ],
    ids=["keeps nothing", "does not matter", "restart is written"],
)
def test_nothing_is_missed_that_was_not_kept_or_that_the_file_gives_up(stage: StageSpec) -> None:
    assert lost(stage) == ""


def test_an_instance_whose_source_cannot_be_read_may_have_kept_something() -> None:
    expected = (
        "what it kept of 700 items is lost, if it kept anything: the source of Total can't be read; " + CURES
    )

    assert expected == lost(replace(STAGE, kept=UNSEEN), instance_of="Total")


@pytest.mark.parametrize("kept", [None, UNSEEN])
def test_what_was_found_to_be_held_is_named(kept: KeptState | None) -> None:
    said = lost(replace(STAGE, kept=kept), holds="lines.txt was not flushed", instance_of="Total")

    assert said.startswith(
        "what it had not made safe of 700 items is lost: lines.txt was not flushed; what a call"
    )


def test_work_that_a_call_does_not_wait_for_is_lost() -> None:
    kept = KeptState("POOL.submit", "kitchen.py", 9, holder=Holder.BEGUN)

    said = lost(replace(STAGE, kept=kept))

    assert said.startswith(
        "what it had left of 700 items to `POOL.submit()`, which a call does not wait for (kitchen.py, line 9) is lost"
    )


def test_a_function_whose_source_cannot_be_read_keeps_nothing() -> None:
    assert lost(replace(STAGE, kept=UNSEEN)) == ""


def left(stage: StageSpec, outcome: WorkerOutcome, earlier: int = 0, done: int = 0) -> str:
    spec = WorkflowSpec("t", Path("t.yaml"), (stage,), (QueueSpec("q"),))
    worker = WorkerState(make_plan(spec).workers[0], earlier=Counters(done=earlier))
    return lost_with_reader(
        worker, WorkerExit("eater-1", 12, -15, outcome, FROM_OUTSIDE, counters=Counters(done=done))
    )


def test_what_a_reader_that_was_stopped_alone_can_not_hand_on_is_lost() -> None:
    kept = replace(STAGE, kept=None, state=CHECKPOINTED)

    assert "nobody takes over what it kept of 7 items" == left(kept, WorkerOutcome.STOPPED, 3, 4)
    assert left(STAGE, WorkerOutcome.STOPPED, done=4).startswith("what it kept of 4 items in `self.total`")


@pytest.mark.parametrize(
    ("stage", "outcome", "done"),
    [
        (replace(STAGE, kept=None, state=CHECKPOINTED), WorkerOutcome.FINISHED, 4),
        (replace(STAGE, kept=None, state=CHECKPOINTED), WorkerOutcome.STOPPED, 0),
        (replace(STAGE, kept=None), WorkerOutcome.STOPPED, 4),
    ],
    ids=["it has closed", "nothing was done", "it keeps nothing"],
)
def test_a_reader_that_was_stopped_alone_may_leave_nothing_behind(
    stage: StageSpec, outcome: WorkerOutcome, done: int
) -> None:
    assert "" == left(stage, outcome, done=done)
