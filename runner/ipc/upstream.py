"""The supervisor's lines, from the side of a process that it has forked to take them in.

    wait ── lines, or their end ──► read, work off ──► have_read ──► rest, in a burst: what comes meanwhile gathers
      └──── the supervisor is gone ──► read what it had said, and leave

Nothing wakes such a process but lines, its own clock, and the supervisor's death, which is seen by its pidfd: a worker
may hold a copy of the other end, so that the stream does not end with the supervisor.

When a thousand workers are born or die there are some thousands of events within a second, and whoever is woken takes a
processor from those that work. Nothing is held back by the sender: what it has said is in the socket, whatever becomes
of it.
"""

from __future__ import annotations

import os
import select
import socket
import time

_SOON = 0.01
"""Seconds after the last lines within which others are of the same burst."""
_REST = 0.01
_LOOK = 0.5
"""Seconds between two looks whether the supervisor lives, where no pidfd tells."""


class Upstream:
    """Waits for what comes on a connection."""

    def __init__(self, connection: socket.socket, parent: int) -> None:
        """`parent` is the supervisor's pid. To be made in the child."""
        self._parent = parent
        self._lines, self._rest = select.poll(), select.poll()
        self._lines.register(connection, select.POLLIN)
        self._rest.register(connection, select.POLLRDHUP)  # and not POLLIN: what can be read wakes nobody
        self._last = 0.0
        self._beside: int | None = None
        self.beside_is_ready = False
        """Whether the last `wait` has seen that what is beside can be read."""
        try:
            self._pidfd: int | None = os.pidfd_open(parent)
        except OSError:  # it is gone already, or there is no descriptor left
            self._pidfd = None
        else:
            self._lines.register(self._pidfd, select.POLLIN)
            self._rest.register(self._pidfd, select.POLLIN)

    @property
    def is_orphaned(self) -> bool:
        """Whether the supervisor is gone."""
        return os.getppid() != self._parent

    @property
    def beside(self) -> int | None:
        """A descriptor that ends a wait as well when it can be read, such as that of an epoll."""
        return self._beside

    @beside.setter
    def beside(self, descriptor: int | None) -> None:
        if self._beside is not None:
            self._lines.unregister(self._beside)
        self._beside, self.beside_is_ready = descriptor, False
        if descriptor is not None:
            self._lines.register(descriptor, select.POLLIN)

    def wait(self, seconds: float | None = None) -> bool:
        """Block until there is something to read, or the supervisor is gone. False: so many seconds have passed, or
        there is something beside it alone."""
        most = seconds if self._pidfd is not None else min(_LOOK, _LOOK if seconds is None else seconds)
        ready = {
            descriptor for descriptor, _ in self._lines.poll(None if most is None else max(most, 0.0) * 1000)
        }
        self.beside_is_ready = self._beside in ready
        return bool(ready - {self._beside}) or self.is_orphaned

    def have_read(self) -> None:
        """Called when lines were read and worked off; blocks for a moment in a burst that goes on."""
        now = time.monotonic()
        if now - self._last < _SOON:
            self._rest.poll(_REST * 1000)
            now = time.monotonic()
        self._last = now
