"""The hub of a run: whoever watches it is told all that has happened so far, and then what happens.

    events ──► RunHub ──┬─► RunState, the whole of it ──► `hello`, to each who comes
                        └─► lines ──► each watcher's backlog ──► its socket

Nobody waits for a watcher. One that does not read gets nothing more once much of it waits; when it has read that, it
gets the whole state anew, and how many events that stands for. So it is up to date with the first word that it reads
after the last of its backlog, however long it was stopped, and what is kept for it is bounded.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from typing import Final

from runner.events.base import Event
from runner.facts import dataclass
from runner.ipc.line_sender import LineSender
from runner.store.run_socket import accept_own
from runner.watch.hello import hello_line
from runner.watch.state import RunState

MOST_WATCHERS: Final = 64
MOST_BYTES: Final = 1024 * 1024
"""Of events, that wait for one watcher."""
LAST_WORDS: Final = 0.2
"""Seconds that the end of a run waits, at the most, for watchers who read to have read it."""
_REFUSED = {"refused": f"{MOST_WATCHERS} others watch this run already"}


@dataclass(slots=True, eq=False)
class _Watcher:
    """One who watches."""

    connection: socket.socket
    lines: LineSender
    missed: int = 0
    """Events that it did not get since it has fallen behind."""
    waits_for_room: bool = False
    most_bytes: int = MOST_BYTES


class RunHub:
    """Serves those who watch a run. Nothing here blocks but `close`, and that not for long."""

    def __init__(self, listener: socket.socket, state: RunState | None = None) -> None:
        """Take callers of `listener`, which is owned from now on."""
        self.state = RunState() if state is None else state
        self._listener = listener
        self._watchers: dict[int, _Watcher] = {}
        self._poll = select.epoll()
        self._poll.register(listener, select.EPOLLIN)

    def fileno(self) -> int:
        """Can be read once `serve` has something to do."""
        return self._poll.fileno()

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def waiting_bytes(self) -> list[int]:
        """How much waits for each of them."""
        return [each.lines.waiting_bytes for each in self._watchers.values()]

    def observe(self, event: Event) -> None:
        """Take note of an event, and pass it on."""
        self.state.observe(event)
        for watcher in tuple(self._watchers.values()):
            if watcher.missed or watcher.lines.waiting_bytes > watcher.most_bytes:
                watcher.missed += 1
            else:
                watcher.lines.enqueue(event.line())

    def flush(self) -> None:
        """Send what was observed, as far as there is room."""
        for watcher in tuple(self._watchers.values()):
            self._send(watcher)

    def serve(self) -> None:
        """Take in who calls, go on with who has room again, and forget who is gone."""
        for descriptor, what in self._poll.poll(0):
            if descriptor == self._listener.fileno():
                self._accept()
            elif (watcher := self._watchers.get(descriptor)) is not None:
                if what & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and _has_left(watcher):
                    self._forget(watcher)
                else:
                    self._send(watcher)

    def close(self) -> None:
        """Let those who read hear the last word, and hang up on everybody."""
        deadline = time.monotonic() + LAST_WORDS
        while self._behind() and (left := deadline - time.monotonic()) > 0:
            self._poll.poll(left)
            self.serve()
        for watcher in tuple(self._watchers.values()):
            self._forget(watcher)
        self._listener.close()
        self._poll.close()

    def _behind(self) -> bool:
        """Say whether there is somebody who reads, and has not read all. Whoever has missed events does not read."""
        return any(len(each.lines) and not each.missed for each in self._watchers.values())

    def _accept(self) -> None:
        connection = accept_own(self._listener)
        if connection is None:
            return
        if len(self._watchers) >= MOST_WATCHERS:
            with contextlib.suppress(OSError):
                connection.send(json.dumps(_REFUSED).encode() + b"\n")
            connection.close()
            return
        watcher = _Watcher(connection, LineSender(connection))
        self._watchers[connection.fileno()] = watcher
        self._poll.register(connection, select.EPOLLIN)
        self._greet(watcher)
        self._send(watcher)

    def _greet(self, watcher: _Watcher) -> None:
        """Tell it all that has happened, whatever of it it had missed."""
        hello = hello_line(self.state, watcher.missed)
        watcher.lines.enqueue(hello)
        watcher.missed, watcher.most_bytes = 0, MOST_BYTES + len(hello)

    def _send(self, watcher: _Watcher) -> None:
        watcher.lines.flush_nowait()
        if watcher.missed and not len(watcher.lines):
            self._greet(watcher)
            watcher.lines.flush_nowait()
        if watcher.lines.lost:
            self._forget(watcher)
            return
        waits = len(watcher.lines) > 0
        if waits != watcher.waits_for_room:
            watcher.waits_for_room = waits
            self._poll.modify(watcher.connection, select.EPOLLIN | (select.EPOLLOUT if waits else 0))

    def _forget(self, watcher: _Watcher) -> None:
        del self._watchers[watcher.connection.fileno()]
        self._poll.unregister(watcher.connection)
        watcher.connection.close()


def _has_left(watcher: _Watcher) -> bool:
    """Say whether it has hung up. What it says is nothing to us."""
    try:
        return not watcher.connection.recv(4096)
    except BlockingIOError:
        return False
    except OSError:
        return True
