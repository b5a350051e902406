"""A run in whose queues the program itself puts and takes, seen from the program: it is started, fed, drained, ended.

MapRun.put ──► "items" ══► workers ══► "results" ──► MapRun.arrived        wait() moves whatever can be moved
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from runner.api.channel import ChannelObserver, Outcome, Words, died, send_outcome
from runner.api.relay import OutputRelay
from runner.composition import Hosting, preload, run
from runner.errors import RunFailed
from runner.events.base import Event
from runner.events.report import Report
from runner.events.run import ItemDeadLettered, ItemFailed
from runner.ipc.line_sender import LineSender
from runner.ipc.status_page import Word
from runner.process.child import ProgramPidfd
from runner.process.host import Host, own_descriptors
from runner.spec.plan import Plan
from runner.transports.lending import LentOutbox, LentPlace, borrow_place

ITEMS, RESULTS = "items", "results"
_LOOK = 0.25
"""Seconds between two looks whether the run wants to end."""
_STOP_PATIENCE = 15.0
"""Seconds for a run that is to end at once; then its process is killed, and its watchdog ends the rest."""


class MapRun:
    """A plan with a stage ITEMS that writes and a stage RESULTS that reads; both are this program's."""

    def __init__(self, plan: Plan) -> None:
        """
        Start it.

        Raises:
            StartFailed: the system has no process or descriptor left to give.
        """
        preload("leased")
        self.arrived: deque[object] = deque()
        """What has been taken from RESULTS, and the events of items of which nothing comes there."""
        self._poll = select.poll()
        self._ready: dict[int, Callable[[], object]] = {}
        self._places: dict[str, LentPlace] = {}
        self._lifelines: dict[str, socket.socket] = {}
        self._relay = OutputRelay()
        self._owner = os.getpid()
        pairs = {name: socket.socketpair() for name in (ITEMS, RESULTS)}
        self._lifelines = {name: ours for name, (ours, _) in pairs.items()}
        own_descriptors.update(each.fileno() for each in self._lifelines.values())
        theirs = {name: pair[1] for name, pair in pairs.items()}
        program = os.getpid()
        self._host = Host(
            lambda channel: _serve(plan, theirs, channel, program), standard=self._relay.standard
        )
        for each in theirs.values():
            each.close()
        self._relay.started()
        self._words = Words(self._host.channel, self._observe)
        self._watch_all()
        try:
            self._borrow()
        except BaseException:
            self.stop()
            raise

    @property
    def outbox(self) -> LentOutbox:
        """Where items are put."""
        outbox = self._places[ITEMS].outbox
        assert outbox is not None
        return outbox

    @property
    def wants_end(self) -> bool:
        """Whether the run is being brought to its end, and takes no more items."""
        return bool(self._places[ITEMS].session.status.words[Word.STOP]) or self._words.ended

    def finish_items(self) -> None:
        """No more are put."""
        self._places[ITEMS].finish(self._lifelines[ITEMS])

    def wait(self, timeout: float = _LOOK) -> None:
        """Wait until something has come, and take it in. Raises `RunFailed` once nothing can come any more."""
        for descriptor, _ in self._poll.poll(timeout * 1000):
            if (ready := self._ready.get(descriptor)) is not None:
                ready()
        if self._words.ended:
            raise self._error()

    def finish(self) -> Report:
        """All results are there: let the run come to its end, and return what it came to. Raises `RunFailed`."""
        results = self._places[RESULTS]
        while not results.session.ended:
            self.wait()
        results.finish(self._lifelines[RESULTS])
        while not self._words.ended:
            for descriptor, _ in self._poll.poll():
                if (ready := self._ready.get(descriptor)) is not None:
                    ready()
        self._host.wait()
        outcome = self._words.outcome
        self._close()
        if isinstance(outcome, Report) and outcome.exit_code == 0:
            return outcome
        raise self._error()

    def stop(self) -> None:
        """End it at once, whatever its workers do, and wait until nothing is left of it."""
        if os.getpid() != self._owner:
            return  # a copy, in a process that the program has forked
        if self._host.code is None:
            self._host.signal(signal.SIGINT)
            self._host.signal(signal.SIGTERM)
            for lifeline in self._lifelines.values():
                with suppress(OSError):
                    lifeline.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                self._host.channel.shutdown(socket.SHUT_RDWR)
            if not self._host.wait(_STOP_PATIENCE):
                self._host.signal(signal.SIGKILL)
                self._host.wait()
        self._close()

    def _borrow(self) -> None:
        for name in (RESULTS, ITEMS):
            place = borrow_place(self._lifelines[name], self.wait)
            if place is None:
                while not self._words.ended:
                    self._words.take_in()
                raise self._error()
            self._places[name] = place
            stream = place.session.stream.fileno()
            own_descriptors.update(place.descriptors())
            self._register(stream, self._take_in_items if name == ITEMS else self._take_in_results)

    def _watch_all(self) -> None:
        channel = self._host.channel.fileno()
        self._register(channel, lambda: self._take_words(channel))
        for descriptor in self._relay.descriptors():
            self._register(descriptor, lambda d=descriptor: self._pass_on(d))  # type: ignore[misc]

    def _register(self, descriptor: int, ready: Callable[[], object]) -> None:
        self._poll.register(descriptor, select.POLLIN)
        self._ready[descriptor] = ready

    def _unregister(self, descriptor: int) -> None:
        if self._ready.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def _take_in_items(self) -> None:
        place = self._places[ITEMS]
        if not place.take_in():
            self._unregister(place.session.stream.fileno())

    def _take_in_results(self) -> None:
        place = self._places[RESULTS]
        if not place.take_in():
            self._unregister(place.session.stream.fileno())
        self.arrived.extend(place.items())

    def _take_words(self, channel: int) -> None:
        self._words.take_in()
        if self._words.ended:
            self._unregister(channel)

    def _pass_on(self, descriptor: int) -> None:
        if not self._relay.pass_on(descriptor):
            self._unregister(descriptor)

    def _observe(self, event: Event) -> None:
        if isinstance(event, ItemFailed | ItemDeadLettered):
            self.arrived.append(event)

    def _error(self) -> BaseException:
        outcome = self._words.outcome
        if isinstance(outcome, BaseException):
            return outcome
        if outcome is not None:
            return RunFailed(outcome.reason or f"the run ended as {outcome.outcome}")
        self._host.wait()
        return died(self._host.code)

    def _close(self) -> None:
        for place in self._places.values():
            own_descriptors.difference_update(place.descriptors())
            place.close()
        self._places.clear()
        for lifeline in self._lifelines.values():
            own_descriptors.discard(lifeline.fileno())
            lifeline.close()
        self._lifelines.clear()
        self._relay.close()
        self._host.close()


def _serve(plan: Plan, lifelines: Mapping[str, socket.socket], channel: socket.socket, program: int) -> None:
    """The host's work."""
    lines = LineSender(channel)
    home = Path(tempfile.gettempdir(), f"mprun-{os.getpid()}-{os.urandom(4).hex()}")

    observer = ChannelObserver(lines, lambda event: isinstance(event, ItemFailed | ItemDeadLettered))
    hosting = Hosting(lifelines, home, ProgramPidfd(program))
    outcome: Outcome
    try:
        outcome = run(plan, [observer], hosting=hosting)
    except BaseException as error:
        outcome = error
    if home.exists():
        shutil.rmtree(home, ignore_errors=True)
    send_outcome(lines, outcome)
