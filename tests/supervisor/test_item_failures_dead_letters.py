"""Letters that can't be written at once are written bit by bit, and those that are lost are counted."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from runner.ipc.messages import FailedItem, ItemFailure
from runner.ipc.shm.handles import SharedBytes
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.supervisor.item_failures import DeadLetterWriter
from runner.supervisor.outcome import Cause

STAGE = StageSpec("eater", HandlerRef("python", "m:f"), {}, ("neo",), receives="q")
BULK = SharedBytes(0, 0, 1, None)
NEO = make_plan(WorkflowSpec("t", Path("t.yaml"), (STAGE,))).workers[0]


class Letters:
    """Keeps what it is given in a number of steps, or does not."""

    def __init__(self, steps: int = 0, *, full: bool = False) -> None:
        self._steps = steps
        self._full = full
        self.kept: list[tuple[Any, ...]] = []

    def keep(self, *told: Any) -> str:
        if self._full and not self._steps:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.kept.append(told)
        return "letters.jsonl"

    @property
    def behind(self) -> bool:
        return self._steps > 0

    def catch_up(self) -> str | None:
        self._steps -= 1
        if self._full and not self._steps:
            raise OSError(errno.EIO, "Input/output error")
        return None if self._steps else "letters.jsonl"


Told = list[tuple[str | None, str | None]]


def keep(writer: DeadLetterWriter, bulk: SharedBytes | None = None) -> Told:
    told: Told = []
    failed_item = FailedItem(None, 0, (), bulk)
    writer.keep(NEO, ItemFailure("neo", "'b'", "ValueError: b"), failed_item, lambda *what: told.append(what))
    return told


def test_a_letter_is_kept_where_its_stage_can_find_it() -> None:
    letters = Letters()
    writer = DeadLetterWriter(letters)

    assert [("letters.jsonl", None)] == keep(writer)
    worker, failure, _ = letters.kept[0]
    assert (NEO, "'b'") == (worker, failure.item)
    assert writer.lost() is None


def test_letters_that_cannot_be_written_fail_the_run_in_the_end() -> None:
    writer = DeadLetterWriter(Letters(full=True))
    told = [*keep(writer), *keep(writer)]

    assert [(None, "No space left on device")] * 2 == told
    assert writer.lost_of("q") == 2
    expected = "2 dead letters could not be kept and are lost: No space left on device"
    assert Cause("failed", 1, expected) == writer.lost()


def test_what_is_behind_is_finished_before_it_is_said_what_was_lost() -> None:
    writer = DeadLetterWriter(Letters(3))
    told = keep(writer, BULK)
    writer.catch_up()

    assert writer.behind
    assert told == []
    assert writer.lost() is None
    assert not writer.behind
    assert [("letters.jsonl", None)] == told


def test_a_letter_that_is_lost_on_the_way_counts_too() -> None:
    writer = DeadLetterWriter(Letters(3, full=True))
    told = keep(writer, BULK)

    expected = "1 dead letter could not be kept and is lost: Input/output error"
    assert Cause("failed", 1, expected) == writer.lost()
    assert [(None, "Input/output error")] == told
    assert writer.lost_of("q") == 1
