"""A storm: one of the workers of a run is killed every few milliseconds, by a timer in the supervisor's own process.

It is killed by its pidfd: a number may be another's between a worker's death and the event that tells of it.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from runner.events.base import Event

_EVERY = 0.01
_WORK = 0.002
"""Seconds of the supervisor's own work that must lie between two kills: on a busy machine a storm that blows on
regardless would leave no worker the time to do anything."""


class Storm:
    """Kills a worker of the stages named at each tick. An observer of the run."""

    def __init__(
        self, seed: int | str, stages: Collection[str], *, merciful: bool = True, most: int = 1_000_000
    ) -> None:
        """
        `merciful`: nobody is killed before it has its handler, so that a busy machine gets on all the same.

        `most`: kills, and then the weather clears: where each birth takes long, as when it is measured, a storm
        would else outlast any patience.
        """
        self._random = random.Random(seed)
        self._stages = stages
        self._since = "worker.ready" if merciful else "worker.spawned"
        self._alive: dict[str, int] = {}
        self._worked = 0.0
        self._most = most
        self.kills = 0

    @contextmanager
    def blowing(self) -> Iterator[None]:
        """While inside, workers are killed."""
        before = signal.signal(signal.SIGALRM, lambda *_: self._strike())
        signal.setitimer(signal.ITIMER_REAL, _EVERY, _EVERY)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def observe(self, event: Event) -> None:
        """Keep count of who is there to be killed."""
        worker = getattr(event, "worker", "")
        if event.kind == self._since and event.stage in self._stages:
            with suppress(ProcessLookupError):  # it said so, and died
                self._alive[worker] = os.pidfd_open(event.pid)
        elif event.kind == "worker.exited" and worker in self._alive:
            os.close(self._alive.pop(worker))

    def close(self) -> None:
        """Nothing to flush."""

    def _strike(self) -> None:
        if self._alive and self.kills < self._most and time.process_time() >= self._worked + _WORK:
            self._worked = time.process_time()
            self.kills += 1
            with suppress(ProcessLookupError):  # dead already, and not told of yet
                victim = self._random.choice(sorted(self._alive))
                signal.pidfd_send_signal(self._alive[victim], signal.SIGKILL)
