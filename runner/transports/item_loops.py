"""A worker's loops over queue ends that pass one item at a time.

produce          items ──► outbox.put
consume          inbox.get ──► handler ──► outbox.put ──► inbox.task_done
consume_holding  the same, but for task_done: that comes for all that was handled once it is safe
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, suppress
from types import GeneratorType

from runner.errors import EndOfStream, Stopping, WorkerSignal
from runner.facts import dataclass
from runner.handlers.kinds import Malformed, QueueEnd, one_by_one, refuse_coroutine
from runner.ipc.frames import UnpackError, Unreadable
from runner.ipc.status_page import StatusPage, Word
from runner.spec.commits import BatchSpec
from runner.text import note_output
from runner.transports.base import Inbox, OnItemFailure, SafePoints, SendMessage
from runner.transports.item_batches import ItemBatchLoop

Put = Callable[[object], object]
_END = object()
_MOMENT = 0.02
"""Seconds to wait for an item that another reader may have taken meanwhile."""


@dataclass(frozen=True, slots=True)
class ItemwiseLoops:
    """The loops of a worker whose queue ends are these."""

    inbox: Inbox | None
    outbox: QueueEnd | None
    status: StatusPage
    batches: ItemBatchLoop | None = None
    """Where the handler gets items in batches."""

    @property
    def put(self) -> Put | None:
        """What puts an item; None in a consumer."""
        return None if self.outbox is None else self.outbox.put

    def produce(self, items: Iterable[object], fail: OnItemFailure) -> None:
        """Put each item until there are no more or the run is being stopped."""
        # Closed here: what its `finally` raises is heard of only by who closes it, not where it is collected.
        with closing(self._busy_between(items)) as made:
            self._put_each(made, fail)

    def _put_each(self, items: Iterable[object], fail: OnItemFailure) -> None:
        assert self.outbox is not None
        words = self.status.words
        for item in one_by_one(items):
            if words[Word.STOP]:
                return
            try:
                if type(item) is Malformed:
                    raise item.error
                self.outbox.put(item)
            except (WorkerSignal, KeyboardInterrupt):
                raise
            except BaseException as error:  # an item that can't travel fails like one whose handler raised
                self.status.add(Word.FAILED)
                fail(item, error)

    def drive(self, call: Callable[[], object]) -> None:
        """Let the handler drive its queues: each item goes its way by itself."""
        call()

    def consume(self, call: Callable[[object], object], fail: OnItemFailure) -> None:
        """Call the handler with each item until the stream ends. Every item passes here, so it is kept flat."""
        if self.batches is not None:
            self.batches.run(call, fail)
            return
        inbox, put = self.inbox, self.put
        assert inbox is not None
        status = self.status
        while True:
            unread: BaseException | None = None
            try:
                item = inbox.get()
            except EndOfStream:
                return
            except UnpackError as error:
                item, unread = Unreadable(), error.__cause__
            status.begin_work()
            try:
                if unread is not None:
                    raise unread
                value = call(item)
                if value is not None:
                    put_value(put, value)
            except (WorkerSignal, KeyboardInterrupt):
                raise
            except BaseException as error:
                try:
                    fail(item, error)
                finally:
                    # Told first: a daemonic worker may be stopped as soon as its last item is accounted for.
                    inbox.give_up()
            else:
                inbox.task_done()
            finally:
                status.count_item(status.end_work())

    def consume_holding(
        self, call: Callable[[object], object], fail: OnItemFailure, points: SafePoints
    ) -> None:
        """The same, but each item is done only when it is safe. No state is kept: nobody takes a worker's place."""
        inbox, status = self.inbox, self.status
        assert inbox is not None
        inbox.hold_handled()
        held = _HeldItems(inbox, points)
        while (item := held.next_item()) is not _END:
            status.begin_work()
            try:
                if isinstance(item, UnpackError):
                    unread, item = item.__cause__ or item, Unreadable()
                    raise unread
                value = call(item)
                if value is not None:
                    put_value(self.put, value)
            except Stopping:
                held.commit()
                raise
            except (WorkerSignal, KeyboardInterrupt):
                raise
            except BaseException as error:
                held.commit()
                try:
                    fail(item, error)
                finally:
                    inbox.give_up()
            else:
                held.add()
            finally:
                status.count_item(status.end_work())
        if points.capture is not None:
            points.capture()  # what can't be pickled is no surprise elsewhere

    def _busy_between(self, items: Iterable[object]) -> Generator[object, None, None]:
        """Yield the items of a producer, counting the time that it takes to make each as busy."""
        iterator = iter(items)
        try:
            while True:
                self.status.begin_work()
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                finally:
                    nanos = self.status.end_work()
                self.status.count_item(nanos)
                yield item
        finally:
            if isinstance(iterator, GeneratorType):
                iterator.close()


class _HeldItems:
    """What was taken and handled, and is not safe yet."""

    def __init__(self, inbox: Inbox, points: SafePoints) -> None:
        self._inbox = inbox
        self._points = points
        self._count = 0

    def next_item(self) -> object:
        """Take an item, or the error of one that can't be read; `_END` at the end of the stream.

        Nothing is held then, nor where taking one takes long.
        """
        try:
            if self._count and not self._inbox.empty():
                with suppress(queue.Empty):  # another reader was quicker
                    return self._inbox.get(timeout=_MOMENT)
            self.commit()
            return self._inbox.get()
        except EndOfStream:
            self.commit()
            return _END
        except UnpackError as error:
            return error

    def add(self) -> None:
        """One more was handled. Commits where it is time to."""
        now, pace = time.monotonic(), self._points.pace
        self._count += 1
        pace.holds(now)
        if (pace.most is not None and self._count >= pace.most) or now >= pace.due():
            self.commit()

    def commit(self) -> None:
        """Make it safe, and say that it is done."""
        if not self._count:
            return
        if self._points.flush is not None:
            refuse_coroutine(self._points.flush())
        self._points.pace.committed(time.monotonic(), 0.0)
        while self._count:
            self._count -= 1
            self._inbox.task_done()


def put_value(put: Put | None, value: object) -> None:
    """Put what a handler has returned; of a generator, each. Where nothing is put a generator is run all the same."""
    if isinstance(value, GeneratorType):
        # In a consumer too: the body of such a handler runs only while it is asked for more.
        for each in value:
            _put_one(put, each)
    else:
        _put_one(put, value)


def _put_one(put: Put | None, value: object) -> None:
    if put is not None:
        try:
            put(value)
        except (WorkerSignal, KeyboardInterrupt):
            raise
        except BaseException as error:
            refuse_coroutine(value)  # says more than that it can't be pickled
            note_output(error, value)
            raise
    else:
        refuse_coroutine(value)


def loops_of(
    inbox: Inbox | None,
    outbox: QueueEnd | None,
    status: StatusPage,
    batch: BatchSpec | None,
    tell: SendMessage,
    kind: type[ItemwiseLoops] = ItemwiseLoops,
) -> ItemwiseLoops:
    """Return the loops of a worker; where its handler gets items in batches, those are made here."""
    if batch is None or inbox is None:
        return kind(inbox, outbox, status)
    return kind(inbox, outbox, status, ItemBatchLoop(inbox, outbox, status, batch, tell))
