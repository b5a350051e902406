"""What a run has done so far: the accounts of its queues and the counters of its stages, for events and the verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runner.ledger import Account
from runner.plan import Plan
from runner.roster import Record, Roster
from runner.status import Counters
from runner.transports.base import Transport


class Stock:
    """Takes stock. Reads the roster and the transport, and changes neither."""

    def __init__(self, plan: Plan, transport: Transport, roster: Roster) -> None:
        self._plan = plan
        self._transport = transport
        self._roster = roster
        self._joined: set[str] = set()

    def note_joined(self, queue: str) -> None:
        """A queue is joined, and stays so."""
        self._joined.add(queue)

    def accounts(self) -> list[Account]:
        """Return the account of each queue."""
        accounts = [self._transport.account(queue.name) for queue in self._plan.queues]
        return [replace(account, joined=account.queue in self._joined) for account in accounts]

    def counters(self, record: Record) -> Counters:
        """Return what a worker has done in all its generations."""
        return Counters.total((record.earlier, self._transport.counters(record.plan.name)))

    def stage_lines(self) -> list[dict[str, Any]]:
        """Return one line a stage, as events show it."""
        return [self._stage_line(stage.name) for stage in self._plan.stages]

    def _stage_line(self, stage: str) -> dict[str, Any]:
        records = [record for record in self._roster.all() if record.plan.stage == stage]
        sums = Counters.total(self.counters(record) for record in records if record.generation)
        alive = sum(record.alive for record in records)
        # Those to come count, and those that were added; who was told to go does not.
        workers = sum(not record.retired for record in records)
        return {"name": stage, "workers": workers, "alive": alive, **sums.as_fields()}
