"""Lists of items are for handlers in Python that are called with what they read, and for no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.loader.checks.commits import check_batch_beside
from runner.loader.checks.handlers import check_batch
from runner.loader.checks.stages import check_flow
from runner.spec.commits import BatchSpec, CheckpointPolicy, FlushPolicy, StatePolicy
from runner.spec.failures import RetryPolicy
from runner.spec.model import HandlerRef, StageSpec

SOURCE = """\
def turn(items):
    return items

def drive(queue):
    queue.get()

class Rows:
    def __call__(self, items):
        pass
"""
EIGHT = BatchSpec(8)


@pytest.mark.parametrize(
    ("handler", "batch", "said"),
    [
        (HandlerRef("python", "k:turn"), EIGHT, ""),
        (HandlerRef("python", "k:Rows"), EIGHT, ""),
        (HandlerRef("python", "k:missing"), EIGHT, ""),
        (HandlerRef("python", "k:drive"), None, ""),
        (HandlerRef("python", "k:drive"), EIGHT, "drive() drives its queue by itself"),
        (HandlerRef("command", "command"), EIGHT, ""),
        (HandlerRef("jsonl", "jsonl"), EIGHT, "'jsonl' writes each item as a line"),
        (HandlerRef("own", "own"), EIGHT, "'own' takes its items one by one"),
    ],
)
def test_who_takes_items_one_by_one_gets_no_lists(
    tmp_path: Path, handler: HandlerRef, batch: BatchSpec | None, said: str
) -> None:
    (tmp_path / "k.py").write_text(SOURCE)

    faults = check_batch(StageSpec("cook", handler, receives="q", batch=batch), tmp_path)

    assert [(("batch",), "handler-role")] * bool(said) == [(fault.where, fault.code) for fault in faults]
    assert all(said in fault.message for fault in faults)


PYTHON = HandlerRef("python", "k:turn")


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (StageSpec("cook", PYTHON, receives="q", batch=EIGHT, shard_by="item"), []),
        (StageSpec("cook", PYTHON, receives="q", batch=EIGHT, retry=RetryPolicy(attempts=3)), []),
        (
            StageSpec(
                "cook", PYTHON, receives="q", batch=EIGHT, shard_by="item", retry=RetryPolicy(attempts=3)
            ),
            [("conflicting-keys", "batch")],
        ),
    ],
    ids=["shards", "retries", "both"],
)
def test_where_a_retry_holds_up_what_is_behind_it_there_are_no_batches(
    stage: StageSpec, expected: list[tuple[str, str]]
) -> None:
    assert expected == [(each.code, each.path[2]) for each in check_flow([stage], [], "leased")]


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (StageSpec("cook", PYTHON, receives="q", batch=EIGHT), 0),
        (StageSpec("cook", PYTHON, receives="q", batch=EIGHT, flush=FlushPolicy()), 1),
        (StageSpec("cook", PYTHON, receives="q", batch=EIGHT, state=StatePolicy(CheckpointPolicy())), 1),
        (StageSpec("cook", PYTHON, receives="q", batch=EIGHT, state=StatePolicy(None)), 0),
    ],
    ids=["alone", "flush", "checkpoint", "none"],
)
def test_an_item_is_done_in_one_way_only(stage: StageSpec, expected: int) -> None:
    assert [("conflicting-keys", "batch")] * expected == [
        (d.code, d.path[2]) for d in check_batch_beside(stage)
    ]
