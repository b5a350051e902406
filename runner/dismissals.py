"""Daemonic workers that nothing needs any more: ended so that no item is lost on the way.

A consumer or a plain process gets a signal at once. A producer is asked to stop at its next put, since a signal there
loses items, and gets its signal after that.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from runner.roster import Record
from runner.spec import Role
from runner.transports.base import Transport

NOT_NEEDED = "daemonic, and nothing needs it any more"
_MOMENT = 0.2
"""Seconds that a daemonic producer has to come to its next put."""


@dataclass(slots=True)
class Dismissals:
    """Those who were told, and when they get a signal."""

    transport: Transport
    ask_to_end: Callable[[Record, signal.Signals, str], None]
    _due: dict[str, tuple[float, Record]] = field(default_factory=dict)

    @property
    def dues(self) -> list[float]:
        """When `look` has something to do."""
        return [due for due, _ in self._due.values()]

    def dismiss(self, record: Record, now: float) -> None:
        """End a daemonic worker, or ask it to end. One whose handler failed ends by itself."""
        if record.failure is not None:
            return
        if record.plan.role is Role.PRODUCER:
            self.transport.stop_producing(record.plan.name)
            self._due[record.plan.name] = (now + _MOMENT, record)
        else:
            self.ask_to_end(record, signal.SIGTERM, NOT_NEEDED)

    def look(self, now: float) -> None:
        """Signal the producers that are not at a put, once nothing of theirs is on its way."""
        for name, record in [(name, record) for name, (due, record) in self._due.items() if now >= due]:
            assert record.plan.sends is not None
            if record.alive and self.transport.account(record.plan.sends).waiting:
                self._due[name] = (now + _MOMENT, record)
                continue
            del self._due[name]
            if record.alive and record.asked_to_end is None:
                self.ask_to_end(record, signal.SIGTERM, NOT_NEEDED)
