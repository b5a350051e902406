"""What the supervisor says, taken in by a thread of its own: a stopped screen holds up who writes to it, and no other.

    supervisor ── lines ──► EventIntake ──┬──► RunHub ──► who watches the run
                                     ├──► metrics, and what else never waits for anybody
                                     └──► backlog, bounded ──► log, file of events, live view: the main thread

A write to a stopped terminal blocks for as long as somebody likes. Meanwhile snapshots are left out of the backlog, and
what does not fit is counted and told of once there is room; those who watch see all of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from runner.events.base import Event
from runner.events.run import EventsDropped, RunFinished, RunProgress, RunWorkers
from runner.ipc.line_sender import Admission
from runner.ipc.upstream import Upstream

if TYPE_CHECKING:
    from runner.watch.hub import RunHub

_CHUNK = 64 * 1024
START_AFTER: Final = 0.3
"""Seconds after the first event in which nobody but who calls makes the hub begin: most short runs do without."""
_FEW: Final = 100
"""Events that may wait for the main thread before it is thought to be held up."""


class EventIntake(threading.Thread):
    """Begins with `start`; what comes is had by `take`."""

    def __init__(self, connection: socket.socket, parent: int, follow: Callable[[Event], None]) -> None:
        """`parent` is the supervisor's pid; `follow` is told of each event, blocks never and raises nothing.

        To be made in the child.
        """
        super().__init__(daemon=True)
        self._follow = follow
        connection.setblocking(False)
        self._connection = connection
        self._upstream = Upstream(connection, parent)
        self._backlog = Backlog()
        self._watching = Watching(self._upstream)
        self.files: list[int] = []
        """Descriptors of files that came before the first event."""

    def take(self, seconds: float | None) -> list[Event] | None:
        """Wait for events, so long at the most; None once there are none to come. Raises what has broken the intake."""
        return self._backlog.take(seconds)

    @property
    def trouble(self) -> Exception | None:
        """What has ended the hub before its time."""
        return self._watching.trouble

    def run(self) -> None:
        """Take in all that comes, to its end."""
        # A signal is for the main thread: here it would not end the write that holds that up.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        failure: BaseException | None = None
        try:
            self._take_in()
        except BaseException as error:
            failure = error
        self._backlog.end(failure)
        self._watching.close()

    def _take_in(self) -> None:
        from runner.events.catalogue import event_of

        rest = b""
        while chunk := self._receive():
            *lines, rest = (rest + chunk).split(b"\n")
            events = [event_of(line) for line in lines if line]  # an empty line is what a file came with
            for event in events:
                self._follow(event)
            self._backlog.put(events)
            self._watching.observe(events)
            self._upstream.have_read()

    def _receive(self) -> bytes:
        """Wait for bytes, and files that may come with them; serve those who watch meanwhile. Nothing is the end."""
        while not self._upstream.wait(self._watching.due_in()):
            self._watching.serve()
        self._watching.serve()
        try:
            chunk, files, _, _ = socket.recv_fds(self._connection, _CHUNK, 1)
        except OSError:  # what the supervisor had said before it was killed has been read
            return b""
        for file in files:
            if stat.S_ISSOCK(os.fstat(file).st_mode):
                self._watching.listen(socket.socket(fileno=file))
            else:
                self.files.append(file)
        return chunk


class Backlog:
    """Events on their way from one thread to another, to a bound."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._admission = Admission()
        self._is_over = False
        self._failure: BaseException | None = None
        self._news = threading.Condition()

    def put(self, events: list[Event]) -> None:
        """Put what there is room for behind the others."""
        with self._news:
            for event in events:
                self._put(event)
            self._news.notify()

    def _put(self, event: Event) -> None:
        waiting = len(self._events)
        if waiting > _FEW and isinstance(event, RunProgress | RunWorkers):
            return  # the next one says it better
        if not isinstance(event, RunFinished) and not self._admission.admits(self._bytes, waiting):
            return
        if missing := self._admission.take_missing():
            self._append(EventsDropped(count=missing).stamped(event.at, event.run))
        self._append(event)

    def _append(self, event: Event) -> None:
        self._events.append(event)
        self._bytes += len(event.line())

    def end(self, failure: BaseException | None) -> None:
        """Say that nothing follows, or why not."""
        with self._news:
            self._is_over, self._failure = True, failure
            self._news.notify()

    def take(self, seconds: float | None) -> list[Event] | None:
        """Wait for events and take all there are; None at their end. Raises what `end` was given."""
        with self._news:
            self._news.wait_for(lambda: self._events or self._is_over, seconds)
            if not self._events and self._is_over:
                if self._failure is not None:
                    raise self._failure
                return None
            taken = list(self._events)
            self._events.clear()
            self._bytes = 0
            return taken


class Watching:
    """The hub, from the moment at which somebody may want it."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._listener: socket.socket | None = None
        self._hub: RunHub | None = None
        self._early: list[Event] = []
        """What has come before there is a hub."""
        self._due: float | None = None
        self.trouble: Exception | None = None

    def listen(self, listener: socket.socket) -> None:
        """Serve whoever calls there from now on. Before the first event."""
        self._listener = listener
        self._upstream.beside = listener.fileno()

    def due_in(self) -> float | None:
        """Return the seconds until the hub begins of itself; None where that is over, or never."""
        return None if self._due is None else max(self._due - time.monotonic(), 0.0)

    def observe(self, events: list[Event]) -> None:
        """Tell those who watch."""
        if self._listener is None or not events:
            return
        if self._hub is None:
            self._early += events
            self._due = self._due or time.monotonic() + START_AFTER
            return
        try:
            for event in events:
                self._hub.observe(event)
            self._hub.flush()
        except Exception as error:
            self._give_up(error)

    def serve(self) -> None:
        """Do what is due; called whenever anything is to be read, or time has passed."""
        if self._listener is None:
            return
        try:
            if self._hub is None and (self._upstream.beside_is_ready or self.due_in() == 0.0):
                self._begin(self._listener)
            if self._hub is not None:
                self._hub.serve()
        except Exception as error:
            self._give_up(error)

    def _begin(self, listener: socket.socket) -> None:
        from runner.watch.hub import RunHub

        self._due = None
        self._hub = RunHub(listener)
        for event in self._early:
            self._hub.observe(event)
        self._early.clear()
        self._upstream.beside = self._hub.fileno()

    def _give_up(self, error: Exception) -> None:
        """It must not take along the log, which is in the same process."""
        self.trouble = error
        self.close()

    def close(self) -> None:
        """Tell those who watch the last word, and hang up."""
        self._upstream.beside = None
        hub, listener = self._hub, self._listener
        self._hub = self._listener = self._due = None
        with contextlib.suppress(Exception):
            if hub is not None:
                hub.close()
            elif listener is not None:
                listener.close()
