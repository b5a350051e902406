"""A worker's loop under `leased` where an item that was handled is not safe yet: with `flush()`, with a state to keep.

    lease ──► handler, item by item ──► held ── HeldMessage ──► the supervisor goes on handing out
                                          │ due, or nothing to take, or the end of the stream
                                          ▼
              flush() ──► state ──► one CommitMessage: what is done and what has failed, what was made of it, the state

What is held comes again after a kill, and only the item in hand is charged for it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from types import GeneratorType
from typing import Any

from runner.errors import WorkerSignal
from runner.handlers.kinds import refuse_coroutine
from runner.ipc.frames import MIXED, UnpackError, Unreadable
from runner.ipc.status_page import Wait, Word
from runner.ipc.stream import Ended, HeldMessage, LeaseMessage
from runner.transports.base import OnItemFailure, SafePoints
from runner.transports.leased.batch_packer import FRAME_BYTES
from runner.transports.leased.commits import Committer, OutputBuffer
from runner.transports.leased.failures import failure_message
from runner.transports.leased.loops import (
    explain_output,
    open_lease,
    run_out,
    unpacking_failure,
)
from runner.transports.leased.reader import FrameInbox
from runner.transports.leased.session import WorkerSession

_MARK = int(Word.MARK)
_NOTHING = object()
_ROOMLESS = 4 << 20
"""Bytes of items that a state has taken up, and that may be kept for a kill beside what the queue has room for."""
_MOMENT = 0.001
"""Seconds that an item may take to come before the supervisor is asked whether any will."""
_MOST_OUTPUT = 8 << 20
"""Bytes of outputs that may wait for a commit, about."""


class HoldingLoop:
    """Handles items, holds them, and commits them in time."""

    def __init__(
        self,
        session: WorkerSession,
        inbox: FrameInbox,
        committer: Committer,
        points: SafePoints,
        *,
        names_all: bool,
    ) -> None:
        """`names_all`: the page names each item while it is in hand."""
        self._session = session
        self._inbox = inbox
        self._committer = committer
        self._outputs = committer.outputs
        self._points = points
        self._pace = points.pace
        self._names_all = names_all
        self._words = session.status.words
        self._words[Word.HOLDS] = 1
        self._ends: list[Ended] = []
        """What has come to an end since the last commit, and what was made of it, as it is to be told."""
        self._held = self._done = self._told = 0
        """Of the items that have: all, those that have not failed, and those that the supervisor knows of."""
        self._nanos = self._nanos_told = 0
        """What they took."""
        self._output_bytes = 0
        self._lease_bytes = self._roomless = 0
        """Bytes of the leases that are held, and how many items of them take no room."""

    def run(self, call: Callable[[object], object], fail: OnItemFailure) -> None:
        """Call the handler with each item until the stream ends. Nothing is held then."""
        while (lease := self._next()) is not None:
            at = self._handle_together(lease)
            items = self._open(lease, at)
            while at < lease.stop:
                at = self._handle(lease, items, at, call, fail)
                if self._is_due():
                    self._commit()
            if self._held:
                self._tell_held(lease)
        self._commit()

    def _open(self, lease: LeaseMessage, at: int) -> Iterator[object]:
        left = lease if at == lease.start else replace(lease, start=at)
        return (
            open_lease(self._inbox, left, self._session.status, names_all=self._names_all)
            if at < lease.stop
            else iter(())
        )

    def _handle_together(self, lease: LeaseMessage) -> int:
        """Hand over the items of a lease together, while the handler can have that. Return where to go on."""
        call_many, at = self._points.call_many, lease.start
        alone = self._names_all or lease.stop - at == 1 or lease.body[:1] == MIXED
        if call_many is None or alone or self._outputs is not None:
            return at
        items = self._inbox.open(lease)
        self._inbox.unmark()  # what has all of them does not look at any: none can be to blame
        while at < lease.stop:
            room = lease.stop - at if self._pace.most is None else self._pace.most - self._held
            self._session.status.begin_work()
            try:
                some = list(islice(items, room))
                is_taken = call_many(some)
            except UnpackError:
                is_taken = False
            nanos = self._session.status.end_work()
            self._nanos += nanos
            if not is_taken:
                return at
            self._session.status.count_items(len(some), nanos)
            self._pace.holds(time.monotonic())
            self._end(lease, at, at + len(some))
            at += len(some)
            if self._is_due():
                self._commit()
        return at

    def _next(self) -> LeaseMessage | None:
        """Wait for the next lease; None at the end of the stream. While nothing comes, it is time to commit."""
        session = self._session
        if self._held and not session.leases and not self._words[Word.STOP]:
            session.take_in()
            if not session.leases and not session.ended:
                self._commit_while_idle()
        return self._inbox.next_lease()

    def _commit_while_idle(self) -> None:
        """Commit unless an item comes first."""
        session = self._session
        began, session.enough = session.status.show_wait(Wait.ITEM), False
        if not self._comes_at_once():
            room = session.stock(of_outbox=False).room  # what waits to be taken comes before the answer
            while not session.leases and not session.ended:
                left = self._pace.due_when_idle(pressed=not room or session.enough) - time.monotonic()
                if left <= 0:
                    break
                session.wait(left)
        self._words[Word.STARVED] += time.perf_counter_ns() - began
        session.status.show_wait(Wait.NOTHING)
        if not session.leases:
            self._commit()

    def _comes_at_once(self) -> bool:
        """Whether an item comes within a moment, or a state may be kept by then: then nobody need be asked."""
        session = self._session
        if self._points.flush is not None:
            return False
        left = self._pace.due_when_idle(pressed=False) - time.monotonic()
        until = time.monotonic() + min(left, _MOMENT)
        while not session.leases and not session.ended and (rest := until - time.monotonic()) > 0:
            session.wait(rest)
        return bool(session.leases) or session.ended or left <= _MOMENT

    def _handle(
        self,
        lease: LeaseMessage,
        items: Iterator[object],
        at: int,
        call: Callable[[object], object],
        fail: OnItemFailure,
    ) -> int:
        """Handle items of a lease from `at` on, until it is time to commit, or one fails; return where to go on."""
        status = self._session.status
        self._pace.holds(time.monotonic())
        # A lease is a few milliseconds of work: for a state, which is kept when that is cheap, its end is soon enough.
        due = self._pace.due() if self._points.flush is not None else math.inf
        chunk = items if self._pace.most is None else islice(items, self._pace.most - self._held)
        self._inbox.mark_in_hand(lease.lease, at, lease.first)
        status.begin_work()
        if self._outputs is None:
            index, item, error = self._take_each(enumerate(chunk, at), at - 1, call, due)
        else:
            skip = lease.partial if at == lease.start else 0
            index, item, error = self._make_of_each(
                self._outputs, enumerate(chunk, at), at - 1, call, due, skip
            )
        self._count(index + 1 - at, status.end_work())
        if error is not None:
            return self._failed(lease, at, index, item, error, fail)
        self._end(lease, at, index + 1)
        return index + 1

    def _take_each(
        self,
        items: Iterator[tuple[int, object]],
        index: int,
        call: Callable[[object], object],
        due: float,
    ) -> tuple[int, object, BaseException | None]:
        """Handle numbered items while nothing is `due`; return the last one's number, which is `index` where there is
        none, and where it failed the item and its error."""
        words, now, item = self._words, time.monotonic, _NOTHING
        try:
            for index, item in items:
                words[_MARK] = index
                if (value := call(item)) is not None:
                    run_out(value)
                if now() >= due:
                    break
        except (WorkerSignal, KeyboardInterrupt):
            raise
        except BaseException as error:
            return index, item, error
        return index, _NOTHING, None

    def _make_of_each(
        self,
        outputs: OutputBuffer,
        items: Iterator[tuple[int, object]],
        index: int,
        call: Callable[[object], object],
        due: float,
        skip: int,
    ) -> tuple[int, object, BaseException | None]:
        """The same in a pipe stage. The first `skip` outputs of the first item are in already."""
        words, now, add, item = self._words, time.monotonic, outputs.add, _NOTHING
        try:
            for index, item in items:
                words[_MARK] = index
                if (value := call(item)) is not None:
                    if skip or type(value) is GeneratorType:
                        _gather(outputs, value, skip)
                    else:
                        try:
                            add(value)
                        except BaseException as error:
                            explain_output(error, value)
                            raise
                skip = 0
                if outputs.size >= FRAME_BYTES or now() >= due:
                    break
        except (WorkerSignal, KeyboardInterrupt):
            raise
        except BaseException as error:
            return index, item, error
        return index, _NOTHING, None

    def _count(self, items: int, nanos: int) -> None:
        self._nanos += nanos
        self._session.status.count_items(items, nanos)

    def _end(self, lease: LeaseMessage, at: int, upto: int) -> None:
        """Items `at` to `upto` of a lease have been handled: they are held, with what was made of them."""
        if upto == at:
            return
        self._held += upto - at
        self._done += upto - at
        if self._outputs is not None and len(self._outputs):
            count, big, frame = self._outputs.pack()
            self._output_bytes += len(frame)
            self._ends.append(Ended(lease.lease, upto, b"", count, big, frame))
        else:
            self._ends.append(Ended(lease.lease, upto))

    def _failed(
        self,
        lease: LeaseMessage,
        at: int,
        index: int,
        item: object,
        error: BaseException,
        fail: OnItemFailure,
    ) -> int:
        """One item failed: that is told with the commit, or at once where it ends the worker. Return where to go on."""
        if isinstance(error, UnpackError):
            index, item, error = index + 1, Unreadable(), unpacking_failure(error)
        self._end(lease, at, index)
        self._held += 1

        def send(kind: str, **payload: Any) -> None:
            message = failure_message(lease, index, item, 0, {"kind": kind, **payload})
            self._ends.append(Ended(lease.lease, index, bytes(message.body)))

        try:
            fail(item, error, attempt=lease.attempt if index == lease.start else 1, send=send)
        except BaseException:
            self._commit()
            raise
        return index + 1

    def _is_due(self) -> bool:
        return (
            (self._pace.most is not None and self._held >= self._pace.most)
            or self._output_bytes >= _MOST_OUTPUT
            or time.monotonic() >= self._pace.due()
        )

    def _tell_held(self, lease: LeaseMessage) -> None:
        """A lease is handled. Let the supervisor hand out more, as if what is held were done."""
        nanos, items = self._nanos - self._nanos_told, self._held - self._told
        self._nanos_told, self._told = self._nanos, self._held
        self._lease_bytes += _ROOMLESS if lease.body[:1] == MIXED else len(lease.body)
        # What a flush is to make safe counts against the bound of the queue. What is in a state already was taken.
        if self._points.flush is None and self._lease_bytes < _ROOMLESS:
            self._roomless = self._held
        self._session.stream.send(HeldMessage(self._held, items, nanos, self._roomless))

    def _commit(self) -> None:
        """Make safe what is held, and say so."""
        if not self._held:
            return
        self._session.status.begin_work()
        self._inbox.unmark()
        self.flush()
        began, blocked = time.monotonic(), self._words[Word.BLOCKED]
        state = b"" if self._points.capture is None else self._points.capture()
        self._inbox.release_items()
        self._send(state)
        waited = (self._words[Word.BLOCKED] - blocked) / 1e9
        self._ends, self._held, self._done, self._told = [], 0, 0, 0
        self._nanos = self._nanos_told = self._output_bytes = 0
        self._lease_bytes = self._roomless = 0
        self._session.status.end_work()
        now = time.monotonic()
        self._pace.committed(now, now - began - waited)

    def flush(self) -> None:
        """Have the handler make safe what it holds, where it says how."""
        if self._points.flush is not None:
            refuse_coroutine(self._points.flush())

    def _send(self, state: bytes) -> None:
        # Once items are safe a kill repeats none, though nothing was sent: the supervisor looks at what is counted.
        # But outputs and a state are in only with the message, and what has failed is told by it alone.
        told_by_it = bool(state) or any(each.count or each.failure for each in self._ends)
        self._words[Word.DONE] += 0 if told_by_it else self._done
        self._committer.commit_packed(self._ends, self._nanos, state)
        self._words[Word.DONE] += self._done if told_by_it else 0


def _gather(outputs: OutputBuffer, value: object, skip: int) -> None:
    """Gather what the handler made of an item, but for the first `skip`, which are in already; or none of it."""
    if not isinstance(value, GeneratorType):
        return  # the only one is in
    before = len(outputs)
    each: object = value
    try:
        for each in islice(value, skip, None):
            outputs.add(each)
    except BaseException as error:
        if len(outputs) > before:
            outputs.truncate(before)
        explain_output(error, each)
        raise
