"""The process that tells somebody of a run, so that nobody who runs it waits: from both sides.

    supervisor                                     child, forked before any worker
    Notifier.observe ── NotificationRules ── what to tell, a line of JSON ──► Deliveries ──► programs, URLs
                                      └── the facts so far, now and then ──► known, should the runner be killed

It outlives a runner that is killed for as long as it takes to tell of that.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from runner.events.base import Event
from runner.events.run import RunProgress, RunStarted
from runner.ipc.descriptors import stand_apart
from runner.ipc.line_sender import LineSender, is_ready
from runner.ipc.upstream import Upstream
from runner.process.signals import SignalInbox
from runner.spec.notify import DELIVERY_TIMEOUT, NotifySpec
from runner.watch.notifications import NotificationRules

_CHUNK = 64 * 1024
_FACTS_EVERY = 5.0
_MARGIN = 3.0
"""Seconds beyond the bound of a delivery that the child has to say how it went."""
_END_TIMEOUT = 1.0


class Notifier:
    """The supervisor's end: an observer whose `observe` never blocks. The fork is part of making it."""

    def __init__(
        self, entries: Sequence[NotifySpec], kinds: Callable[[], Sequence[Mapping[str, Any]]] = lambda: ()
    ) -> None:
        """`kinds` are those of the failures so far. Raises OSError where there can be no further process."""
        self._rules = NotificationRules(entries, kinds)
        self._socket, theirs = socket.socketpair()
        self._next_facts = 0.0
        self._is_over = self._is_finished = False
        self.troubles: Sequence[str] = ()
        """After `finish`: who could not be told, and why, a line each."""
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self._socket.close()
            _serve(theirs, entries, parent)
        theirs.close()
        self._lines = LineSender(self._socket)

    def observe(self, event: Event) -> None:
        """Decide what is to be told at an event, and hand it over."""
        for told in self._rules.observe(event):
            self._send({"tell": told.entries, "facts": told.facts})
        if isinstance(event, RunStarted) or (isinstance(event, RunProgress) and event.at >= self._next_facts):
            self._next_facts = event.at + _FACTS_EVERY
            self._send({"facts": self._rules.facts(event.at)})

    def close(self) -> None:
        """Nothing: what is to be told of the end is told by `end`, which knows that it is one."""

    def end(self) -> None:
        """Nothing more of the run is to come: hand over what is to be told of that."""
        if self._is_over:
            return
        self._is_over = True
        for told in self._rules.ended(time.time()):
            self._send({"tell": told.entries, "facts": told.facts})
        self._send({"over": True})
        self._lines.flush(time.monotonic() + _END_TIMEOUT)
        self._lines.end()

    def finish(self, say: Callable[[], object] = lambda: None) -> None:
        """
        Wait until everybody was told, to the bound of that; `say` is called where it takes a while.

        A signal that asks to end, Ctrl-C among them, ends the wait and what is under way. Sets `troubles`.
        """
        self.end()
        if self._is_finished:
            return
        self._is_finished = True
        deadline = time.monotonic() + DELIVERY_TIMEOUT + _MARGIN
        with SignalInbox() as signals:
            soon = time.monotonic() + _END_TIMEOUT
            if not is_ready(self._socket, select.POLLIN, soon, signals.wake) and not signals.take():
                say()
                is_ready(self._socket, select.POLLIN, deadline, signals.wake)
            farewell = self._farewell()
        self.troubles = farewell.splitlines()

    def _farewell(self) -> str:
        """Take what it says at its end; one that has not come to it is ended, with what it has under way."""
        said = b""
        if not is_ready(self._socket, select.POLLIN, time.monotonic()):
            os.kill(self.pid, signal.SIGTERM)
            is_ready(self._socket, select.POLLIN, time.monotonic() + _END_TIMEOUT)
            said = b"notify: not everybody was told: it was not waited for"
        else:
            with contextlib.suppress(OSError):
                said = self._socket.recv(_CHUNK)
        self._socket.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return said.decode("utf-8", "replace")

    def _send(self, what: Mapping[str, Any]) -> None:
        self._lines.enqueue(json.dumps(what, default=str).encode() + b"\n")
        self._lines.flush_nowait()


def _serve(connection: socket.socket, entries: Sequence[NotifySpec], parent: int) -> NoReturn:
    """Tell what comes in, then how that went, and end the process."""
    from runner.watch.deliveries import Deliveries

    try:
        connection = socket.socket(fileno=stand_apart(connection.detach()))
        deliveries = Deliveries()

        def end(_number: int, _frame: object) -> None:
            deliveries.end()
            os._exit(0)

        signal.signal(signal.SIGTERM, end)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, lambda *_: None)  # what is ignored would be by the programs too
        is_over = False
        facts: dict[str, Any] = {}
        for line in _lines(connection, parent):
            is_over, facts = is_over or "over" in line, line.get("facts", facts)
            for place in line.get("tell", ()):
                deliveries.begin(place, entries[place], line["facts"])
        if not is_over and facts:
            for told in NotificationRules(entries).ended(time.time(), facts):
                for place in told.entries:
                    deliveries.begin(place, entries[place], told.facts)
        troubles = "\n".join(deliveries.finish())
        with contextlib.suppress(OSError):
            connection.setblocking(True)
            connection.sendall(troubles.encode("utf-8", "backslashreplace") if troubles else b"")
    finally:
        os._exit(0)


def _lines(connection: socket.socket, parent: int) -> Any:
    upstream, rest = Upstream(connection, parent), b""
    while True:
        upstream.wait()
        connection.setblocking(False)
        try:
            chunk = connection.recv(_CHUNK)
        except BlockingIOError:
            if upstream.is_orphaned:
                return
            continue
        except OSError:
            return
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (json.loads(line) for line in lines if line)
