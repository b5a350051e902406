"""A worker's loop over batches, where queue ends pass one item at a time.

inbox.get, with a timeout ──► batch ──► handler ──► outbox.put for what it made ──► inbox.task_done for each item
"""

from __future__ import annotations

import pickle
import queue
import time
from collections.abc import Callable, Mapping
from types import GeneratorType
from typing import Any

from runner.errors import EndOfStream, WorkerSignal
from runner.handlers.kinds import QueueEnd, refuse_coroutine
from runner.ipc.frames import UnpackError, Unreadable, is_safe, pickle_alone
from runner.ipc.status_page import StatusPage, Word
from runner.spec.commits import BatchSpec
from runner.text import describe_error, note_output, user_traceback
from runner.transports.base import OWN_FOLDER, Inbox, OnItemFailure, SendMessage
from runner.transports.batches import handle


class ItemBatchLoop:
    """Calls a handler with batches, and sees to it that each of their items comes to an end."""

    def __init__(
        self,
        inbox: Inbox,
        outbox: QueueEnd | None,
        status: StatusPage,
        spec: BatchSpec,
        tell: SendMessage,
    ) -> None:
        """`tell` is the worker's way to the supervisor."""
        self._inbox = inbox
        self._outbox = outbox
        self._status = status
        self._spec = spec
        self._tell = tell
        self._items: list[object] = []
        self._carried: list[object] = []
        """What was taken and was too much for the batch."""
        self._unreadable: BaseException | None = None
        """Why the only item of the batch can't be unpickled."""
        self._made: list[object] = []
        self._has_ended = False
        self.in_hand = 0
        """Items that the handler has: the oldest that were taken."""

    def run(self, call: Callable[[Any], object], fail: OnItemFailure) -> None:
        """Call the handler with each batch until the stream ends."""
        self._call, self._fail = call, fail
        while self._gather():
            self._status.begin_work()
            try:
                handle(self, len(self._items))
            finally:
                self._status.count_items(len(self._items), self._status.end_work())

    def _gather(self) -> bool:
        """Make the next batch; False where there is nothing left for one."""
        self._items, size, deadline = [], 0, None
        while len(self._items) < self._spec.size and (taken := self._next_item(deadline)):
            (item,) = taken
            if isinstance(item, UnpackError):
                self._take_unreadable(item)
                break
            deadline = deadline or time.monotonic() + self._spec.wait
            size += 0 if self._spec.most_bytes is None else len(pickle_alone(item))
            if self._items and self._spec.most_bytes is not None and size > self._spec.most_bytes:
                self._carried.append(item)
                break
            self._items.append(item)
        return bool(self._items)

    def _take_unreadable(self, error: UnpackError) -> None:
        """An item that can't be unpickled stands alone: it fails, whatever the others do."""
        if self._items:
            self._carried.append(error)
        else:
            self._items, self._unreadable = [Unreadable()], error.__cause__ or error

    def _next_item(self, deadline: float | None) -> list[object]:
        """Wait for an item, until `deadline` where there is one; empty if none came, or none will.

        Where one can't be unpickled, it is the error.
        """
        if self._carried:
            return [self._carried.pop()]
        if self._has_ended:
            return []
        try:
            return [
                self._inbox.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
            ]
        except EndOfStream:
            self._has_ended = True
        except queue.Empty:
            pass
        except UnpackError as error:
            return [error]
        return []

    # What becomes of a batch: see `handle`.

    def call(self, start: int, stop: int, *, split: bool) -> None:
        """Call the handler with some items of the batch, and gather what it makes."""
        self.in_hand = stop - start
        self._status.words[Word.SPLIT] = split
        if self._unreadable is not None:
            error, self._unreadable = self._unreadable, None
            raise error
        value = self._call(self._items[start:stop] if split else self._items)
        if not isinstance(value, GeneratorType):
            refuse_coroutine(value)
            self._made = [] if value is None else [value]
            return
        for each in value:
            self._made.append(self._as_it_is(each))

    def _as_it_is(self, output: object) -> object:
        """Return an output that nothing can change any more, since it has to wait for the others."""
        if self._outbox is None or is_safe(output):
            return output
        try:
            copy: object = pickle.loads(pickle_alone(output))
        except WorkerSignal:
            raise
        except BaseException as error:
            note_output(error, output)
            raise
        return copy

    def raised(self, start: int, stop: int, error: BaseException, *, split: bool) -> None:
        """Forget what was made, and tell of the first time that the handler raised on the batch."""
        self._made = []
        if not split:
            traceback = user_traceback(error, OWN_FOLDER)
            self._tell("batch_failed", items=stop - start, error=describe_error(error), traceback=traceback)

    def ended(self, start: int, stop: int, failed: Mapping[int, BaseException]) -> None:
        """Put what was made, and say what has come to an end, before anything ends the worker."""
        made, self._made = self._made, []
        if self._outbox is not None and len(failed) < stop - start:
            for output in made:
                self._outbox.put(output)
        ending: BaseException | None = None
        for index in range(start, stop):
            self.in_hand = max(0, self.in_hand - 1)
            if index not in failed:
                self._inbox.task_done()
                continue
            try:
                self._fail(self._items[index], failed[index])
            except BaseException as error:  # `on_error: fail`: raised again once all is said
                ending = ending or error
            self._inbox.give_up()
        if ending is not None:
            raise ending
