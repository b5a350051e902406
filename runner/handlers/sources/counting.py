"""Numbers, moments, and what the file itself lists: the kinds `range`, `timer` and `items`.

range  3 workers of 0..99 ──► 0..33 │ 34..66 │ 67..99      shared like any other input
timer  a tick every second ──► its number and the time     goes on with the number that is next
items  [a.jpg, b.jpg] ──► 'a.jpg', 'b.jpg'                 shared and gone on with as numbers are
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.errors import HandlerError
from runner.handlers.kinds import Handler, HandlerKind, ItemBlock, Source, WorkerContext
from runner.spec.model import Role
from runner.units import DURATION_PATTERN, duration

_AT_ONCE = 4096
_LOOK_EVERY = 64
_LOOK = 0.1
"""Seconds between two looks whether the worker is to end."""


def _numbers(options: Any) -> range:
    if isinstance(options, int):
        return range(options)
    return range(options.get("start", 0), options["stop"], options.get("step", 1))


def _range(options: Any, context: WorkerContext) -> Iterator[object]:
    whole, share = _numbers(options), context.share
    mine = whole[len(whole) * share.index // share.of : len(whole) * (share.index + 1) // share.of]
    for at in range(context.offset, len(mine), _AT_ONCE):
        yield ItemBlock(mine[at : at + _AT_ONCE])
        context.progress(min(at + _AT_ONCE, len(mine)), len(mine))


def _items(items: Sequence[object], context: WorkerContext) -> Iterator[object]:
    share = context.share
    mine = items[len(items) * share.index // share.of : len(items) * (share.index + 1) // share.of]
    for at in range(context.offset, len(mine)):
        yield mine[at]
        if at % _LOOK_EVERY == 0 or at + 1 == len(mine):
            context.progress(at + 1, len(mine))


def _build_items(options: Any, context: WorkerContext) -> Handler:
    from runner.spec.references import compile_template

    items = compile_template(options)(None)  # a `$${{` stands for what would else be a reference
    return Source(lambda: _items(items, context))


ITEMS = HandlerKind(
    name="items",
    summary="Make the items that the file itself lists. Several workers share them.",
    roles=frozenset({Role.PRODUCER}),
    options={"type": "array", "title": "a list", "items": {}},
    example="""\
stages:
  photos:
    run: {items: [a.jpg, b.jpg]}
    to: photos
""",
    build=_build_items,
    resumes=lambda _options: True,
)


def _build_range(options: Any, context: WorkerContext) -> Handler:
    if isinstance(options, dict) and options.get("step") == 0:
        raise HandlerError("`step` can't be 0: there would be no last number")
    return Source(lambda: _range(options, context))


RANGE = HandlerKind(
    name="range",
    summary="Make whole numbers, as Python's `range` does. Several workers share them.",
    roles=frozenset({Role.PRODUCER}),
    options={
        "type": ["integer", "object"],
        "minimum": 0,
        "properties": {
            "start": {"type": "integer", "default": 0, "description": "The first number."},
            "stop": {"type": "integer", "description": "The number that comes behind the last."},
            "step": {
                "type": "integer",
                "default": 1,
                "description": "What each is more than the one before.",
            },
        },
        "required": ["stop"],
        "additionalProperties": False,
        "title": "an integer of at least 0, or a mapping",
    },
    example="""\
stages:
  numbers:
    run: {range: {stop: 1000}}
    to: numbers
""",
    build=_build_range,
    resumes=lambda _options: True,
)


def _ticks(options: Mapping[str, Any], context: WorkerContext) -> Iterator[object]:
    every = duration(options["every"])
    count = options.get("count")
    due = time.monotonic()
    number = context.offset
    while count is None or number < count:
        if number > context.offset or not options.get("at_once", True):
            due += every
            # What comes too late is left out, but for one: who sleeps through ten ticks is not woken ten times.
            due = max(due, time.monotonic() - every)
            if not wait_until(due, context):
                return
        if count is not None:
            context.progress(number + 1, count)
        yield {"tick": number, "time": time.time()}
        number += 1


def wait_until(due: float, context: WorkerContext) -> bool:
    """Wait for a moment to come, by `time.monotonic`; False if the worker is to end before."""
    while (left := due - time.monotonic()) > 0:
        if context.stopping():
            return False
        time.sleep(min(left, _LOOK))
    return not context.stopping()


def _build_timer(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    return Source(lambda: _ticks(options, context))


TIMER = HandlerKind(
    name="timer",
    summary="Make an item every so often: `{tick, time}`, the number from 0 on and the seconds since 1970.",
    roles=frozenset({Role.PRODUCER}),
    options={
        "type": "object",
        "properties": {
            "every": {
                "type": "string",
                "pattern": DURATION_PATTERN,
                "title": "a duration such as 500ms, 1.5s or 2m",
                "description": "The time from one tick to the next.",
            },
            "count": {
                "type": "integer",
                "minimum": 1,
                "description": "How many there are; without it, they go on until the run is stopped.",
            },
            "at_once": {
                "type": "boolean",
                "default": True,
                "description": "Whether the first comes at once, or only when the time has passed.",
            },
        },
        "required": ["every"],
        "additionalProperties": False,
    },
    example="""\
stages:
  clock:
    run: {timer: {every: 100ms, count: 3}}
    to: ticks
""",
    build=_build_timer,
    unshared=lambda _options: "each would tick",
    resumes=lambda _options: True,
)
