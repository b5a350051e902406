"""Several items of one worker at once under `leased`: `concurrency` of an `async` handler, `threads` of any other.

    LEASE, one item each ──► begun, so many at once ──► coroutine │ thread ──► ended, in any order ──► committed

The worker's main thread runs an event loop, whatever the handler is: it reads the stream, begins items, and commits
each by itself as it ends, with what was made of it, in one message. So a kill repeats what was in hand and no more.
Who was in hand at a death may be to blame for it, and comes again with no other beside it, until one of them is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from itertools import islice
from types import GeneratorType
from typing import Any

from runner.errors import Stopping, WorkerSignal
from runner.facts import dataclass
from runner.handlers.async_calls import EventLoop, SeveralOutputs, result_of
from runner.handlers.kinds import Mapper, refuse_coroutine
from runner.ipc.frames import UnpackError, Unreadable
from runner.ipc.status_page import Wait, Word
from runner.ipc.stream import Ended, LeaseMessage, SuspectLease
from runner.ledger.sharding import key_reader
from runner.spec.plan import WorkerPlan
from runner.text import safe_repr
from runner.transports.base import OnItemFailure, nothing_in_hand
from runner.transports.held_items import HeldItem, PageMarks
from runner.transports.leased.commits import Committer
from runner.transports.leased.failures import failure_message
from runner.transports.leased.loops import explain_output, unpacking_failure
from runner.transports.leased.reader import FrameInbox
from runner.transports.leased.session import WorkerSession
from runner.transports.rates import RateGate

_Key = Hashable


_in_hand: ContextVar[HeldItem] = ContextVar("item in hand")
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
        self._page = PageMarks(session.status)
        self._taken = self._waiting = 0
        """Leases that were taken so far; items that wait for their turn."""
        self._tasks: dict[asyncio.Task[None], HeldItem] = {}
        self._last_of_key: dict[_Key, HeldItem] = {}
        self._ended: deque[HeldItem] = deque()
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
            while True:
                self._changed.clear()
                self._leave_unbegun()
                self._commit_ended(fail)
                self._take_in_buffered()
                self._begin_items(start)
                self._show_wait()
                if self._is_over():
                    break
                if not self._ended or not self._committer.may_send:
                    await self._wait_for_change()
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

    def _take_in_buffered(self) -> None:
        """Take in what came in one go with an answer that was waited for: the stream won't be readable for that."""
        while self._session.stream.ready:
            self._session.wait(0)

    def _note_escaped(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException) and not isinstance(error, Exception):
            self._escaped = error
            self._changed.set()
        else:  # such as that of a task of the handler's, for which nobody waits
            loop.default_exception_handler(context)

    # Begin.

    def _begin_items(self, start: Callable[[object], Awaitable[object]]) -> None:
        while (
            len(self._tasks) < self._most and not self._is_alone and (lease := self._next_lease()) is not None
        ):
            held = HeldItem(lease, self._taken)
            self._taken += 1
            self._page.begin(held)  # first: what unpickling it does is its own doing
            if not self._open(held):
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

    def _open(self, held: HeldItem) -> bool:
        try:
            held.item = next(self._inbox.open_copy(held.lease))
        except UnpackError as error:
            held.item, held.error = Unreadable(), unpacking_failure(error)
            return False
        held.text = safe_repr(held.item)
        return True

    def _behind(self, key: _Key, held: HeldItem) -> HeldItem | None:
        """Have an item wait for the one before it with its key."""
        before = self._last_of_key.get(key)
        self._last_of_key[key] = held
        if len(self._last_of_key) > 2 * self._most:
            self._last_of_key = {k: each for k, each in self._last_of_key.items() if not each.ended.is_set()}
        return before

    async def _handle(
        self, held: HeldItem, before: HeldItem | None, start: Callable[[object], Awaitable[object]]
    ) -> None:
        _in_hand.set(held)
        try:
            if before is not None or self._gate is not None:
                await self._until_its_turn(held, before)
            held.began = time.perf_counter_ns()
            self._page.call(held)
            async with asyncio.timeout(self._timeout):
                held.value = await start(held.item)
            if isinstance(held.value, _Raised):
                held.error = held.value.error
        except BaseException as error:  # told of as it is committed; what ends the worker is raised there
            held.error = error
        finally:
            held.nanos = time.perf_counter_ns() - held.began if held.began else 0
            held.ended.set()

    async def _until_its_turn(self, held: HeldItem, before: HeldItem | None) -> None:
        """Wait until an item may be begun. Whatever happens meanwhile, it is not to blame."""
        self._page.end(held)
        self._waiting += 1
        self._show_wait()
        if self._waiting == 1:
            self._changed.set()
        try:
            if before is not None:
                await before.ended.wait()
            if self._gate is not None:
                at = self._gate.reserve(held.item)
                self._changed.set()  # leases may have come before the leave, and with it
                await asyncio.sleep(max(0.0, at - time.monotonic()))
            held.left = held.left or bool(self._session.status.words[Word.STOP])
            if held.left:
                raise Stopping
        finally:
            self._waiting -= 1
            if not held.left:
                self._page.begin(held)
                self._show_wait()

    def _leave_unbegun(self) -> None:
        """Where the worker is to end, what waits for its turn goes back as it came."""
        if self._session.status.words[Word.STOP]:
            for task, held in self._tasks.items():
                if not held.began and not held.left:
                    held.left = True
                    task.cancel()

    def _note_ended(self, task: asyncio.Task[None]) -> None:
        held = self._tasks.pop(task)
        if held.left:
            self._page.end(held)
        else:
            self._ended.append(held)
        self._changed.set()

    async def _wait_for_change(self) -> None:
        """While items wait for their turn, look at times whether the worker is to end: nobody wakes it for that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GLANCE if self._waiting else None):
                await self._changed.wait()

    # Commit.

    def _commit_ended(self, fail: OnItemFailure) -> None:
        while self._ended and self._commit(self._ended[0], fail):
            self._ended.popleft()
            self._is_alone = False

    def _commit(self, held: HeldItem, fail: OnItemFailure) -> bool:
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

    def _gathered(self, held: HeldItem, ended: Ended) -> Ended:
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

    def _failed(self, held: HeldItem, fail: OnItemFailure) -> None:
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
        """Count the time with nothing in hand as starved, as blocked that in which nothing may be put, or begun."""
        if self._tasks:
            self._page.show_wait(Wait.NOTHING if self._page.holds_any else Wait.RATE)
        else:
            self._page.show_wait(Wait.ROOM if self._ended else Wait.ITEM)


_GLANCE = 0.1
"""Seconds between two looks whether a worker is to end that waits for its turn."""


async def _in_thread(threads: ThreadPoolExecutor, call: Callable[[object], object], item: object) -> object:
    context = copy_context()
    return await asyncio.get_running_loop().run_in_executor(threads, context.run, _called, call, item)


@dataclass(frozen=True, slots=True)
class _Raised:
    """What a call in a thread has raised: handed over as a value, since no future takes a `StopIteration`."""

    error: BaseException


def _called(call: Callable[[object], object], item: object) -> object:
    try:
        value = call(item)
        return SeveralOutputs(value) if isinstance(value, GeneratorType) else value
    except BaseException as error:
        return _Raised(error)


def _add(add: Callable[[object], object], value: object) -> None:
    try:
        add(value)
    except BaseException as error:
        explain_output(error, value)
        raise
