"""What to do when a descriptor can be read or written: `epoll` with a table.

`selectors` makes a key, a tuple and a list for every event; here a wait costs one call and one look-up for each,
since every frame wakes the supervisor several times.
"""

from __future__ import annotations

import select
from collections.abc import Callable

from runner.transports.base import HasFileno


class Poller:
    """Calls back for descriptors that are ready. One thread only."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[], None]] = {}

    def watch(self, end: HasFileno | int, ready: Callable[[], None], *, writing: bool = False) -> None:
        """Call `ready` within `wait` whenever `end` can be read, or written where `writing`. Repeated, it changes."""
        descriptor = end if isinstance(end, int) else end.fileno()
        events = select.EPOLLIN | (select.EPOLLOUT if writing else 0)
        if descriptor in self._ready:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._ready[descriptor] = ready

    def unwatch(self, end: HasFileno) -> None:
        """Stop watching, before `end` is closed; what is not watched is no error."""
        if self._ready.pop(end.fileno(), None) is not None:
            self._epoll.unregister(end.fileno())

    def wait(self, timeout: float) -> None:
        """Block until something is ready, or `timeout` seconds have passed, and call back for all that is."""
        for descriptor, _ in self._epoll.poll(timeout):
            # One that is ready may have been taken out by another's call just now.
            ready = self._ready.get(descriptor)
            if ready is not None:
                ready()

    def close(self) -> None:
        """Give the descriptor back."""
        self._epoll.close()
