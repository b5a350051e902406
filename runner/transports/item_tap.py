"""Some of a worker's items, shown to the supervisor while somebody looks at what passes (`mprun tap`).

    page: so many may be shown ──► looked at once a frame ──► some of its items, drawn as JSON ──► the worker's channel

Which of a frame are shown is spread over it, as the first of each frame need not be like the others. What it costs to
draw them is bounded in time too, to a small part of the worker's.
"""

from __future__ import annotations

import pickle
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from copy import copy
from typing import Protocol

from runner.errors import WorkerSignal
from runner.ipc.frames import item_size
from runner.ipc.shm.handles import is_handle
from runner.ipc.shown_items import Side, count_shown, unshown
from runner.ipc.status_page import StatusPage
from runner.spec.plan import WorkerPlan
from runner.transports.base import SendMessage
from runner.transports.sketches import Sketch, sketch

_now, _clock = time.time, time.perf_counter
"""What the clocks were when this was imported: a handler may put others in their place."""
_PART = 50
"""A worker spends one part in so many of its time on drawing items, at the most."""
_SAVED = 0.02
"""Seconds of that that it may spend at once."""
_MOST_PICKLE = 1 << 16
"""Bytes of a pickle that is opened to be shown."""
_MOST_BIG = 8
"""Big items that are drawn before they leave."""
_SPREAD = 0x9E3779B1
"""A prime by which numbers that follow one another are scattered."""


class Gathered(Protocol):
    """What a worker has gathered and is about to send."""

    def entry(self, index: int) -> bytes:
        """Return the pickle of an item, or its handle, by how many are older."""

    def queues_of(self, index: int) -> Sequence[str]:
        """Name the queues that it goes to; none where all go to the only one."""


class ItemTap:
    """Shows items of one worker."""

    def __init__(
        self,
        plan: WorkerPlan,
        status: StatusPage,
        send: SendMessage,
        item_id: Callable[[int], str] | None = None,
    ) -> None:
        """`item_id` returns the id of the item that has a place among all that were put, where those have places."""
        self._plan = plan
        self._status = status
        self._send = send
        self._item_id = item_id
        self._left = _SAVED
        """Seconds that it may spend at this moment, and when that was worked out."""
        self._counted = _clock()
        self._frames = 0
        self._big: OrderedDict[bytes, Sketch] = OrderedDict()
        """Big items that are about to leave, by their handles."""

    def may_show(self, side: Side) -> int:
        """How many items may be shown at this moment."""
        now = _clock()
        self._left = min(_SAVED, self._left + (now - self._counted) / _PART)
        self._counted = now
        return unshown(self._status, side) if self._left > 0 else 0

    def show(self, side: Side, item: object, place: int | None = None) -> None:
        """Show one item, for which there is leave."""
        began = _clock()
        self._tell(began, side, sketch(item), place)

    def taken(self, items: Iterator[object], first: int, count: int) -> Iterator[object]:
        """Return the items of a lease, which have places from `first` on; some of them are shown as they are taken."""
        chosen = self._chosen(Side.TAKEN, count)
        return _TappedItems(items, first, {first + index for index in chosen}, self) if chosen else items

    def show_made(self, gathered: Gathered, count: int) -> None:
        """Show some of the oldest `count` of what is about to leave."""
        for index in self._chosen(Side.MADE, count):
            if not self.may_show(Side.MADE):
                return
            began = _clock()
            drawn = self._drawn(gathered.entry(index))
            self._tell(began, Side.MADE, drawn, queues=gathered.queues_of(index))

    def note_big(self, handle: bytes, item: object) -> None:
        """Draw a big item: when it leaves, it lies elsewhere."""
        if self.may_show(Side.MADE):
            self._big[handle] = sketch(item)
            if len(self._big) > _MOST_BIG:
                self._big.popitem(last=False)

    def _chosen(self, side: Side, count: int) -> Collection[int]:
        """Choose which items of a frame of `count` are shown."""
        leave = min(count, self.may_show(side))
        if not leave:
            return ()
        self._frames += 1
        stride = count // leave
        return range(self._frames * _SPREAD % stride, count, stride)[:leave]

    def _drawn(self, entry: bytes) -> Sketch:
        if is_handle(entry):
            known = self._big.pop(entry, None)
            return known or Sketch(f"<an item of {item_size(entry)} bytes>", is_whole=False)
        if len(entry) > _MOST_PICKLE:
            return Sketch(f"<an item of {len(entry)} bytes>", is_whole=False)
        try:
            return sketch(pickle.loads(entry))
        except (WorkerSignal, KeyboardInterrupt):
            raise
        except BaseException as error:  # `__setstate__` is the user's code
            return Sketch(f"<an item that can't be unpickled: {type(error).__name__}>", is_whole=False)

    def _tell(
        self, began: float, side: Side, drawn: Sketch, place: int | None = None, queues: Sequence[str] = ()
    ) -> None:
        count_shown(self._status, side)
        item_id = None if place is None or self._item_id is None else self._item_id(place)
        if not queues:
            queues = self._plan.targets if side is Side.MADE else (str(self._plan.receives),)
        fields = {
            "at": _now(),
            "item": drawn.value,
            "whole": drawn.is_whole,
            "id": item_id,
            "queues": [*queues],
        }
        self._send("item_shown", side=side, fields=fields)
        self._left -= _clock() - began


class _TappedItems:
    """The items of a lease, some of which are shown. A class, as a generator would end at the first that can't be
    unpickled, and can't be copied."""

    def __init__(self, items: Iterator[object], first: int, chosen: set[int], tap: ItemTap) -> None:
        self._items = items
        self._place = first - 1
        self._chosen = chosen
        self._tap = tap

    def __iter__(self) -> Iterator[object]:
        return self

    def __next__(self) -> object:
        self._place += 1
        item = next(self._items)
        if self._place in self._chosen and self._tap.may_show(Side.TAKEN):
            self._tap.show(Side.TAKEN, item, self._place)
        return item

    def __copy__(self) -> Iterator[object]:
        """Whoever wants to look ahead takes nothing."""
        return copy(self._items)
