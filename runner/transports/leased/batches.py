"""A worker's loop over batches under `leased`: leased frames are taken apart, and their items handed over as lists.

    leases ──► BatchReader.next_batch ──► Batch ──► handler ──► Committer: what was made of it, and that it is done

A batch is handed over when it is full, when its first item has waited for long enough, and when nothing can be added to
it. What was in hand before at a death or a failure stands alone: the next death then names its culprit, and a handler
knows that a batch of several items is new to it.

A consumer's batches that are done in a moment are acknowledged together, at the end of their lease. The page counts
them before, so that a death repeats none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from itertools import islice
from types import GeneratorType
from typing import Any

from runner.errors import MprunInternalError
from runner.facts import dataclass
from runner.ipc.frames import UnpackError, Unreadable, sizes_of
from runner.ipc.status_page import A_BATCH, Wait, Word
from runner.ipc.stream import Ended, LeaseMessage, MoreRequest
from runner.spec.commits import BatchSpec
from runner.text import describe_error, safe_repr, user_traceback
from runner.transports.base import OWN_FOLDER, OnItemFailure, SendMessage
from runner.transports.batches import handle
from runner.transports.leased.commits import Committer
from runner.transports.leased.failures import describe_failure
from runner.transports.leased.loops import explain_output, run_out, unpacking_failure
from runner.transports.leased.reader import FrameInbox
from runner.transports.leased.session import WorkerSession

_MOMENT = 1_000_000
"""Nanoseconds of work that may be acknowledged later, with what comes after it."""


@dataclass(slots=True)
class LeasePart:
    """Items `start` to `stop` of a lease."""

    lease: LeaseMessage
    start: int
    stop: int


@dataclass(slots=True)
class Batch:
    """Items that are handed over together, and where they come from, oldest first."""

    items: list[object] = field(default_factory=list)
    parts: list[LeasePart] = field(default_factory=list)
    attempt: int = 1
    skip: int = 0
    """Outputs of its only item that are in the next queue already."""
    unreadable: BaseException | None = None
    """Why its only item can't be unpickled."""
    bytes: int = 0
    """What its items take as they are pickled, where that is bounded."""

    def cut(self, start: int, stop: int) -> Iterator[LeasePart]:
        """Say where some of its items come from."""
        for part in self.parts:
            size = part.stop - part.start
            first, last = max(0, start), min(size, stop)
            if first < last:
                yield LeasePart(part.lease, part.start + first, part.start + last)
            start, stop = start - size, stop - size

    @property
    def next_place(self) -> int:
        """Where the item behind its last one stands among all that were put."""
        last = self.parts[-1]
        return last.lease.first + last.stop


class BatchReader:
    """Makes batches of leases."""

    def __init__(self, session: WorkerSession, inbox: FrameInbox, spec: BatchSpec, *, in_order: bool) -> None:
        """`in_order`: a batch holds neighbours only, since what is made of it takes one place."""
        self._session = session
        self._inbox = inbox
        self._spec = spec
        self._in_order = in_order
        self._lease: LeaseMessage | None = None
        self._at = 0
        self._items: Iterator[object] = iter(())
        self._sizes: list[int] = []
        self._unreadable: BaseException | None = None
        """Why the next item of the lease can't be unpickled."""
        self.before_wait: Callable[[], object] = lambda: None
        """Called before it waits for company."""

    @property
    def is_at_end_of_lease(self) -> bool:
        """Whether all that was leased so far has been handed over."""
        return self._lease is None

    def next_batch(self) -> Batch | None:
        """Wait for items, and for others to go with them; None at the end of the stream."""
        batch = Batch()
        if self._session.status.words[Word.STOP]:
            return None
        deadline = 0.0
        while True:
            if self._lease is None:
                if batch.items and not self._has_company(len(batch.items), deadline):
                    return batch
                lease = self._inbox.next_lease()
                if lease is None:
                    return batch if batch.items else None
                self._open(lease)
            deadline = deadline or time.monotonic() + self._spec.wait
            if not self._take(batch):
                return batch

    def _open(self, lease: LeaseMessage) -> None:
        self._lease, self._at = lease, lease.start
        self._items = self._inbox.open(lease)
        if self._spec.most_bytes is not None:
            self._sizes = sizes_of(lease.body, lease.start, lease.stop)

    def _take(self, batch: Batch) -> bool:
        """Add what is at hand and goes with the batch; False if that is to be handed over now."""
        lease = self._lease
        assert lease is not None
        first = self._at == lease.start
        comes_alone = first and (lease.attempt > 1 or lease.partial > 0)
        if batch.items and (comes_alone or not self._goes_with(batch, lease)):
            return False
        if self._unreadable is not None:
            batch.items.append(Unreadable())
            batch.unreadable, self._unreadable = self._unreadable, None
            self._advance(batch, lease, self._at + 1)
            return False
        if first:
            batch.attempt, batch.skip = lease.attempt, lease.partial
        self._extend(batch, lease, 1 if comes_alone else self._fitting(batch, lease))
        if self._unreadable is not None:
            return not batch.items
        return self._lease is None and not comes_alone and len(batch.items) < self._spec.size

    def _goes_with(self, batch: Batch, lease: LeaseMessage) -> bool:
        is_next = not self._in_order or lease.first + self._at == batch.next_place
        return is_next and self._unreadable is None

    def _extend(self, batch: Batch, lease: LeaseMessage, count: int) -> None:
        before = len(batch.items)
        try:
            batch.items.extend(islice(self._items, count))
        except UnpackError as error:  # what came before it is in the list
            self._unreadable = unpacking_failure(error)
        self._advance(batch, lease, self._at + len(batch.items) - before)

    def _advance(self, batch: Batch, lease: LeaseMessage, at: int) -> None:
        if at > self._at:
            batch.parts.append(LeasePart(lease, self._at, at))
        self._at = at
        if at == lease.stop:
            self._lease, self._items = None, iter(())

    def _fitting(self, batch: Batch, lease: LeaseMessage) -> int:
        """How many items of the lease still go into the batch."""
        count = min(self._spec.size - len(batch.items), lease.stop - self._at)
        if self._spec.most_bytes is None:
            return count
        begin = self._at - lease.start
        for fitting, size in enumerate(self._sizes[begin : begin + count]):
            if batch.bytes + size > self._spec.most_bytes and batch.bytes:
                return fitting
            batch.bytes += size
        return count

    def _has_company(self, taken: int, deadline: float) -> bool:
        """Wait until something can be added to what was taken; False if nothing came in time, or can come."""
        session = self._session
        words = session.status.words
        if not session.leases:
            session.take_in()
        if session.leases or session.ended or words[Word.STOP] or time.monotonic() >= deadline:
            return bool(session.leases)
        self.before_wait()
        session.enough = False
        session.stream.send(MoreRequest(taken, patient=0))
        began = session.status.show_wait(Wait.ITEM)
        while not (session.leases or session.ended or session.enough or words[Word.STOP]):
            if (left := deadline - time.monotonic()) <= 0:
                break
            session.wait(left)
        words[Word.STARVED] += time.perf_counter_ns() - began
        session.status.show_wait(Wait.NOTHING)
        return bool(session.leases)


class BatchLoop:
    """Calls a handler with batches, and sees to it that each of their items comes to an end."""

    def __init__(
        self,
        session: WorkerSession,
        inbox: FrameInbox,
        reader: BatchReader,
        committer: Committer,
        tell: SendMessage,
        *,
        names_all: bool = False,
    ) -> None:
        """`tell` is the worker's way to the supervisor. `names_all`: whatever is in hand has a name in the page."""
        self._session = session
        self._inbox = inbox
        self._reader = reader
        self._committer = committer
        self._outputs = committer.outputs
        self._tell = tell
        self._names_all = names_all
        self._batch, self._size = Batch(), 0
        self._in_hand = (0, 0)
        """Which items of the batch the handler has."""
        self._call: Callable[[list[object]], object] = _not_begun
        self._fail: OnItemFailure = _not_begun
        self._unsaid: dict[int, int] = {}
        """Leases by number of which more is done than was said, and up to where."""
        self._nanos = 0
        """Busy time since something was said last."""
        reader.before_wait = lambda: self._say([])

    def run(self, call: Callable[[Any], object], fail: OnItemFailure) -> None:
        """Call the handler with each batch until the stream ends."""
        self._call, self._fail = call, fail
        while (batch := self._reader.next_batch()) is not None:
            self._batch, self._size = batch, len(batch.items)
            handle(self, self._size)
        self._say([])

    def places(self) -> list[int]:
        """Where the items in hand stand among all that were put."""
        parts = self._batch.cut(*self._in_hand)
        return [part.lease.first + index for part in parts for index in range(part.start, part.stop)]

    # What becomes of a batch: see `handle`.

    def call(self, start: int, stop: int, *, split: bool) -> None:
        """Call the handler with some items of the batch, and gather what it makes."""
        batch = self._batch
        items = batch.items if not split else batch.items[start:stop]
        self._mark(start, stop, split)
        self._session.status.begin_work()
        if batch.unreadable is not None:
            raise batch.unreadable
        value = self._call(items)
        if self._outputs is not None:
            self._gather(value, batch.skip)
        elif value is not None:
            run_out(value)

    def raised(self, start: int, stop: int, error: BaseException, *, split: bool) -> None:
        """Forget what was made, and tell of the first time that the handler raised on the batch."""
        self._nanos += self._session.status.end_work()
        if self._outputs is not None:
            self._outputs.discard()
        if not split:
            traceback = user_traceback(error, OWN_FOLDER)
            self._tell("batch_failed", items=stop - start, error=describe_error(error), traceback=traceback)

    def ended(self, start: int, stop: int, failed: Mapping[int, BaseException]) -> None:
        """Say what has come to an end, together with what was made of it; the page has counted it by then."""
        words, done = self._session.status.words, stop - start - len(failed)
        nanos = self._session.status.end_work()
        self._session.status.count_items(stop - start, nanos)
        self._nanos += nanos
        self._in_hand = (0, 0)
        if self._outputs is not None and not done:
            self._outputs.discard()
        if failed:
            self._end_some(start, stop, failed)
            words[Word.DONE] += done
            return
        if stop == self._size:
            self._batch.items = []  # arrays that nobody has need not be copied when they are let go
        if self._outputs is not None:
            self._say([Ended(part.lease.lease, part.stop) for part in self._batch.cut(start, stop)])
            words[Word.DONE] += done
            return
        words[Word.DONE] += done  # from now on a death finds them done
        self._unsaid.update((part.lease.lease, part.stop) for part in self._batch.cut(start, stop))
        if self._is_worth_saying(stop):
            self._say([])

    def _end_some(self, start: int, stop: int, failed: Mapping[int, BaseException]) -> None:
        """Say which items have failed, and that the others are done, before anything ends the worker."""
        ends: list[Ended] = []
        ending: BaseException | None = None
        at = start
        for part in self._batch.cut(start, stop):
            said = part.start
            for index in range(part.start, part.stop):
                if at in failed:
                    # What is done is said for itself too: the outputs belong to it.
                    ends += [Ended(part.lease.lease, index)] if index > said else []
                    said = index + 1
                    try:
                        self._judge(ends, part.lease, index, self._batch.items[at], failed[at])
                    except BaseException as error:  # `on_error: fail`: raised again once all is said
                        ending = ending or error
                at += 1
            ends += [Ended(part.lease.lease, part.stop)] if part.stop > said else []
        self._say(ends)
        if ending is not None:
            raise ending

    def _judge(
        self, ends: list[Ended], lease: LeaseMessage, index: int, item: object, error: BaseException
    ) -> None:
        def send(kind: str, **payload: Any) -> None:
            words = {"kind": kind, **payload}
            ends.append(Ended(lease.lease, index, describe_failure(lease, item, words)))

        self._fail(item, error, attempt=self._batch.attempt, send=send)

    def _say(self, ends: list[Ended]) -> None:
        unsaid, self._unsaid = self._unsaid, {}
        ends = [*(Ended(lease, upto) for lease, upto in unsaid.items()), *ends]
        nanos, self._nanos = self._nanos, 0
        if ends:
            self._inbox.release_items()
            self._committer.commit(ends, nanos)

    def _is_worth_saying(self, stop: int) -> bool:
        """Whether what is done has to be said now: what comes next is of another lease, or may take its time."""
        is_last = stop == self._size
        return (is_last and self._reader.is_at_end_of_lease) or len(self._unsaid) > 1 or self._nanos > _MOMENT

    def _gather(self, value: object, skip: int) -> None:
        assert self._outputs is not None
        made = islice(value, skip, None) if isinstance(value, GeneratorType) else () if skip else (value,)
        for each in made if value is not None else ():
            try:
                self._outputs.add(each)
            except BaseException as error:
                explain_output(error, each)
                raise

    def _mark(self, start: int, stop: int, split: bool) -> None:
        """Mark what is in hand. In between the page may name what is over, which harms nobody."""
        status, count = self._session.status, stop - start
        self._in_hand = (start, stop)
        *_, last = self._batch.cut(start, stop)
        if count == 1 or self._names_all:
            first = safe_repr(self._batch.items[start])
            status.set_item(first if count == 1 else f"{A_BATCH} {count} items, the first {first}")
        else:
            status.set_item("")
        status.words[Word.ATTEMPT] = self._batch.attempt
        status.words[Word.SPLIT] = split
        status.words[Word.IN_HAND] = count
        self._inbox.mark_in_hand(last.lease.lease, last.stop - 1, last.lease.first)


def _not_begun(*_: object, **__: object) -> None:
    raise MprunInternalError("a loop was asked for what it does before it had begun")
