"""Handlers and queue ends with something round them: the sentinel of a queue, the lock of a stage.

    queue.sentinel   JoinableQueue end ── items ──► get() ──► handler      SentinelInbox: once every writer has finished
                       └─ EndOfStream ──► get() returns the sentinel, then raises

    queue.sentinel   handler ──► checked item by item ──► the queue        check_puts, refuse_sentinel: its reader would
                       └── equal to it ──► ValueError at its put           stop with items behind it

    queue.schema     handler ──► checked item by item ──► the queue        check_puts, spec.contracts: what does not
                       └── ContractBroken at its put                       keep it has failed where it was made

    stage.lock       Task     lock ─ run ─ free                            hold_lock: the handler works while the lock
                     Mapper   lock ─ item ─ free ─► what it made is put    is held, and never waits at a queue while it
                     Source   lock ─ make one ─ free ─► put ─► lock …      does: the reader may want the same lock

The sentinel never is in the queue: it takes no room, is no item of the ledger, and nothing can come behind it. A reader
that takes the place of a dead one, or is added to the others, finds the end as they do, and so its own sentinel.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import replace
from types import GeneratorType
from typing import TYPE_CHECKING

from runner.errors import BatchFailed, ContractBroken, EndOfStream, HandlerError
from runner.handlers.kinds import Driver, Handler, Malformed, Mapper, QueueEnd, Source, Task, one_by_one

if TYPE_CHECKING:
    from runner.process.resources.locks import HandlerLock


class WrappedEnd:
    """An end of a queue with something round it; what a subclass leaves alone is the queue's own."""

    def __init__(self, end: QueueEnd) -> None:
        self.end = end

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        self.end.put(item, block, timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        return self.end.get(block, timeout)

    def task_done(self) -> None:
        self.end.task_done()

    def join(self) -> None:
        self.end.join()

    def qsize(self) -> int:
        return self.end.qsize()

    def empty(self) -> bool:
        return self.end.empty()

    def full(self) -> bool:
        return self.end.full()


class SentinelInbox(WrappedEnd):
    """A reader's end of a queue that shows its end as a sentinel. For handlers that drive the queue themselves."""

    def __init__(self, inbox: QueueEnd, sentinel: object) -> None:
        super().__init__(inbox)
        self._sentinel = sentinel
        self._held = 0
        """Items that were taken and are not done."""
        self._has_ended = self._sentinel_unacknowledged = False

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """Take an item, waiting for one; at the end the sentinel, and after that raise `EndOfStream`."""
        try:
            item = self.end.get(block, timeout)
        except EndOfStream:
            if self._has_ended:
                raise
            self._has_ended = self._sentinel_unacknowledged = True
            return self._sentinel
        self._held += 1
        return item

    def task_done(self) -> None:
        """Say that the oldest item that was taken is done with. Of the sentinel, the last, nobody need say it."""
        if not self._held and self._sentinel_unacknowledged:
            self._sentinel_unacknowledged = False
            return
        self.end.task_done()
        self._held -= 1


Check = Callable[[object], object]


def check_puts(handler: Handler, check: Check) -> Handler:
    """Return a handler that does the same, but puts what `check` returns, and raises what that raises."""
    match handler:
        case Source():
            return replace(handler, items=lambda: _each_of_source(handler.items(), check))
        case Mapper():
            return replace(
                handler,
                call=lambda item: _returned(handler.call(item), check),
                call_many=None,
                coroutine=None if handler.coroutine is None else _checked_coroutine(handler.coroutine, check),
            )
        case Driver():
            return replace(handler, call=lambda inbox, outbox: handler.call(inbox, _checked(outbox, check)))
        case _:
            return handler


def _checked_coroutine(
    make: Callable[[object], object], check: Check
) -> Callable[[object], Coroutine[object, object, object]]:
    async def checked(item: object) -> object:
        from runner.handlers.async_calls import SeveralOutputs, result_of

        value = await result_of(make(item))
        return (
            SeveralOutputs(map(check, value))
            if isinstance(value, SeveralOutputs)
            else _returned(value, check)
        )

    return checked


def refuse_sentinel(queue: str, sentinel: object) -> Check:
    """Return a check for `check_puts` that raises ValueError for what is the sentinel of `queue`."""

    def check(item: object) -> object:
        # By type too: a number that is equal to True is not the sentinel `true`.
        if type(item) is type(sentinel) and item == sentinel:
            raise ValueError(
                f"{sentinel!r} is the sentinel of queue '{queue}': leave it out, each reader gets one at the end"
            )
        return item

    return check


def _each(items: Iterable[object], check: Check) -> Iterator[object]:
    for item in items:
        yield check(item)


def _each_of_source(items: Iterable[object], check: Check) -> Iterator[object]:
    for item in one_by_one(items):
        if type(item) is Malformed:
            yield item
            continue
        try:
            checked = check(item)
        except ContractBroken as error:
            yield Malformed(item, error, "")  # this one has failed, and the next need not
        else:
            yield checked


def _returned(value: object, check: Check) -> object:
    if value is None:  # nothing is put
        return None
    return _each(value, check) if isinstance(value, GeneratorType) else check(value)


def _checked(outbox: QueueEnd | None, check: Check) -> QueueEnd | None:
    return None if outbox is None else _CheckedOutbox(outbox, check)


class _CheckedOutbox(WrappedEnd):
    """A writer's end of a queue. For handlers that drive the queue themselves."""

    def __init__(self, outbox: QueueEnd, check: Check) -> None:
        super().__init__(outbox)
        self._check = check

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, waiting for room. Raises ValueError where it equals the sentinel, else what the queue raises."""
        self.end.put(self._check(item), block, timeout)


def hold_lock(handler: Handler, lock: HandlerLock) -> Handler:
    """Return a handler that does the same while it holds the lock. Raises `HandlerError` for one that drives queues."""
    match handler:
        case Task():
            return replace(handler, call=_held(lock, handler.call))
        case Mapper():
            flush = handler.flush
            held = None if flush is None else _held(lock, flush)
            return replace(handler, call=_held_for_each(lock, handler.call), flush=held, call_many=None)
        case Source():
            return replace(handler, items=lambda: _made_in_turns(lock, handler.items))
        case Driver():
            raise HandlerError(
                "`lock`: the handler drives its queue, and would hold the lock while it waits there"
            )


def _held(lock: HandlerLock, call: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        with lock:
            return call()

    return run


def _held_for_each(lock: HandlerLock, call: Callable[[object], object]) -> Callable[[object], object]:
    def handle(item: object) -> object:
        with lock:
            value = call(item)
            if not isinstance(value, GeneratorType):
                return value
            # Its body is the handler's work, and runs only while it is asked for more.
            made: list[object] = []
            failed: BatchFailed | None = None
            try:
                for each in value:
                    made.append(each)
            except BatchFailed as error:
                failed = error
        return _made_before(made, failed)

    return handle


def _made_before(made: Iterable[object], failed: BatchFailed | None) -> Iterator[object]:
    """Yield what was made, then raise what says which items of a batch it was not made of."""
    yield from made
    if failed is not None:
        raise failed


def _made_in_turns(lock: HandlerLock, make: Callable[[], Iterable[object]]) -> Iterator[object]:
    with lock:
        iterator = iter(make())
    try:
        while True:
            with lock:
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
    finally:
        if isinstance(iterator, GeneratorType):
            iterator.close()
