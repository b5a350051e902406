"""The innermost loop of a reader under `leased` whose items are slow: each is begun, named and timed for itself.

    claim ──► mark ──► unpickle ──► name ──► handler ──► done ──► the next, unless what is left has been recalled

So the others of its lease can be taken back while it is in hand, and a kill finds but this one in it. When an item has
taken its time, whatever is touched for the next one has left the processor's caches: so the loop is flat, and what can
wait for the end of the lease does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from copy import copy

from runner.ipc.frames import MIXED, shares_pickle
from runner.ipc.status_page import Word
from runner.ipc.stream import LeaseMessage
from runner.text import safe_repr
from runner.transports.leased.reader import SLOW, FrameInbox
from runner.transports.leased.session import WorkerSession

_DONE, _BUSY, _ITEM, _MARK = Word.DONE, Word.BUSY, Word.ITEM, Word.MARK
_MOMENT = 1_000_000
"""Nanoseconds of work that a pipe stage acknowledges with what comes after it."""

PassOn = Callable[[object, int, int], None]
"""Puts what was made of an item, but for the first outputs, so many; items before the last number are done then."""


class SlowItems:
    """Handles the items of a lease one by one."""

    def __init__(
        self,
        session: WorkerSession,
        inbox: FrameInbox,
        acknowledge: Callable[[LeaseMessage, int], None],
        take: Callable[[object], None],
        pass_on: PassOn | None,
    ) -> None:
        """`take` gets what a consumer's handler returned, if it was anything; `pass_on`, in a pipe stage, all of it.

        `acknowledge` says how far a lease has come.
        """
        self._status = session.status
        self._inbox = inbox
        self._acknowledge = acknowledge
        self._take = take
        self._pass_on = pass_on
        self.index = 0
        """The item in hand."""
        self.item: object = None
        self.times: list[int] = []
        """What those before it took, in nanoseconds."""
        self.names: list[str] = []
        """What they are called, and it too."""

    def run(
        self, lease: LeaseMessage, items: Iterator[object], at: int, call: Callable[[object], object]
    ) -> int:
        """
        Handle items of a lease from `at` on, which is claimed, and return where to go on.

        That is behind the last, where the next may not be begun, or sooner, where a loop for quick items does better.
        Raises what the handler raises, and `UnpackError`: `index` and `item` say on which one, `times` what was before.
        """
        status, take, pass_on, clock = self._status, self._take, self._pass_on, time.perf_counter_ns
        words, claim, is_big = status.words, self._inbox.claim, lease.body[:1] == MIXED
        self.times, self.names = [], []
        times, names = self.times, self.names
        shown = self._show_next(items) if shares_pickle(lease.body) else []
        self._inbox.mark_in_hand(lease.lease, at, lease.first)
        began = words[_BUSY] + clock()
        while True:
            words[_MARK] = self.index = at
            self.item = item = next(items)
            if len(times) < len(shown):
                words[_ITEM] = shown[len(times)]
            else:
                names.append(safe_repr(item))
                status.set_item(names[-1])
            value = call(item)
            if pass_on is not None:
                pass_on(value, lease.partial if at == lease.start else 0, at + 1)
            elif value is not None:
                take(value)
            words[_DONE] += 1
            self.item = item = value = None
            if is_big:
                self._inbox.release_views()
            ended = words[_BUSY] + clock()  # while it counts, the word holds what was busy, less the moment
            times.append(ended - began)
            at += 1
            if at == lease.stop or ended - began < SLOW or (pass_on is not None and sum(times) >= _MOMENT):
                break
            began = ended
            if claim(lease, at) == at:
                break
        self._end(lease, at)
        return at

    def _show_next(self, items: Iterator[object]) -> list[int]:
        """Name items that are unpickled already, all that there is room for, while code and data are at hand."""
        self.names += [safe_repr(item) for item in copy(items)]
        shown = self._status.set_items(self.names)
        del self.names[len(shown) :]
        return shown

    def _end(self, lease: LeaseMessage, at: int) -> None:
        inbox = self._inbox
        self._status.set_item("")
        if at == lease.stop:
            inbox.release_items()
        self._status.end_work()
        inbox.handled_each(self.times, self.names)
        if at == lease.stop or (self._pass_on is not None and inbox.nanos >= _MOMENT):
            self._acknowledge(lease, at)
