"""A run under way, as its desk sees it: what can be told of it, and what can be changed while it goes on.

desk ──► snapshot          from the roster and the stock
         stop, end_worker  the supervisor's own ways of stopping
         resize            births, or workers that finish what they hold and end
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from runner.births import Births
from runner.errors import StartFailed, UsageError
from runner.plan import Plan, StagePlan, WorkerPlan
from runner.roster import Record, Roster
from runner.spec import Role
from runner.stock import Stock
from runner.stopping import Phase
from runner.transports.base import Transport


@dataclass(frozen=True, slots=True)
class Levers:
    """What the supervisor lets others move."""

    phase: Callable[[], Phase]
    elapsed: Callable[[], float]
    interrupt: Callable[[], None]
    ask_to_end: Callable[[Record], None]


class RunUnderway:
    """One run, from its first worker to its last."""

    def __init__(
        self,
        run: str,
        plan: Plan,
        transport: Transport,
        roster: Roster,
        stock: Stock,
        births: Births,
        levers: Levers,
    ) -> None:
        self._run = run
        self._plan = plan
        self._transport = transport
        self._roster = roster
        self._stock = stock
        self._births = births
        self._levers = levers

    def snapshot(self) -> dict[str, Any]:
        """Tell workers, queues and phase, as JSON can hold it."""
        return {
            "run": self._run,
            "workflow": self._plan.name,
            "file": str(self._plan.path),
            "transport": self._plan.transport,
            "pid": os.getpid(),
            "phase": self._levers.phase().name.lower(),
            "elapsed": self._levers.elapsed(),
            "stages": self._stock.stage_lines(),
            "workers": [self._line(record) for record in self._roster.all()],
            "queues": [account.as_fields() for account in self._stock.accounts()],
        }

    def stop_from_outside(self) -> None:
        """Begin to stop, as at the first Ctrl-C; asked again, kill."""
        self._levers.interrupt()

    def end_worker(self, worker: str) -> None:
        """Send SIGTERM to one worker that is alive; nobody takes its place."""
        self._levers.ask_to_end(self._roster[worker])

    def resize(self, stage: str, count: int) -> None:
        """Bring a stage to `count` workers.

        Raises:
            UsageError: the transport can't, the stage does not run, or the system has no more to give.
        """
        plan = next(each for each in self._plan.stages if each.name == stage)
        self._refuse_unfit(plan)
        staying = [record for record in self._roster.alive(stage) if not record.retired]
        if not staying:
            raise UsageError(f"stage '{stage}' has no worker: it has not begun, or has ended")
        for record in staying[count:]:
            record.retired = True
            self._transport.retire(record.plan.name)
        for _ in range(count - len(staying)):
            self._add(self._another(plan.workers[0]))

    def _refuse_unfit(self, stage: StagePlan) -> None:
        if not self._transport.outlives_workers:
            raise UsageError(
                f"only a run under `transport: leased` can be scaled; this is '{self._plan.transport}'"
            )
        if self._levers.phase() is not Phase.RUNNING:
            raise UsageError("the run is being stopped")
        if self._plan.jobs:
            raise UsageError("how many jobs run at once is said when the run is started: mprun run --jobs N")
        if stage.shard_by is not None:
            raise UsageError(
                f"stage '{stage.name}' is sharded: with another count its keys would change workers"
            )
        if stage.role is Role.PRODUCER:
            why = "more workers would make more of them, not share the work"
            raise UsageError(f"stage '{stage.name}' makes items: {why}")

    def _add(self, worker: WorkerPlan) -> None:
        try:
            self._births.give_birth(self._roster.admit(worker))
        except StartFailed as error:
            raise UsageError(str(error)) from error

    def _another(self, like: WorkerPlan) -> WorkerPlan:
        taken = {record.plan.name for record in self._roster.all()}
        number = next(n for n in range(1, len(taken) + 2) if f"{like.stage}-{n}" not in taken)
        return replace(like, name=f"{like.stage}-{number}")

    def _line(self, record: Record) -> dict[str, Any]:
        state = "alive" if record.alive else ("ended" if record.generation else "to come")
        if record.alive and record.asked_to_end is not None:
            state = "terminating"
        done = self._stock.counters(record) if record.generation else None
        return {
            "worker": record.plan.name,
            "stage": record.plan.stage,
            "pid": record.pid or None,
            "generation": record.generation,
            "state": state,
            "received": done.received if done else 0,
            "sent": done.sent if done else 0,
            "failed": done.failed if done else 0,
            "ending": "" if record.alive else record.last_ending,
        }
