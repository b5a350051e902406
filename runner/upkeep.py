"""What a run keeps up beside its workers, as the supervisor's loop sees it: listening sockets, for now and to the end.

begin ──► told of in events      trouble ──► the run fails      stop_accepting ──► refused      end ──► gone
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.announcer import Announcer
from runner.listeners import Listeners


@dataclass(slots=True)
class Upkeep:
    """Opened before the supervisor exists, by `run`; told by it when to begin, to stop and to end."""

    listeners: Listeners | None = None

    def begin(self, announce: Announcer) -> None:
        """Tell what there is. Called once, after `run.started` and before any worker."""
        for where in self.listeners.listening() if self.listeners is not None else ():
            announce.listening(where)

    def trouble(self) -> str | None:
        """Say what is broken so that the run can't go on, once; None while all is well."""
        return None

    def stop_accepting(self) -> None:
        """Nobody new is to be served: let go of the sockets, which the workers close in their own time."""
        if self.listeners is not None:
            self.listeners.close()

    def end(self) -> None:
        """No worker is left: end what was kept up for them."""


NO_UPKEEP = Upkeep()
