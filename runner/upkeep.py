"""What a run keeps up beside its workers, as the supervisor's loop sees it: listening sockets, and the keeper.

begin ──► told of in events      trouble ──► the run fails      stop_accepting ──► refused      end ──► gone
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from runner.announcer import Announcer
from runner.facts import Exited
from runner.listeners import Listeners


@runtime_checkable
class Keeper(Protocol):
    """The process of the shared objects, as far as its upkeep goes."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def exited_nowait(self) -> Exited | None:
        """Return how it has ended; None while it lives."""

    def exited_if_deaf(self) -> Exited | None:
        """Return how it has ended, waiting for that if nobody listens there any more; None while somebody does."""

    def is_stopped(self) -> bool:
        """Whether a signal has stopped it, so that whoever asks it for something waits for ever."""

    def end(self) -> Exited:
        """End it, and return how it has ended."""


@dataclass(slots=True)
class Upkeep:
    """Opened before the supervisor exists, by `run`; told by it when to begin, to stop and to end."""

    listeners: Listeners | None = None
    keeper: Keeper | None = None
    _mourned: bool = field(default=False, init=False)

    def begin(self, announce: Announcer) -> None:
        """Tell what there is. Called once, after `run.started` and before any worker."""
        for where in self.listeners.listening() if self.listeners is not None else ():
            announce.listening(where)
        if self.keeper is not None:
            announce.keeper_spawned(self.keeper.pid)

    def trouble(self, announce: Announcer, *, suspected: bool = False) -> str | None:
        """
        Say what is broken so that the run can't go on, once; None while all is well.

        A process that dies closes its sockets a moment before it is dead, so whoever talked to it may die first: where
        that is `suspected`, look for what comes before.
        """
        if self.keeper is None or self._mourned:
            return None
        ended = self.keeper.exited_if_deaf() if suspected else self.keeper.exited_nowait()
        if ended is not None:
            reason = f"{_named(ended.pid)} {_how(ended)}; what they held is gone"
            self._mourn(announce, ended, reason)
            return reason
        if self.keeper.is_stopped():
            reason = f"{_named(self.keeper.pid)} was stopped by a signal, and whoever uses them waits for it"
            self._mourn(announce, self.keeper.end(), reason)
            return reason
        return None

    def stop_accepting(self) -> None:
        """Nobody new is to be served: let go of the sockets, which the workers close in their own time."""
        if self.listeners is not None:
            self.listeners.close()

    def end(self, announce: Announcer) -> None:
        """No worker is left: end what was kept up for them."""
        if self.keeper is not None and not self._mourned:
            self._mourn(announce, self.keeper.end(), "nobody needs it any more")

    def _mourn(self, announce: Announcer, ended: Exited, reason: str) -> None:
        self._mourned = True
        announce.keeper_exited(ended, reason)


def _named(pid: int) -> str:
    return f"the process of the shared objects (pid {pid})"


def _how(ended: Exited) -> str:
    signalled = ended.signal_name
    return f"exited with code {ended.code}" if signalled is None else f"was killed by {signalled}"


NO_UPKEEP = Upkeep()
