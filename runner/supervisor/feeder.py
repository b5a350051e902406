"""What the supervisor asks of whoever feeds a queue from inside it: the jobs' own part of its loop.

    Supervisor ── what workers report, deaths, signals, the clock ──► Feeder
               ◄── what is put into the queue, and that nothing more will be ──

The supervisor keeps the workers alive and the ledger straight; what the items are, in which order they come and what
follows from how they end is the feeder's.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from runner.errors import UsageError
from runner.ipc.messages import Reported
from runner.supervisor.outcome import Cause


class Feeder:
    """Called in the supervisor's loop: nothing here may wait. This one is of a run whose stages make all its items."""

    ends_its_items = False
    """Whether it brings its items to an end itself where the run is to stop; else the queues are drained."""

    @property
    def due(self) -> float:
        """When `feed` must be called although nothing has happened, by `time.monotonic`; infinity if never."""
        return math.inf

    def feed(self) -> bool:
        """Put what there is to put by now. True once nothing more will come."""
        return True

    def reported(self, report: Reported) -> None:
        """A worker tells how its item is getting on."""

    def worker_lost(self, worker: str, how: str, alive: Collection[int]) -> None:
        """A worker is gone, and how; `alive` are the processes of the others."""

    def status(self) -> list[dict[str, Any]]:
        """Return how far each job is, as JSON can hold it."""
        return []

    def cancel(self, name: str, reason: str) -> list[str]:  # noqa: ARG002 - for those that have jobs
        """Cancel a job, or one leg of it, and return the ids of the legs.

        Raises:
            UsageError: there is none of that name, or it is over.
        """
        raise UsageError("this run has stages and no jobs; one of its workers is stopped by --worker")

    def stop(self, cause: Cause) -> bool:  # noqa: ARG002 - for those that end their items
        """The run is to end: begin to bring it to an end. False if that was asked before, and it is to end at once."""
        return False

    def break_off(self, reason: str) -> None:
        """The run can't go on: every worker is being ended."""

    def wrap_up(self) -> None:
        """No worker is left: tell what became of whatever has not come to its end."""

    def cause(self) -> Cause | None:
        """Once no worker is left: why the run is not simply done, or None."""
        return None


NO_FEEDER = Feeder()
