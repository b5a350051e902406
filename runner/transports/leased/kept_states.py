"""The states of handlers, as their workers have sent them last: kept by the supervisor for whoever takes their place.

CommitMessage ──► keep ──► of(worker) ──► the next generation
                   └─ every few seconds, and at the worker's end ──► StateKept
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.ipc.messages import Fact, StateKept

_QUIET = 5.0
"""Seconds between two words about the state of one worker."""


@dataclass(slots=True)
class _Kept:
    state: bytes
    untold: int = 0
    """How often it was kept since that was told."""
    told_at: float | None = None


class KeptStates:
    """The last state of each worker. Nobody unpickles one here."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._finished: set[str] = set()

    def of(self, worker: str) -> bytes:
        """Return the state that a worker of this name begins with; empty for that of a new one."""
        return self._kept[worker].state if worker in self._kept else b""

    def keep(self, worker: str, state: bytes, now: float, facts: list[Fact]) -> None:
        """A worker has sent its state. That is a fact, but not each time."""
        kept = self._kept.setdefault(worker, _Kept(state))
        kept.state = state
        kept.untold += 1
        if kept.told_at is None or now >= kept.told_at + _QUIET:
            kept.told_at = now
            _tell(worker, kept, facts)

    def finished(self, worker: str) -> None:
        """A worker has closed: what came of its state is the handler's."""
        self._finished.add(worker)

    def exited(self, worker: str, code: int, facts: list[Fact], *, lasts: bool) -> None:
        """
        A worker is gone. Where it had finished, and ended well, another of its name begins anew.

        `lasts`: it is a place in a file or the like, and whoever comes later goes on there.
        """
        kept = self._kept.get(worker)
        if kept is not None and kept.untold:
            _tell(worker, kept, facts)
        if worker in self._finished and code == 0 and not lasts:
            self._kept.pop(worker, None)
        self._finished.discard(worker)


def _tell(worker: str, kept: _Kept, facts: list[Fact]) -> None:
    facts.append(StateKept(worker, kept.untold, len(kept.state)))
    kept.untold = 0
