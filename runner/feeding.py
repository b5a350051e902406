"""What the supervisor asks of whoever feeds a queue from inside it: the jobs' own part of its loop.

    Supervisor ── what workers report, deaths, signals, the clock ──► Feeder
               ◄── what is put into the queue, and that nothing more will be ──

The supervisor keeps the workers alive and the ledger straight; what the items are, in which order they come and what
follows from how they end is the feeder's.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from runner.facts import Reported
from runner.verdict import Cause


class Feeder(Protocol):
    """Called in the supervisor's loop: nothing here may wait."""

    @property
    def due(self) -> float:
        """When `feed` must be called although nothing has happened, by `time.monotonic`; infinity if never."""

    def feed(self) -> bool:
        """Put what there is to put by now. True once nothing more will come."""

    def heard(self, report: Reported) -> None:
        """A worker tells how its item is getting on."""

    def lost(self, worker: str, how: str, alive: Collection[int]) -> None:
        """A worker is gone, and how; `alive` are the processes of the others."""

    def stop(self, cause: Cause) -> bool:
        """The run is to end: begin to bring it to an end. False if that was asked before, and it is to end at once."""

    def break_off(self, reason: str) -> None:
        """The run can't go on: every worker is being ended."""

    def wrap_up(self) -> None:
        """No worker is left: tell what became of whatever has not come to its end."""

    def verdict(self) -> Cause | None:
        """Once no worker is left: why the run is not simply done, or None."""
