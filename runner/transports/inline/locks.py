"""The locks of a run under `inline`: who holds which, and who waits, by giving the turn back.

acquire ──held by another──► pause: the others' turn ──► free, or nobody can move: a deadlock with names
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol

from runner.ipc.status_page import StatusPage, Word
from runner.process.resources.base import InjectedResources, ReadyResource


class TurnTaker(Protocol):
    """A worker that gives its turn back while it waits."""

    name: str

    @property
    def status(self) -> StatusPage:
        """Where its waits are counted."""

    def pause(self, movable: Callable[[], bool], waits_for: str, until: float = math.inf) -> None:
        """Give the turn back until `movable`, or the time `until`."""


class InlineLocks:
    """Who holds which lock."""

    def __init__(self, names: Iterable[str]) -> None:
        self.holders: dict[str, TurnTaker | None] = dict.fromkeys(names)

    def resources_for(self, fiber: TurnTaker) -> InjectedResources:
        """Return every lock, for one fiber."""
        return {name: ReadyResource(InlineLock(name, self.holders, fiber)) for name in self.holders}

    def release_all_of(self, fiber: TurnTaker) -> None:
        """A fiber has ended: what it holds is free, as the kernel sees to where workers are processes."""
        for name, holder in self.holders.items():
            if holder is fiber:
                self.holders[name] = None


class InlineLock:
    """One lock, in one fiber."""

    def __init__(self, name: str, holders: dict[str, TurnTaker | None], fiber: TurnTaker) -> None:
        self._name = name
        self._holders = holders
        self._fiber = fiber

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Wait for the lock and hold it; False if it is not free, or not within `timeout` seconds.

        Raises:
            RuntimeError: this worker holds it already, and would wait for itself for ever.
        """
        # One that does not wait gives the others a turn all the same: it may be asking again and again.
        until = 0.0 if not block else math.inf if timeout is None else time.monotonic() + timeout
        if self._holders[self._name] is self._fiber and until == math.inf:
            raise RuntimeError(
                f"lock '{self._name}': this worker holds it already, and would wait for itself"
            )
        if self.locked():
            self._wait(until)
        if self.locked():
            return False
        self._holders[self._name] = self._fiber
        return True

    def release(self) -> None:
        """Let go of it. Raises ValueError where this worker does not hold it."""
        if self._holders[self._name] is not self._fiber:
            raise ValueError(f"lock '{self._name}': this worker does not hold it, so it can't release it")
        self._holders[self._name] = None

    def locked(self) -> bool:
        """Say whether anybody holds it."""
        return self._holders[self._name] is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._holders[self._name] is self._fiber:  # else it counts as dead, and holds nothing any more
            self.release()

    def _wait(self, until: float) -> None:
        holder = self._holders[self._name]
        assert holder is not None
        began = time.perf_counter_ns()
        waits_for = f"waits for the lock '{self._name}', which '{holder.name}' holds"
        self._fiber.pause(lambda: not self.locked(), waits_for, until)
        self._fiber.status.add(Word.BLOCKED, time.perf_counter_ns() - began)
