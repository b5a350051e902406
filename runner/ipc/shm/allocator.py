"""Where big items lie in a writer's part of an arena: slots, handed out and taken back. Pure.

    take ──► busy ──give_back──► warm (its pages stay) ──take──► busy     the common way: no page is made or zeroed
                                  └──evicted──► cold (its pages go) ──take──► busy

A slot is a range of a sparse file, so addresses cost nothing and only pages are counted: the slots of one size are used
again and again, never joined or split, and nothing is ever in the way of anything else.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections import defaultdict, deque
from functools import cache

from runner.facts import dataclass

PAGE = 4096
EXTENT = 1 << 26
"""What a writer maps at once: a slot that is no bigger lies within one extent, a bigger one begins with one."""
WARM_MOST = 1 << 28
"""Bytes of free slots that keep their pages."""
_STEPS = 4


@dataclass(frozen=True, slots=True)
class Slot:
    """A range of a writer's part."""

    at: int
    size: int


class Slots:
    """Which slots are in use, and which may be."""

    def __init__(self, share: int, span: int) -> None:
        """`share` bytes may be busy at once, or one bigger slot alone; `span` is where the addresses end."""
        self._share = share
        self._span = span
        self._top = 0
        self._busy: dict[int, Slot] = {}
        self._warm: defaultdict[int, deque[Slot]] = defaultdict(deque)
        self._cold: defaultdict[int, list[Slot]] = defaultdict(list)
        self._evicted: list[Slot] = []
        self.busy = 0
        """Bytes in use."""
        self.warm = 0
        """Bytes that are free and keep their pages."""

    def take(self, size: int) -> Slot | None:
        """Return a slot of at least `size` bytes; None while there is no room for it."""
        size = rounded(size)
        if self._busy and self.busy + size > self._share:
            return None
        slot = self._free_slot(size)
        if slot is not None:
            self._busy[slot.at] = slot
            self.busy += slot.size
            self._evict(max(0, self._share - self.busy))
        return slot

    def give_back(self, slot: Slot) -> None:
        """What was in the slot is no longer wanted by anybody."""
        del self._busy[slot.at]
        self.busy -= slot.size
        self._warm[slot.size].append(slot)
        self.warm += slot.size
        self._evict(min(WARM_MOST, max(0, self._share - self.busy)))

    def evicted(self) -> list[Slot]:
        """Return the free slots whose pages must be given up now; each once."""
        evicted, self._evicted = self._evicted, []
        # A slot may be in use again by now, and then its pages are as well.
        return [slot for slot in evicted if slot.at not in self._busy]

    def _free_slot(self, size: int) -> Slot | None:
        if self._warm[size]:
            self.warm -= size
            return self._warm[size].pop()  # the last one back is the likeliest to be in the processor's cache
        if self._cold[size]:
            return self._cold[size].pop()
        return self._new_slot(size)

    def _new_slot(self, size: int) -> Slot | None:
        at = self._top
        if at % EXTENT + size > EXTENT:
            at += -at % EXTENT
        if at + size > self._span:
            return None
        self._top = at + size
        return Slot(at, size)

    def _evict(self, most: int) -> None:
        """Take the pages of free slots until they are no more than `most` bytes; the biggest go first."""
        while self.warm > most:
            size = max(size for size, slots in self._warm.items() if slots)
            slot = self._warm[size].popleft()
            self.warm -= size
            self._cold[size].append(slot)
            self._evicted.append(slot)


def rounded(size: int) -> int:
    """The size of the slot for `size` bytes: whole pages, in steps of a quarter, so that there are few sizes."""
    pages = max(1, -(-size // PAGE))
    power = 1 << (pages.bit_length() - 1)
    step = max(1, power // _STEPS)
    return -(-pages // step) * step * PAGE


_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEPT_MOST = 1 << 27
_KEPT_EACH = 1 << 25
"""The most that glibc lets this be."""


@cache
def disable_trim() -> None:
    """Keep freed memory from now on, up to a bound. Called by a worker at its first big item; again is harmless.

    By itself the C library gives the memory of big objects back to the kernel at once, which must zero it anew for the
    next: for a worker that makes or takes one megabyte after the other this costs several times as much as copying
    them. Only where that library is glibc; elsewhere nothing happens.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _KEPT_EACH)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_MOST)
