"""Which lines a log has on items that fail."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.events.base import Event
from runner.events.run import (
    FailedBatch,
    FailuresRepeated,
    ItemDeadLettered,
    ItemFailed,
    ItemRedelivered,
    ItemRetried,
)
from runner.record.failures import MOST_KINDS
from runner.render.failure_lines import EVERY, FailureThrottle, repeated_text
from runner.spec.failures import OnError

HAND: dict[str, Any] = {"worker": "oven-1", "stage": "oven", "queue": "q"}
NO = "ValueError: no 7"


def failed(at: float, item: str = "1", error: str = NO, **more: Any) -> ItemFailed:
    return ItemFailed(
        **{**HAND, "item": item, "error": error, "action": OnError.DEAD_LETTER, **more}
    ).stamped(at, "r")


def lettered(at: float, item: str = "1", error: str = NO) -> ItemDeadLettered:
    return ItemDeadLettered(**HAND, item=item, error=error, attempts=1, letter="l").stamped(at, "r")


def retried(at: float, item: str = "1", error: str = NO) -> ItemRetried:
    return ItemRetried(**HAND, item=item, error=error, attempt=1, delay=0.0).stamped(at, "r")


def told(*events: Any) -> list[Event]:
    lines, found = FailureThrottle(), []
    for event in events:
        found += [*lines.due(event.at), *lines.add(event)]
    return [*found, *lines.rest(events[-1].at)]


def test_the_first_of_a_kind_is_told_and_every_ten_seconds_how_many_more() -> None:
    lines = told(*(failed(n / 100, str(n), f"ValueError: no {n}") for n in range(2500)))

    assert isinstance(lines[0], ItemFailed)
    repeated = [line for line in lines if isinstance(line, FailuresRepeated)]
    assert [0.0, 10.0, 20.0, 24.99] == [line.at for line in lines]
    assert [(999, "999"), (1000, "1999"), (500, "2499")] == [(each.failed, each.item) for each in repeated]
    assert {"ValueError: no 0"} == {each.error for each in repeated}


def test_two_kinds_are_counted_apart() -> None:
    lines = told(*(failed(n / 100, str(n), NO if n % 3 else "TypeError") for n in range(300)))

    assert [("TypeError", 99), (NO, 199)] == [
        (each.error, each.failed) for each in lines if isinstance(each, FailuresRepeated)
    ]


def test_what_becomes_of_one_item_is_counted_in_one_line() -> None:
    lines = told(*(make(0.0, str(n)) for n in range(10) for make in (retried, failed, lettered)))

    assert ["item.retried", "item.failed", "item.dead_lettered", "failures.repeated"] == [
        e.kind for e in lines
    ]
    last = lines[-1]
    assert isinstance(last, FailuresRepeated)
    assert (9, 9, 9, 0) == (last.failed, last.retried, last.dead_lettered, last.redelivered)


def test_what_ends_the_run_is_always_told() -> None:
    lines = told(failed(0.0), failed(0.0, "2", action=OnError.FAIL))

    assert ["1", "2"] == [each.item for each in lines if isinstance(each, ItemFailed)]


def test_there_is_an_end_of_kinds() -> None:
    lines = told(*(failed(0.0, error="E" + "x" * (n % 20) + "y" * (n // 20)) for n in range(2 * MOST_KINDS)))

    assert MOST_KINDS + 2 == len(lines)


trouble = st.tuples(
    st.sampled_from(["fail", "retry", "letter", "again", "batch"]), st.sampled_from("ab"), st.floats(0, 5)
)


@given(st.lists(trouble))
def test_nothing_is_lost_and_no_kind_is_told_of_more_than_once_in_ten_seconds(troubles: list[Any]) -> None:
    at, events = 0.0, []
    for what, error, later in troubles:
        at += later
        events.append(
            {
                "fail": lambda: failed(at, error=error),  # noqa: B023
                "retry": lambda: retried(at, error=error),  # noqa: B023
                "letter": lambda: lettered(at, error=error),  # noqa: B023
                "again": lambda: ItemRedelivered(**HAND, item="1", attempt=2).stamped(at, "r"),  # noqa: B023
                "batch": lambda: FailedBatch(**HAND, items=3, error=error, died=False).stamped(at, "r"),  # noqa: B023
            }[what]()
        )

    lines = told(*events) if events else []

    full = [line for line in lines if not isinstance(line, FailuresRepeated)]
    repeated = [line for line in lines if isinstance(line, FailuresRepeated)]
    counted = sum(each.failed + each.retried + each.dead_lettered + each.redelivered for each in repeated)
    assert len(events) == len(full) + counted
    assert all(each.seconds >= EVERY for each in repeated if each.at < at)
    per_moment = Counter((each.at, each.error) for each in repeated if each.at < at)
    assert all(count == 1 for count in per_moment.values())


@pytest.mark.parametrize(
    ("counts", "item", "expected"),
    [
        ((3514, 3514, 0, 0), "112388", "3,514 more like it in the last 10s, last item 112388"),
        ((9, 0, 4, 0), "'x'", "9 more like it in the last 10s, 4 tried again, last item 'x'"),
        ((0, 0, 0, 2), "7", "2 more like it in the last 10s, handed out again, last item 7"),
        ((0, 0, 5, 0), None, "5 more like it in the last 10s, tried again"),
    ],
)
def test_how_many_more_in_words(counts: Any, item: str | None, expected: str) -> None:
    names = ("failed", "dead_lettered", "retried", "redelivered")
    event = FailuresRepeated(
        worker="w", stage="s", error=NO, seconds=10.0, item=item, **dict(zip(names, counts, strict=True))
    )

    assert expected == repeated_text(event)
