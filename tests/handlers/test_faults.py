"""Faults round a handler: at which item they come, and what they leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.errors import HandlerError
from runner.handlers.faults import with_faults
from runner.handlers.kinds import Mapper, Source, WorkerContext
from runner.spec.file_tests.faults import FaultKind, FaultSpec, PlannedFault

CONTEXT = WorkerContext("a-1", "a", 1, 1)


def called(
    folder: Path, items: Sequence[Any], *faults: FaultSpec, context: WorkerContext = CONTEXT
) -> list[object]:
    """Call a handler with each of some items; return what it returns or raises."""
    place = [-1]
    placed = replace(context, places=context.places if context is not CONTEXT else lambda: [place[0]])
    planned = [PlannedFault(fault, f"{folder}/fault-{n}-") for n, fault in enumerate(faults)]
    handler = with_faults(Mapper(lambda item: item), planned, placed)
    assert isinstance(handler, Mapper)
    found: list[object] = []
    for item in items:
        place[0] += 1
        try:
            found.append(handler.call(item))
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
    return found


def test_it_raises_at_the_item_of_that_number_and_leaves_a_mark(tmp_path: Path) -> None:
    fault = FaultSpec("a", at_item=2, kind=FaultKind.RAISE, error="ConnectionError: no answer")

    assert [1, "ConnectionError: no answer", 3] == called(tmp_path, [1, 2, 3], fault)
    assert ["fault-0-0"] == [each.name for each in tmp_path.iterdir()]


def test_a_fault_that_is_not_reached_leaves_none(tmp_path: Path) -> None:
    assert [1] == called(tmp_path, [1], FaultSpec("a", at_item=2, kind=FaultKind.RAISE))
    assert [] == [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("written", "raised"),
    [
        ("ValueError: x: y", "ValueError: x: y"),
        ("ValueError", "ValueError: "),
        ("json.JSONDecodeError: x", "JSONDecodeError: x"),
        ("requests.Timeout: late", "Timeout: late"),
        ("Odd: x", "Odd: x"),
        ("SystemExit: 3", "SystemExit: 3"),
    ],
)
def test_an_exception_is_named_by_its_type_and_message(tmp_path: Path, written: str, raised: str) -> None:
    fault = FaultSpec("a", at_item=1, kind=FaultKind.RAISE, error=written)

    assert [raised] == called(tmp_path, [1], fault)


def test_it_raises_at_so_many_attempts_only(tmp_path: Path) -> None:
    fault = FaultSpec("a", at_item=1, kind=FaultKind.RAISE, error="OSError: x", times=1)

    assert ["OSError: x"] == called(tmp_path, [1], fault)
    again = replace(CONTEXT, attempts=lambda: 2, places=lambda: [0])
    assert [1] == called(tmp_path, [1], fault, context=again)


def test_where_nobody_counts_items_a_worker_counts_its_own(tmp_path: Path) -> None:
    def places() -> Sequence[int]:
        raise HandlerError("nobody counts")

    fault = FaultSpec("a", at_item=2, kind=FaultKind.RAISE, error="OSError: x")
    assert [1, "OSError: x", 3] == called(tmp_path, [1, 2, 3], fault, context=replace(CONTEXT, places=places))


def test_a_producer_meets_a_fault_before_it_has_made_the_item(tmp_path: Path) -> None:
    fault = PlannedFault(
        FaultSpec("a", at_item=4, kind=FaultKind.RAISE, error="OSError: x"), f"{tmp_path}/f-"
    )
    handler = with_faults(Source(lambda: iter("cdef")), [fault], replace(CONTEXT, offset=2))
    assert isinstance(handler, Source)
    items = iter(handler.items())

    assert "c" == next(items)
    with pytest.raises(OSError, match="x"):
        next(items)
