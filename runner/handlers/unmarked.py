"""No item may equal the end mark of the queue that it is put on: its reader would stop with items behind it.

handler ──► checked item by item ──► the queue                only where the queue has a `sentinel`
                  └── equal to it ──► ValueError at its put, with the remedy
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import GeneratorType

from runner.handlers.base import Driver, Handler, Mapper, QueueEnd, Source

Check = Callable[[object], object]


def without_mark(handler: Handler, queue: str, mark: object) -> Handler:
    """Return a handler that does the same, but raises ValueError where it would put `mark` on `queue`."""
    check = _refuse(queue, mark)
    match handler:
        case Source():
            return replace(handler, items=lambda: _each(handler.items(), check))
        case Mapper():
            return replace(handler, call=lambda item: _returned(handler.call(item), check))
        case Driver():
            return replace(handler, call=lambda inbox, outbox: handler.call(inbox, _guarded(outbox, check)))
        case _:
            return handler


def _refuse(queue: str, mark: object) -> Check:
    def check(item: object) -> object:
        # By type too: a number that is equal to True is not the mark `true`.
        if type(item) is type(mark) and item == mark:
            raise ValueError(
                f"{mark!r} is the sentinel of queue '{queue}': leave it out, each reader gets one at the end"
            )
        return item

    return check


def _each(items: Iterable[object], check: Check) -> Iterator[object]:
    for item in items:
        yield check(item)


def _returned(value: object, check: Check) -> object:
    if value is None:  # nothing is put
        return None
    return _each(value, check) if isinstance(value, GeneratorType) else check(value)


def _guarded(outbox: QueueEnd | None, check: Check) -> QueueEnd | None:
    return None if outbox is None else _GuardedOutbox(outbox, check)


class _GuardedOutbox:
    """A writer's end of a queue. For handlers that drive the queue themselves."""

    def __init__(self, outbox: QueueEnd, check: Check) -> None:
        self._outbox = outbox
        self._check = check
        self.get, self.task_done, self.join = outbox.get, outbox.task_done, outbox.join
        self.qsize, self.empty, self.full = outbox.qsize, outbox.empty, outbox.full

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, waiting for room. Raises ValueError where it equals the mark, else what the queue raises."""
        self._outbox.put(self._check(item), block, timeout)
