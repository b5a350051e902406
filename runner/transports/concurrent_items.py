"""Several items of one worker at once under `leased`: `concurrency` of an `async` handler, `threads` of any other.

    LEASE, one item each ──► begun, so many at once ──► coroutine │ thread ──► ended, in any order ──► committed

The worker's main thread runs an event loop, whatever the handler is: it reads the stream, begins items, and commits
each by itself as it ends, with what was made of it, in one message. So a kill repeats what was in hand and no more.
Who was in hand at a death may be to blame for it, and comes again with no other beside it, until one of them is known.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from itertools import islice
from types import GeneratorType
from typing import Any

from runner.errors import WorkerSignal
from runner.handlers.async_calls import EventLoop, SeveralOutputs, result_of
from runner.handlers.kinds import Mapper, refuse_coroutine
from runner.ipc.frames import UnpackError, Unreadable
from runner.ipc.status_page import StatusPage, Wait, Word
from runner.ipc.stream import Ended, LeaseMessage, SuspectLease
from runner.ledger.sharding import key_reader
from runner.spec.plan import WorkerPlan
from runner.text import safe_repr
from runner.transports.base import OnItemFailure, nothing_in_hand
from runner.transports.leased.commits import Committer
from runner.transports.leased.failures import failure_message
from runner.transports.leased.loops import explain_output, unpacking_failure
from runner.transports.leased.reader import FrameInbox
from runner.transports.leased.session import WorkerSession
from runner.transports.rates import RateGate

_Key = Hashable


@dataclass(slots=True, eq=False)
class _Held:
    """An item in hand."""

    lease: LeaseMessage
    item: object
    text: str
    began: int = 0
    """When its handler was called, by the clock of the page; 0 before that."""
    nanos: int = 0
    value: object = None
    error: BaseException | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


_in_hand: ContextVar[_Held] = ContextVar("item in hand")
"""That of the task, or thread, which asks."""


def place_in_hand() -> list[int]:
    """Where the item of the asking task or thread stands among all that were put. Raises `HandlerError` in others."""
    held = _in_hand.get(None)
    return nothing_in_hand() if held is None else [held.lease.first + held.lease.start]


def attempt_in_hand() -> int:
    """How often that was handed over; 0 in others."""
    held = _in_hand.get(None)
    return 0 if held is None else held.lease.attempt


class ConcurrentLoop:
    """Handles so many items at once, each in a task of its own."""

    def __init__(
        self,
        session: WorkerSession,
        inbox: FrameInbox,
        committer: Committer,
        plan: WorkerPlan,
    ) -> None:
        """The handler is that of the plan's stage."""
        self._session = session
        self._inbox = inbox
        self._committer = committer
        self._gate = None if plan.rate is None else RateGate(session, plan, plan.rate)
        """What items wait for before they are begun."""
        self._key_of = None if plan.key_path is None else key_reader("shard_by", plan.key_path)
        """Of items with equal keys one is begun at a time."""
        self._most = plan.at_once
        self._timeout = plan.timeout if plan.concurrency > 1 else None
        self._page = _PageMarks(session.status)
        self._tasks: dict[asyncio.Task[None], _Held] = {}
        self._last_of_key: dict[_Key, _Held] = {}
        self._ended: deque[_Held] = deque()
        self._is_alone = False
        """A suspect is in hand."""
        self._escaped: BaseException | None = None
        """What a callback of the loop was interrupted by."""

    def run(self, handler: Mapper, fail: OnItemFailure) -> None:
        """Call the handler with each item until the stream ends. Raises what ends the worker."""
        if handler.coroutine is not None and handler.loop is not None:
            coroutine = handler.coroutine
            handler.loop.run(self._serve(lambda item: result_of(coroutine(item)), fail))
            return
        threads, loop = ThreadPoolExecutor(self._most, "mprun-item"), EventLoop()
        try:
            loop.run(self._serve(lambda item: _in_thread(threads, handler.call, item), fail))
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            loop.close()

    async def _serve(self, start: Callable[[object], Awaitable[object]], fail: OnItemFailure) -> None:
        loop, stream = asyncio.get_running_loop(), self._session.stream
        self._changed = asyncio.Event()
        loop.set_exception_handler(self._note_escaped)
        loop.add_reader(stream.fileno(), self._read)
        self._session.take_in()
        try:
            while not self._is_over():
                self._changed.clear()
                self._commit_ended(fail)
                self._begin_items(start)
                self._show_wait()
                if not self._ended or not self._committer.may_send:
                    await self._changed.wait()
                if self._escaped is not None:
                    raise self._escaped
        finally:
            loop.remove_reader(stream.fileno())
            for task in self._tasks:
                task.cancel()

    def _is_over(self) -> bool:
        session = self._session
        takes_more = bool(session.leases) or not session.ended
        return (
            not self._tasks and not self._ended and (bool(session.status.words[Word.STOP]) or not takes_more)
        )

    def _read(self) -> None:
        self._session.take_in()
        self._changed.set()

    def _note_escaped(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException) and not isinstance(error, Exception):
            self._escaped = error
            self._changed.set()

    # Begin.

    def _begin_items(self, start: Callable[[object], Awaitable[object]]) -> None:
        while (
            len(self._tasks) < self._most and not self._is_alone and (lease := self._next_lease()) is not None
        ):
            held = self._opened(lease)
            self._page.begin(held)
            if held.error is not None:
                self._ended.append(held)
                continue
            before = None if self._key_of is None else self._behind(self._key_of(held.item), held)
            task = asyncio.get_running_loop().create_task(self._handle(held, before, start))
            self._tasks[task] = held
            task.add_done_callback(self._note_ended)

    def _next_lease(self) -> LeaseMessage | None:
        """Take a lease that has come. A suspect waits until nothing else is in hand."""
        session = self._session
        if not session.leases or session.status.words[Word.STOP]:
            return None
        suspect = isinstance(session.leases[0], SuspectLease)
        if suspect and (self._tasks or self._ended):
            return None
        self._is_alone = suspect
        return self._inbox.next_lease()

    def _opened(self, lease: LeaseMessage) -> _Held:
        try:
            item = next(self._inbox.open_copy(lease))
        except UnpackError as error:
            held = _Held(lease, Unreadable(), "")
            held.error = unpacking_failure(error)
            return held
        return _Held(lease, item, safe_repr(item))

    def _behind(self, key: _Key, held: _Held) -> _Held | None:
        """Have an item wait for the one before it with its key."""
        before = self._last_of_key.get(key)
        self._last_of_key[key] = held
        if len(self._last_of_key) > 2 * self._most:
            self._last_of_key = {k: each for k, each in self._last_of_key.items() if not each.ended.is_set()}
        return before

    async def _handle(
        self, held: _Held, before: _Held | None, start: Callable[[object], Awaitable[object]]
    ) -> None:
        _in_hand.set(held)
        try:
            if before is not None:
                await before.ended.wait()
            if self._gate is not None:
                await asyncio.sleep(max(0.0, self._gate.reserve(held.item) - time.monotonic()))
            held.began = time.perf_counter_ns()
            self._page.note_oldest()
            async with asyncio.timeout(self._timeout):
                held.value = await start(held.item)
        except BaseException as error:  # told of as it is committed; what ends the worker is raised there
            held.error = error
        finally:
            held.nanos = time.perf_counter_ns() - held.began if held.began else 0
            held.ended.set()

    def _note_ended(self, task: asyncio.Task[None]) -> None:
        self._ended.append(self._tasks.pop(task))
        self._changed.set()

    # Commit.

    def _commit_ended(self, fail: OnItemFailure) -> None:
        while self._ended and self._commit(self._ended[0], fail):
            self._ended.popleft()
            self._is_alone = False

    def _commit(self, held: _Held, fail: OnItemFailure) -> bool:
        """Say what became of an item; False while there is no leave to put what was made of it."""
        made = Ended(held.lease.lease, held.lease.stop)
        if held.error is None and held.value is not None:
            if self._committer.outputs is not None and not self._committer.may_send:
                return False
            made = self._gathered(held, made)
        self._session.status.count_items(1, held.nanos)
        if held.error is not None:
            self._failed(held, fail)
            return True
        self._page.end(held)
        self._committer.send(made)
        self._session.status.words[Word.DONE] += 1
        return True

    def _gathered(self, held: _Held, ended: Ended) -> Ended:
        outputs, value = self._committer.outputs, held.value
        try:
            if outputs is None:
                refuse_coroutine(value)
                return ended
            several = value if isinstance(value, SeveralOutputs) else [value]
            for each in islice(several, held.lease.partial, None):
                _add(outputs.add, each)
        except BaseException as error:
            if outputs is not None:
                outputs.discard()
            held.error = error
            return ended
        if not len(outputs):
            return ended
        count, big, frame = outputs.pack()
        return Ended(ended.lease, ended.upto, b"", count, big, frame)

    def _failed(self, held: _Held, fail: OnItemFailure) -> None:
        error = held.error
        assert error is not None
        if isinstance(error, WorkerSignal | KeyboardInterrupt):
            raise error
        lease = held.lease

        def send(kind: str, **payload: Any) -> None:
            message = failure_message(lease, lease.start, held.item, 0, {"kind": kind, **payload})
            self._page.end(held)
            self._session.stream.send(message)

        fail(held.item, error, attempt=lease.attempt, send=send)

    def _show_wait(self) -> None:
        """Count the time with nothing in hand as starved, and that in which nothing may be put as blocked."""
        self._page.show_wait(Wait.NOTHING if self._tasks else Wait.ROOM if self._ended else Wait.ITEM)


class _PageMarks:
    """What the page says of the items in hand: how many, the newest of them, since when the oldest is at work."""

    def __init__(self, status: StatusPage) -> None:
        self._status = status
        self._words = status.words
        self._held: dict[_Held, None] = {}
        self._waits: Wait | None = None
        self._since = 0

    def begin(self, held: _Held) -> None:
        """One more. All that were begun before it and have not ended are in hand as well."""
        self._held[held] = None
        self._mark(held)
        self._words[Word.IN_HAND] = len(self._held)
        self.note_oldest()

    def end(self, held: _Held) -> None:
        """It is about to be told that this one has ended: from now on it is to blame for nothing."""
        del self._held[held]
        if self._held:
            self._mark(next(reversed(self._held)))
        else:
            self._words[Word.MARK] = _NONE
        self._words[Word.IN_HAND] = len(self._held)
        self.note_oldest()

    def note_oldest(self) -> None:
        """Name the one that has been at work for longest."""
        oldest = min((each for each in self._held if each.began), key=lambda each: each.began, default=None)
        self._words[Word.OLDEST] = 0 if oldest is None else oldest.began
        self._status.set_item("" if oldest is None else oldest.text)

    def show_wait(self, why: Wait) -> None:
        """Show what the worker waits for from now on, and count what it has waited for until now."""
        if why is self._waits:
            return
        if self._waits not in (None, Wait.NOTHING):
            word = Word.STARVED if self._waits is Wait.ITEM else Word.BLOCKED
            self._words[word] += time.perf_counter_ns() - self._since
        if why is Wait.NOTHING:
            self._status.show_wait(why)
            self._status.begin_work()
        else:
            self._status.end_work()
            self._since = self._status.show_wait(why)
        self._waits = why

    def _mark(self, held: _Held) -> None:
        self._words[Word.MARK] = _NONE
        self._words[Word.LEASE] = held.lease.lease
        self._words[Word.MARK] = held.lease.start


_NONE = (1 << 64) - 1
"""Stands in the mark for no item at all."""


async def _in_thread(threads: ThreadPoolExecutor, call: Callable[[object], object], item: object) -> object:
    context = copy_context()
    return await asyncio.get_running_loop().run_in_executor(threads, context.run, _called, call, item)


def _called(call: Callable[[object], object], item: object) -> object:
    value = call(item)
    return SeveralOutputs(value) if isinstance(value, GeneratorType) else value


def _add(add: Callable[[object], object], value: object) -> None:
    try:
        add(value)
    except BaseException as error:
        explain_output(error, value)
        raise
