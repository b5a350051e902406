"""A worker's two loops over queue ends that pass one item at a time.

produce    items ──► outbox.put
consume    inbox.get ──► handler ──► outbox.put ──► inbox.task_done
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import GeneratorType

from runner.errors import EndOfStream, Stopping
from runner.handlers.base import QueueEnd
from runner.sketch import name_output
from runner.status import StatusPage, Word
from runner.transports.base import Fail, Inbox


@dataclass(frozen=True, slots=True)
class ItemwiseLoops:
    """The loops of a worker whose queue ends are these."""

    inbox: Inbox | None
    outbox: QueueEnd | None
    status: StatusPage

    def produce(self, items: Iterable[object], fail: Fail) -> None:
        """Put each item until there are no more or the run is being stopped."""
        assert self.outbox is not None
        words = self.status.words
        for item in self._busy_between(items):
            if words[Word.STOP]:
                return
            try:
                self.outbox.put(item)
            except Stopping:
                raise
            except Exception as error:  # an item that can't travel fails like one whose handler raised
                self.status.add(Word.FAILED)
                fail(item, error)

    def drive(self, call: Callable[[], object]) -> None:
        """Let the handler drive its queues: each item goes its way by itself."""
        call()

    def consume(self, call: Callable[[object], object], fail: Fail) -> None:
        """Call the handler with each item until the stream ends. Every item passes here, so it is kept flat."""
        inbox, outbox = self.inbox, self.outbox
        assert inbox is not None
        words, clock = self.status.words, time.perf_counter_ns
        while True:
            try:
                item = inbox.get()
            except EndOfStream:
                return
            began, blocked = clock(), words[Word.BLOCKED]
            try:
                value = call(item)
                if value is not None:
                    _put_value(outbox, value)
            except (Stopping, EndOfStream):
                raise
            except (Exception, SystemExit) as error:
                try:
                    fail(item, error)
                finally:
                    # Told first: a daemonic worker may be stopped as soon as its last item is accounted for.
                    inbox.give_up()
            else:
                inbox.task_done()
            finally:
                words[Word.BUSY] += clock() - began - (words[Word.BLOCKED] - blocked)

    def _busy_between(self, items: Iterable[object]) -> Iterator[object]:
        """Yield the items of a producer, counting the time that it takes to make each as busy."""
        iterator = iter(items)
        words, clock = self.status.words, time.perf_counter_ns
        try:
            while True:
                began = clock()
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                finally:
                    words[Word.BUSY] += clock() - began
                yield item
        finally:
            if isinstance(iterator, GeneratorType):
                iterator.close()


def _put_value(outbox: QueueEnd | None, value: object) -> None:
    if isinstance(value, GeneratorType):
        # In a consumer too: the body of such a handler runs only while it is asked for more.
        for each in value:
            _put_one(outbox, each)
    else:
        _put_one(outbox, value)


def _put_one(outbox: QueueEnd | None, value: object) -> None:
    if outbox is not None:
        try:
            outbox.put(value)
        except Exception as error:
            name_output(error, value)
            raise
