"""Daemonic workers that nothing needs any more, let go in the steps that dismissals.py decides on."""

from __future__ import annotations

import signal
from collections.abc import Callable

from runner.dismissals import Dismissals
from runner.roster import Record, Roster
from runner.spec import Role
from runner.transports.base import Transport

_NOT_NEEDED = "daemonic, and nothing needs it any more"
_OUTSTAYED = "daemonic, and not gone limits.stop_timeout after it was asked"


class LettingGo:
    """Carries dismissals out. Used by the supervisor alone, in its loop."""

    def __init__(
        self,
        roster: Roster,
        transport: Transport,
        ask_to_end: Callable[[Record, signal.Signals, str], None],
        stop_timeout: float,
    ) -> None:
        """`stop_timeout` is in seconds."""
        self._roster = roster
        self._transport = transport
        self._ask_to_end = ask_to_end
        self._dismissals = Dismissals(stop_timeout)

    def dismiss(self, record: Record, now: float) -> None:
        """Let a worker go. One whose handler failed ends by itself."""
        produces = record.plan.role is Role.PRODUCER
        if produces:
            self._transport.stop_producing(record.plan.name)
        if record.failure is None:
            self._dismissals.begin(record.plan.name, now, has_a_moment=produces)
            self.look(now)

    def look(self, now: float) -> None:
        """Send what is due."""
        for name, number in self._dismissals.due(now, self._has_put_what_waits):
            if number is signal.SIGKILL:
                self._ask_to_end(self._roster[name], number, _OUTSTAYED)
            elif self._roster[name].asked_to_end is None:
                self._ask_to_end(self._roster[name], number, _NOT_NEEDED)

    def gone(self, worker: str) -> None:
        """It has ended."""
        self._dismissals.gone(worker)

    @property
    def soonest(self) -> float:
        """When something is due next; infinity if nothing is."""
        return self._dismissals.soonest

    def _has_put_what_waits(self, worker: str) -> bool:
        plan = self._roster[worker].plan
        if plan.role is not Role.PRODUCER or plan.sends is None:
            return False
        return self._transport.account(plan.sends).waiting > 0
