"""The declared locks under `inline`: nobody runs beside their holder, but one that waits at a queue may hold one.

acquire ──held by another──► pause: the others' turn ──► free, or nobody can move: a deadlock with names
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from types import TracebackType

from runner.provisions import Gifts, Unwrapped
from runner.status import Word
from runner.transports.inline_queue import Strand


class InlineLocks:
    """Who holds which lock."""

    def __init__(self, names: Iterable[str]) -> None:
        self.holders: dict[str, Strand | None] = dict.fromkeys(names)

    def gifts(self, strand: Strand) -> Gifts:
        """Return every lock, for one strand."""
        return {name: Unwrapped(InlineLock(name, self.holders, strand)) for name in self.holders}

    def free_of(self, strand: Strand) -> None:
        """A strand has ended: what it holds is free, as the kernel sees to where workers are processes."""
        for name, holder in self.holders.items():
            if holder is strand:
                self.holders[name] = None


class InlineLock:
    """One lock, in one strand."""

    def __init__(self, name: str, holders: dict[str, Strand | None], strand: Strand) -> None:
        self._name = name
        self._holders = holders
        self._strand = strand

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Wait for the lock and hold it; False if it is not free, or not within `timeout` seconds.

        Raises:
            RuntimeError: this worker holds it already, and would wait for itself for ever.
        """
        # One that does not wait gives the others a turn all the same: it may be asking again and again.
        until = 0.0 if not block else math.inf if timeout is None else time.monotonic() + timeout
        if self._holders[self._name] is self._strand and until == math.inf:
            raise RuntimeError(
                f"lock '{self._name}': this worker holds it already, and would wait for itself"
            )
        if self.locked():
            self._wait(until)
        if self.locked():
            return False
        self._holders[self._name] = self._strand
        return True

    def release(self) -> None:
        """Let go of it. Raises ValueError where this worker does not hold it."""
        if self._holders[self._name] is not self._strand:
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
        if self._holders[self._name] is self._strand:  # else it counts as dead, and holds nothing any more
            self.release()

    def _wait(self, until: float) -> None:
        holder = self._holders[self._name]
        assert holder is not None
        began = time.perf_counter_ns()
        waits_for = f"waits for the lock '{self._name}', which '{holder.name}' holds"
        self._strand.pause(lambda: not self.locked(), waits_for, until)
        self._strand.status.add(Word.BLOCKED, time.perf_counter_ns() - began)
