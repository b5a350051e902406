"""A worker's loops over frames under `leased`. What every item passes is kept flat: its cost is the speed of the whole.

produce    items ──► frames
consume    leased frame ──► handler, item by item ──► frames that acknowledge what they were made from
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from types import GeneratorType
from typing import Any

from runner.dockets import BIG
from runner.errors import EndOfStream, Stopping
from runner.frames import NUMBERS, TEXTS, UnpackError
from runner.memory_limit import out_of_memory
from runner.sketch import name_output, sketch
from runner.status import StatusPage, Word
from runner.transports.base import Fail
from runner.transports.leased_failures import report
from runner.transports.leased_inbox import FrameInbox
from runner.transports.leased_outbox import FrameOutbox
from runner.transports.leased_stream import Stream
from runner.wire import Message

_MARK = int(Word.MARK)
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class FrameLoops:
    """The loops over frames. What every item passes is kept flat, since its cost is the speed of the whole."""

    stream: Stream
    inbox: FrameInbox | None
    outbox: FrameOutbox | None
    names_all: bool = False
    """Whether to note each item's name: where the stage has a `timeout`, whatever is killed for it should be named."""

    def produce(self, items: Iterable[object], fail: Fail) -> None:
        """Put each item until there are no more or the run is being stopped."""
        outbox = self.outbox
        assert outbox is not None
        words = self.stream.status.words
        iterator = iter(items)
        began = time.perf_counter_ns()
        try:
            while self._gather_looking(iterator, outbox, fail) and self._gather(iterator, outbox, fail):
                pass
        finally:
            if isinstance(iterator, GeneratorType):
                iterator.close()
            outbox.flush()
            words[Word.BUSY] += time.perf_counter_ns() - began - words[Word.BLOCKED]

    def _gather_looking(self, iterator: Iterator[object], outbox: FrameOutbox, fail: Fail) -> bool:
        """Put items, big ones too, until there are no more, or they prove to be small: then True."""
        words = self.stream.status.words
        if not outbox.looks:
            return True
        for item in iterator:
            self._add(item, outbox, fail)
            if words[Word.STOP]:
                return False
            if not outbox.looks:
                return True
        return False

    def _add(self, item: object, outbox: FrameOutbox, fail: Fail) -> None:
        try:
            outbox.add(item)
        except Stopping:
            raise
        except Exception as error:
            outbox.flush()  # first, so that what counts as put is all that came before it
            self.stream.status.add(Word.FAILED)
            fail(item, error)

    def _gather(self, iterator: Iterator[object], outbox: FrameOutbox, fail: Fail) -> bool:
        """Put items as quickly as can be, until there are no more, or one was big: then True."""
        words = self.stream.status.words
        frame = outbox.open_safe()
        append, numbers, texts, big, stop = frame.append, NUMBERS, TEXTS, BIG, Word.STOP
        for item in iterator:
            kind = type(item)
            if kind in numbers or (kind in texts and len(item) < big):  # type: ignore[arg-type]
                append(item)
                if len(frame) < outbox.room:
                    continue
                outbox.send_full()
                if outbox.looks:
                    return not words[stop]
            else:
                self._add(item, outbox, fail)
                if outbox.looks:
                    return not words[stop]
                frame = outbox.open_safe()
                append = frame.append
            if words[stop]:
                return False
        return False

    def drive(self, call: Callable[[], object]) -> None:
        """Let the handler drive its queues, and see to it that what it has put leaves with it."""
        try:
            call()
        finally:
            if self.outbox is not None:
                self.outbox.flush()

    def consume(self, call: Callable[[object], object], fail: Fail) -> None:
        """Call the handler with each item, and put what it returns, until the stream ends."""
        inbox = self.inbox
        assert inbox is not None
        work = self._work_off if self.outbox is None else self._pass_on
        while (lease := inbox.next_lease()) is not None:
            clock = _Clock(self.stream.status)
            items = self._open(lease)
            at = lease.count
            while at < lease.upto:
                at = work(lease, items, at, call, fail, clock)

    def _open(self, lease: Message) -> Iterator[object]:
        assert self.inbox is not None
        items = self.inbox.open(lease)
        # An item that is handled alone is slow, or new, or suspect: its name is worth a microsecond.
        return _named(items, self.stream.status) if self.names_all or lease.upto - lease.count == 1 else items

    def _work_off(
        self,
        lease: Message,
        items: Iterator[object],
        at: int,
        call: Callable[[object], object],
        fail: Fail,
        clock: _Clock,
    ) -> int:
        """A consumer's loop: handle items from `at` on, up to the end or a failure; return where to go on."""
        assert self.inbox is not None
        words = self.stream.status.words
        index, item = at - 1, _NOTHING
        self.inbox.take_up(lease.lease, at)
        try:
            for index, item in enumerate(items, at):
                words[_MARK] = index
                if (value := call(item)) is not None:
                    _run_out(value)
        except (Stopping, EndOfStream):
            raise
        except (Exception, SystemExit) as error:
            return self._failed(lease, index, item, error, fail, clock, at)
        words[Word.DONE] += lease.upto - at
        item = _NOTHING
        self.inbox.let_go()
        self.inbox.ack(lease.lease, lease.upto, clock.stop())
        return lease.upto

    def _pass_on(
        self,
        lease: Message,
        items: Iterator[object],
        at: int,
        call: Callable[[object], object],
        fail: Fail,
        clock: _Clock,
    ) -> int:
        """A pipe stage's loop: as a consumer's, and what the handler returns goes on with the acknowledgement."""
        inbox, outbox, words = self.inbox, self.outbox, self.stream.status.words
        assert inbox is not None and outbox is not None
        index, item = at - 1, _NOTHING
        skip = lease.partial if at == lease.count else 0
        inbox.take_up(lease.lease, at)
        outbox.begin(lease.lease, at, skip)
        try:
            for index, item in enumerate(items, at):
                words[_MARK] = index
                if (value := call(item)) is not None:
                    _put_value(outbox, value, skip)
                skip = 0
                outbox.done(index + 1)
        except (Stopping, EndOfStream):
            raise
        except (Exception, SystemExit) as error:
            words[Word.DONE] += index - at
            outbox.flush()
            return self._failed(lease, index, item, error, fail, clock, at)
        words[Word.DONE] += lease.upto - at
        item = value = _NOTHING
        inbox.let_go()
        self._acknowledge(lease, clock)
        return lease.upto

    def _acknowledge(self, lease: Message, clock: _Clock) -> None:
        """The lease is done: say so with what is left of its outputs, or alone if nothing is."""
        assert self.inbox is not None and self.outbox is not None
        nanos = clock.stop()
        if not self.outbox.flush(nanos):
            self.inbox.ack(lease.lease, lease.upto, nanos)

    def _failed(
        self,
        lease: Message,
        index: int,
        item: object,
        error: BaseException,
        fail: Fail,
        clock: _Clock,
        began_at: int,
    ) -> int:
        """One item failed: those before it are done. Return where to go on."""
        if isinstance(error, UnpackError):
            index, item = index + 1, _Unreadable()
            assert error.__cause__ is not None
            error = out_of_memory() if isinstance(error.__cause__, MemoryError) else error.__cause__
        words = self.stream.status.words
        if self.outbox is None:
            words[Word.DONE] += index - began_at
        words[Word.FAILED] += 1
        nanos = clock.stop()
        assert self.inbox is not None
        self.inbox.let_go()

        def tell(kind: str, **said: Any) -> None:
            self.stream.wire.send(report(lease, index, item, nanos, {"kind": kind, **said}))

        fail(item, error, attempt=lease.nanos if index == lease.count else 1, tell=tell)
        return index + 1


class _Unreadable:
    """Stands for an item that could not be unpickled."""

    def __repr__(self) -> str:
        return "<an item that can't be unpickled>"


def _named(items: Iterator[object], status: StatusPage) -> Iterator[object]:
    for item in items:
        status.set_item(sketch(item))
        yield item
        status.set_item("")


def _run_out(value: object) -> None:
    """Nobody takes what a consumer returns; but the body of one that yields runs only while it is asked for more."""
    if isinstance(value, GeneratorType):
        for _ in value:
            pass


def _put_value(outbox: FrameOutbox, value: object, skip: int) -> None:
    """Put what a handler returned, but not the first `skip` outputs: an earlier attempt has put those."""
    if isinstance(value, GeneratorType):
        for each in islice(value, skip, None):
            try:
                outbox.output(each)
            except Exception as error:
                name_output(error, each)
                raise
    elif not skip:
        try:
            outbox.output(value)
        except Exception as error:
            name_output(error, value)
            raise


class _Clock:
    """Busy time of a lease: what passes, less what was spent waiting for credit."""

    def __init__(self, status: StatusPage) -> None:
        self._words = status.words
        self._began = time.perf_counter_ns()
        self._blocked = self._words[Word.BLOCKED]

    def stop(self) -> int:
        """Count the time since the last stop as busy; return it in nanoseconds."""
        now, blocked = time.perf_counter_ns(), self._words[Word.BLOCKED]
        nanos = max(0, now - self._began - (blocked - self._blocked))
        self._began, self._blocked = now, blocked
        self._words[Word.BUSY] += nanos
        return nanos
