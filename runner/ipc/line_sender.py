"""Lines for another process that must not hold up the sender: what it has no room for waits here, in memory.

enqueue ──► backlog ──► flush_nowait ──► socket          whoever sends bounds the backlog: it alone knows what may go
                             └── the reader is gone: `lost`, and whatever follows goes nowhere
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections import deque

_CHUNK = 64 * 1024


MOST_BYTES = 4 * 1024 * 1024
MOST_LINES = 10_000


class Admission:
    """Says what may still wait of what somebody shall see, and counts what may not."""

    def __init__(self, most_bytes: int = MOST_BYTES, most_lines: int = MOST_LINES) -> None:
        self._most_bytes, self._most_lines = most_bytes, most_lines
        self._missing = 0

    def admits(self, waiting_bytes: int, waiting_lines: int) -> bool:
        """Say whether there is room for one more; one for which there is none counts as missing."""
        # Once some are missing half must be free first, or every other line would tell of a missing one.
        share = 2 if self._missing else 1
        if waiting_bytes < self._most_bytes // share and waiting_lines < self._most_lines // share:
            return True
        self._missing += 1
        return False

    def take_missing(self) -> int:
        """Return how many are missing that were not told of."""
        missing, self._missing = self._missing, 0
        return missing


class LineSender:
    """One end of a stream of lines. Nothing here blocks but `flush`, which says for how long."""

    def __init__(self, connection: socket.socket) -> None:
        """Send over `connection`, which stays the caller's to close."""
        self._socket = connection
        self._backlog: deque[bytes] = deque()
        self.waiting_bytes = 0
        self.lost = False
        """Whether the reader is gone."""
        connection.setblocking(False)

    def __len__(self) -> int:
        """How many lines wait, the one that is half sent among them."""
        return len(self._backlog)

    def enqueue(self, line: bytes) -> None:
        """Put a line, which ends in a newline, behind the others."""
        if not self.lost:
            self._backlog.append(line)
            self.waiting_bytes += len(line)

    def flush_nowait(self) -> None:
        """Send what the reader has room for."""
        while self._backlog and not self.lost:
            chunk = self._next_chunk()
            try:
                sent = self._socket.send(chunk)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._disconnect()
                return
            self.waiting_bytes -= sent
            if sent < len(chunk):
                self._backlog.appendleft(chunk[sent:])
                return

    def flush(self, deadline: float, interrupt: int | None = None) -> None:
        """Send all, until a moment of the monotonic clock, or until `interrupt` is readable."""
        while self._backlog and not self.lost and is_ready(self._socket, select.POLLOUT, deadline, interrupt):
            self.flush_nowait()

    def end(self) -> None:
        """Say that nothing follows. Not only closed: whoever was forked meanwhile may hold a copy of this end."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def _next_chunk(self) -> bytes:
        lines = [self._backlog.popleft()]
        size = len(lines[0])
        while self._backlog and size < _CHUNK:
            lines.append(self._backlog.popleft())
            size += len(lines[-1])
        return b"".join(lines)

    def _disconnect(self) -> None:
        self.lost = True
        self._backlog.clear()
        self.waiting_bytes = 0


def is_ready(
    channel: socket.socket | int, for_what: int, deadline: float, interrupt: int | None = None
) -> bool:
    """Wait for room, or for words; not once `interrupt` is readable, which it stays."""
    poll = select.poll()
    poll.register(channel, for_what)
    if interrupt is not None:
        poll.register(interrupt, select.POLLIN)
    found = [descriptor for descriptor, _ in poll.poll(max(deadline - time.monotonic(), 0) * 1000)]
    return bool(found) and interrupt not in found
