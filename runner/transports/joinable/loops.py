"""A worker's loops over joinable queues. What every item passes is kept flat, and reads the clock once.

    end of an item ──► get ──► handler ──► put ──► task_done ──► end of this one        its time, less what it waited

Whether somebody looks on it asks once in a stretch of work: where it waits, its queue does (`counted_queue.py`).

From the first item to the last a worker counts as busy whenever it does not wait: its queue says so where it does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import GeneratorType

from runner.errors import EndOfStream, WorkerSignal
from runner.handlers.kinds import Malformed, one_by_one
from runner.ipc.frames import UnpackError, Unreadable
from runner.ipc.status_page import STRETCH, Word
from runner.transports.base import OnItemFailure
from runner.transports.item_loops import ItemwiseLoops, Put, put_value
from runner.transports.joinable.counted_queue import CountedQueue

_clock = time.perf_counter_ns
_BUSY = Word.BUSY
_SHOW_TAKEN, _SHOW_MADE = Word.SHOW_TAKEN, Word.SHOW_MADE
_SHOWN_TAKEN, _SHOWN_MADE = Word.SHOWN_TAKEN, Word.SHOWN_MADE


class JoinableLoops(ItemwiseLoops):
    """The loops of a worker whose queue ends are these; those that few stages need are the usual ones."""

    __slots__ = ()

    def produce(self, items: Iterable[object], fail: OnItemFailure) -> None:
        """Put each item until there are no more or the run is being stopped."""
        iterator, status = iter(items), self.status
        status.begin_work()
        try:
            self._put_all(iterator, fail)
        finally:
            status.end_work()
            # Here: what its `finally` raises is heard of only by who closes it, not where it is collected.
            if isinstance(iterator, GeneratorType):
                iterator.close()

    def _put_all(self, items: Iterable[object], fail: OnItemFailure) -> None:
        outbox = self.outbox
        assert isinstance(outbox, CountedQueue)
        put: Put = outbox.enter
        status, words = self.status, self.status.words
        count, began = 0, words[_BUSY] + _clock()
        last = began
        try:
            for item in one_by_one(items):
                try:
                    if type(item) is Malformed:
                        if words[Word.STOP]:
                            return
                        raise item.error
                    put(item)  # which raises `Stopping` once the run does
                except (WorkerSignal, KeyboardInterrupt):
                    raise
                except (
                    BaseException
                ) as error:  # an item that can't travel fails like one whose handler raised
                    status.add(Word.FAILED)
                    fail(item, error)
                now = words[_BUSY] + _clock()  # what it waited is not in the word
                count += 1
                if now - began >= STRETCH:
                    status.count_stretch(count, now - began, now - last)
                    count, began = 0, now
                    put = outbox.put if words[_SHOW_MADE] > words[_SHOWN_MADE] else outbox.enter
                last = now
        finally:
            status.count_items(count, last - began)

    def consume(self, call: Callable[[object], object], fail: OnItemFailure) -> None:
        """Call the handler with each item until the stream ends."""
        if self.batches is not None:
            self.batches.run(call, fail)
            return
        self.status.begin_work()
        try:
            self._take_each(call, fail)
        finally:
            self.status.end_work()

    def _take_each(self, call: Callable[[object], object], fail: OnItemFailure) -> None:
        inbox, outbox = self.inbox, self.outbox
        assert isinstance(inbox, CountedQueue) and (outbox is None or isinstance(outbox, CountedQueue))
        put: Put | None = None if outbox is None else outbox.enter
        take, finish, status, words = inbox.take, inbox.finish, self.status, self.status.words
        count, began = 0, words[_BUSY] + _clock()
        last = began
        try:
            while True:
                unread: BaseException | None = None
                try:
                    item = take()
                except EndOfStream:
                    return
                except UnpackError as error:
                    item, unread = Unreadable(), error.__cause__
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
                    finish()
                finally:
                    now = words[_BUSY] + _clock()  # what it waited is not in the word
                    count += 1
                    if now - began >= STRETCH:
                        status.count_stretch(count, now - began, now - last)
                        count, began = 0, now
                        take = inbox.take_showing if words[_SHOW_TAKEN] > words[_SHOWN_TAKEN] else inbox.take
                        if outbox is not None:
                            put = outbox.put if words[_SHOW_MADE] > words[_SHOWN_MADE] else outbox.enter
                    last = now
        finally:
            status.count_items(count, last - began)
