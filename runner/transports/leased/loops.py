"""A worker's loops over frames under `leased`. What every item passes is kept flat: its cost is the speed of the whole.

produce    items ──► frames
consume    leased frame ──► handler, item by item ──► frames that acknowledge what they were made from
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from types import GeneratorType
from typing import Any

from runner.errors import MprunInternalError, WorkerSignal
from runner.facts import dataclass
from runner.handlers.kinds import ItemBlock, Malformed, refuse_coroutine
from runner.ipc.frames import ATOMS, TEXTS, Resumed, UnpackError, Unreadable
from runner.ipc.status_page import StatusPage, Word
from runner.ipc.stream import LeaseMessage
from runner.process.memory import out_of_memory
from runner.text import note_output, safe_repr
from runner.transports.base import OnItemFailure, SafePoints
from runner.transports.leased.failures import failure_message
from runner.transports.leased.reader import FrameInbox
from runner.transports.leased.session import WorkerSession
from runner.transports.leased.slow_items import SlowItems
from runner.transports.leased.writer import FrameOutbox

_MARK = Word.MARK
_NOTHING = object()


def _hold_nothing(*_: object) -> None:
    raise MprunInternalError("these loops hold nothing")


@dataclass(frozen=True, slots=True)
class FrameLoops:
    """The loops over frames. What every item passes is kept flat, since its cost is the speed of the whole."""

    session: WorkerSession
    inbox: FrameInbox | None
    outbox: FrameOutbox | None
    names_all: bool = False
    """Whether to note each item's name: where the stage has a `timeout`, whatever is killed for it should be named."""
    hold: Callable[[Callable[[object], object], OnItemFailure, SafePoints], None] = _hold_nothing
    """The loop whose items are done only when they are safe: few stages need it, and it is not loaded for others."""
    in_batches: Callable[[Callable[[Any], object], OnItemFailure], None] | None = None
    """The loop of a handler that gets items in batches."""

    def produce(self, items: Iterable[object], fail: OnItemFailure) -> None:
        """Put each item until there are no more or the run is being stopped."""
        outbox = self.outbox
        assert outbox is not None
        iterator = iter(items)
        self.session.status.begin_work()
        try:
            while self._gather_looking(iterator, outbox, fail) and self._gather(iterator, outbox, fail):
                pass
        finally:
            if isinstance(iterator, GeneratorType):
                iterator.close()
            outbox.flush()
            self.session.status.end_work()

    def _gather_looking(self, iterator: Iterator[object], outbox: FrameOutbox, fail: OnItemFailure) -> bool:
        """Put items, big ones too, until there are no more, or they prove to be small: then True."""
        words = self.session.status.words
        if not outbox.looks:
            return True
        for item in iterator:
            self._add(item, outbox, fail)
            if words[Word.STOP]:
                return False
            if not outbox.looks:
                return True
        return False

    def _add(self, item: object, outbox: FrameOutbox, fail: OnItemFailure) -> None:
        kind = type(item)
        if kind is ItemBlock:
            self._add_block(item, outbox, fail)  # type: ignore[arg-type]
            return
        try:
            if kind is Malformed:
                raise item.error  # type: ignore[attr-defined]
            if kind is Resumed:
                outbox.add_resumed(item.item, item.outputs)  # type: ignore[attr-defined]
            else:
                outbox.add(item)
        except (WorkerSignal, KeyboardInterrupt):
            raise
        except BaseException as error:
            outbox.flush()  # first, so that what counts as put is all that came before it
            outbox.missed()
            self.session.status.add(Word.FAILED)
            fail(item, error)

    def _add_block(self, block: ItemBlock, outbox: FrameOutbox, fail: OnItemFailure) -> None:
        """Put what a source has made at once, a frame's worth at a time, without a look at each."""
        words, at = self.session.status.words, 0
        while at < len(block) and not words[Word.STOP]:
            if outbox.looks:
                self._add(block[at], outbox, fail)
                at += 1
                continue
            frame = outbox.open_safe()
            some = block[at : at + max(1, outbox.room - len(frame))]
            at += len(some)
            if not outbox.quick.take_all(some):
                for item in some:
                    self._add(item, outbox, fail)
                continue
            frame += some
            if len(frame) >= outbox.room:
                outbox.send_full()

    def _gather(self, iterator: Iterator[object], outbox: FrameOutbox, fail: OnItemFailure) -> bool:
        """Put items as quickly as can be, until there are no more, or one was big: then True."""
        words = self.session.status.words
        frame = outbox.open_safe()
        append, quick, texts, stop = frame.append, outbox.quick, TEXTS, Word.STOP
        numbers, text, flat, least, most = quick.numbers, quick.text, quick.flat, -quick.whole, quick.whole
        are_atoms = ATOMS.issuperset
        for item in iterator:
            kind = type(item)
            if (
                kind in numbers
                or (kind is int and least < item < most)  # type: ignore[operator]
                or (kind in texts and len(item) < text)  # type: ignore[arg-type]
                or (kind is flat and are_atoms(map(type, item)))  # type: ignore[call-overload]
            ):
                append(item)
                if len(frame) < outbox.room:
                    continue
                outbox.send_full()
                append = frame.append
                if outbox.looks:
                    return not words[stop]
            else:
                self._add(item, outbox, fail)
                if outbox.looks:
                    return not words[stop]
                append = outbox.append_safe  # what was pickled alone leaves first
            if words[stop]:
                return False
        return False

    def drive(self, call: Callable[[], object]) -> None:
        """Let the handler drive its queues, and see to it that what it has put leaves with it."""
        turn = self.session.share()
        held = None if self.inbox is None else self.inbox.outbox
        try:
            call()
        except BaseException:
            with turn:
                if held is not None and self.inbox is not None and self.inbox.holds_any:
                    held.discard()  # the item comes again
                else:
                    self._flush_driven()
            raise
        with turn:
            self._flush_driven()

    def _flush_driven(self) -> None:
        if self.inbox is not None and self.inbox.outbox is not None:
            self.inbox.outbox.flush()
        elif self.outbox is not None:
            self.outbox.flush()

    def consume(self, call: Callable[[object], object], fail: OnItemFailure) -> None:
        """Call the handler with each item, and put what it returns, until the stream ends."""
        if self.in_batches is not None:
            self.in_batches(call, fail)
            return
        inbox = self.inbox
        assert inbox is not None
        inbox.heed()
        slow = SlowItems(self.session, inbox, self._acknowledge, run_out, self._passer())
        work = self._work_off if self.outbox is None else self._pass_on
        while (lease := inbox.next_lease()) is not None:
            items: Iterator[object] | None = None
            at = lease.start
            while at < lease.stop:
                upto = inbox.claim(lease, at)
                if upto == at:
                    self._leave(lease, at)
                    break
                self.session.status.begin_work()
                if items is None:
                    items = inbox.open(lease)
                if inbox.stride == 1:
                    at = self._one_by_one(slow, lease, items, at, call, fail)
                else:
                    at = work(lease, items, at, upto, call, fail)

    def consume_holding(
        self, call: Callable[[object], object], fail: OnItemFailure, points: SafePoints
    ) -> None:
        """The same, but each item is done only when it is safe."""
        self.hold(call, fail, points)

    def _one_by_one(
        self,
        slow: SlowItems,
        lease: LeaseMessage,
        items: Iterator[object],
        at: int,
        call: Callable[[object], object],
        fail: OnItemFailure,
    ) -> int:
        """The loop of both while items are slow: handle them up to the end or a failure; return where to go on."""
        if self.outbox is not None:
            self.outbox.begin(lease.lease, at, lease.stop, lease.partial if at == lease.start else 0)
        try:
            return slow.run(lease, items, at, call)
        except (WorkerSignal, KeyboardInterrupt):
            raise
        except BaseException as error:
            index, item, slow.item = slow.index, slow.item, _NOTHING
            inbox = self.inbox
            assert inbox is not None
            inbox.handled_each(slow.times, slow.names)
            if len(slow.names) > len(slow.times):
                self.session.status.set_item(slow.names[len(slow.times)])
            if self.outbox is not None:
                self.outbox.flush()
            reached = index - isinstance(error, UnpackError)  # the last one that the handler has seen
            return self._failed(lease, reached, item, error, fail, index, sum(slow.times))

    def _passer(self) -> Callable[[object, int, int], None] | None:
        outbox = self.outbox
        if outbox is None:
            return None

        def pass_on(value: object, skip: int, upto: int) -> None:
            if value is None:
                outbox.done(upto)
            else:
                _put_value(outbox, value, skip, upto)

        return pass_on

    def _some(self, items: Iterator[object], at: int, upto: int, lease: LeaseMessage) -> Iterator[object]:
        """Items `at` to `upto` of a lease, where `items` are those from `at` on; named where that is worth it."""
        some = items if upto == lease.stop else islice(items, upto - at)
        named = self.names_all or lease.stop - lease.start == 1
        return _named(some, self.session.status) if named else some

    def _work_off(
        self,
        lease: LeaseMessage,
        items: Iterator[object],
        at: int,
        upto: int,
        call: Callable[[object], object],
        fail: OnItemFailure,
    ) -> int:
        """A consumer's loop: handle items `at` to `upto`, or up to a failure; return where to go on."""
        assert self.inbox is not None
        words = self.session.status.words
        index, item = at - 1, _NOTHING
        self.inbox.mark_in_hand(lease.lease, at, lease.first)
        try:
            for index, item in enumerate(self._some(items, at, upto, lease), at):
                words[_MARK] = index
                if (value := call(item)) is not None:
                    run_out(value)
        except (WorkerSignal, KeyboardInterrupt):
            raise
        except BaseException as error:
            return self._failed(lease, index, item, error, fail, at)
        words[Word.DONE] += upto - at
        item = _NOTHING
        self.inbox.release_items()
        self.inbox.handled(upto - at, self.session.status.end_work())
        if upto == lease.stop:
            self._acknowledge(lease, upto)
        return upto

    def _pass_on(
        self,
        lease: LeaseMessage,
        items: Iterator[object],
        at: int,
        upto: int,
        call: Callable[[object], object],
        fail: OnItemFailure,
    ) -> int:
        """A pipe stage's loop: as a consumer's, and what the handler returns goes on with the acknowledgement."""
        inbox, outbox, words = self.inbox, self.outbox, self.session.status.words
        assert inbox is not None and outbox is not None
        index, item = at - 1, _NOTHING
        skip = lease.partial if at == lease.start else 0
        inbox.mark_in_hand(lease.lease, at, lease.first)
        outbox.begin(lease.lease, at, lease.stop, skip)
        try:
            for index, item in enumerate(self._some(items, at, upto, lease), at):
                words[_MARK] = index
                if (value := call(item)) is None:
                    outbox.done(index + 1)
                else:
                    _put_value(outbox, value, skip, index + 1)
                skip = 0
        except (WorkerSignal, KeyboardInterrupt):
            raise
        except BaseException as error:
            words[Word.DONE] += index - at
            outbox.flush()
            return self._failed(lease, index, item, error, fail, at)
        words[Word.DONE] += upto - at
        item = value = _NOTHING
        inbox.release_items()
        inbox.handled(upto - at, self.session.status.end_work())
        if upto == lease.stop:
            self._acknowledge(lease, upto)
        return upto

    def _acknowledge(self, lease: LeaseMessage, upto: int) -> None:
        """The items before `upto` are done: say so with what is left of their outputs, or alone if nothing is."""
        assert self.inbox is not None
        outbox, nanos = self.outbox, self.inbox.pop_nanos()
        if outbox is None:
            self.inbox.ack(lease.lease, upto, nanos)
            return
        if upto == lease.stop:
            outbox.all_done()
        if not outbox.send_rest(nanos) and outbox.told < upto:
            self.inbox.ack(lease.lease, upto, nanos)

    def _leave(self, lease: LeaseMessage, at: int) -> None:
        """What is left of a lease is not to be begun: say how far it has come, and that."""
        assert self.inbox is not None
        if at > lease.start:
            self._acknowledge(lease, at)
        self.inbox.leave(lease, at)

    def _failed(
        self,
        lease: LeaseMessage,
        index: int,
        item: object,
        error: BaseException,
        fail: OnItemFailure,
        began_at: int,
        counted: int = 0,
    ) -> int:
        """One item failed: those before it are done. Return where to go on. `counted` nanoseconds were those before
        `began_at`."""
        handled = index + 1 - began_at
        if isinstance(error, UnpackError):
            index, item, error = index + 1, Unreadable(), unpacking_failure(error)
        words = self.session.status.words
        if self.outbox is None:
            words[Word.DONE] += index - began_at
        assert self.inbox is not None
        self.inbox.handled(handled, self.session.status.end_work() - counted)
        self.inbox.release_items()
        nanos = self.inbox.pop_nanos()

        def send(kind: str, **payload: Any) -> None:
            self.session.stream.send(failure_message(lease, index, item, nanos, {"kind": kind, **payload}))

        fail(item, error, attempt=lease.attempt if index == lease.start else 1, send=send)
        return index + 1


def unpacking_failure(error: UnpackError) -> BaseException:
    """Return why an item can't be unpickled."""
    assert error.__cause__ is not None
    return out_of_memory() if isinstance(error.__cause__, MemoryError) else error.__cause__


def open_lease(
    inbox: FrameInbox, lease: LeaseMessage, status: StatusPage, *, names_all: bool
) -> Iterator[object]:
    """Return what a lease holds, and have the page name each item while it is in hand, where that is worth it."""
    items = inbox.open(lease)
    # An item that is handled alone is slow, or new, or suspect: its name is worth a microsecond.
    return _named(items, status) if names_all or lease.stop - lease.start == 1 else items


def _named(items: Iterator[object], status: StatusPage) -> Iterator[object]:
    for item in items:
        status.set_item(safe_repr(item))
        yield item
        status.set_item("")


def run_out(value: object) -> None:
    """Nobody takes what a consumer returns; but the body of one that yields runs only while it is asked for more."""
    if isinstance(value, GeneratorType):
        for _ in value:
            pass
    else:
        refuse_coroutine(value)


def _put_value(outbox: FrameOutbox, value: object, skip: int, upto: int) -> None:
    """Put what a handler returned, but not the first `skip` outputs: an earlier attempt has put those.

    Items of the lease before `upto` are done then. What is returned leaves with that word, in one message, or not at
    all; a generator's outputs leave as they come, and that it has made them all is known only when it has ended.
    """
    if isinstance(value, GeneratorType):
        for each in islice(value, skip, None):
            try:
                outbox.output(each)
            except BaseException as error:
                explain_output(error, each)
                raise
        outbox.done(upto)
    elif skip:
        outbox.done(upto)
    else:
        try:
            outbox.last_output(value, upto)
        except BaseException as error:
            explain_output(error, value)
            raise


def explain_output(error: BaseException, value: object) -> None:
    """Say of what could not be put what it was. Raises TypeError where it is a coroutine."""
    if not isinstance(error, WorkerSignal):
        refuse_coroutine(value)  # says more than that it can't be pickled
        note_output(error, value)
