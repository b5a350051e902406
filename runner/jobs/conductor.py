"""The jobs' part of the supervisor: asks the DAG what follows, gives orders to workers, tells what happens as events.

    workers ── begun, step.finished, ended ──► Conductor ──► Dag (pure) ──► Start, Retry, CallOff, Over
    queue `ready` ◄══════════ Order ══════════════┘  └──► events

It lives in the supervisor's process and is called in its loop. What workers say is gossip: it must be about an order
that is under way, or it is not heard.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from runner import verdict
from runner.events import Bus
from runner.facts import Reported
from runner.jobs.dag import Dag
from runner.jobs.decisions import CallOff, Decision, Over, Retry, Start
from runner.jobs.hand import BEGUN, ENDED, RETURNED
from runner.jobs.layout import QUEUE
from runner.jobs.masking import Masker
from runner.jobs.order_desk import OrderDesk
from runner.jobs.trying import Ended
from runner.plan import Plan
from runner.spec_jobs import LegSpec, Result
from runner.verdict import Cause

_PASSED_ON = frozenset({"step.started", "step.finished", "service.ready", "service.exited", "job.silent"})
"""Events that workers tell in full, but for the name of the job."""
_MOST_NAMED = 3


class Pool(Protocol):
    """What the conductor needs of the transport."""

    def feed(self, queue: str, item: object) -> None:
        """Put an item into a queue that is fed from inside."""

    def revoke(self, worker: str, number: int) -> None:
        """Tell a worker that an order is not wanted any more."""


@dataclass(slots=True)
class _UnderWay:
    """An order that was given out and has not come to an end."""

    leg: LegSpec
    attempt: int
    reason: str
    worker: str | None = None
    """Who has begun it."""
    since: float = 0.0
    """When, by `time.monotonic`."""
    called_off: bool = False


class Conductor:
    """The feeder of a run with jobs."""

    def __init__(
        self,
        plan: Plan,
        pool: Pool,
        bus: Bus,
        desk: OrderDesk,
        masker: Masker,
        sweep: Callable[[Collection[int]], None],
    ) -> None:
        """`sweep` ends every process of the run that is not among those it is given, and their descendants."""
        self._plan = plan
        self._pool = pool
        self._publish = bus.publish
        self._desk = desk
        self._masked = masker.text
        self._sweep = sweep
        self._dag = Dag(plan.jobs, len(plan.workers), plan.params, {**os.environ, **plan.env})
        self._orders: dict[int, _UnderWay] = {}
        self._number = 0
        self._begun = False
        self._stopping: Cause | None = None
        self._broken_off: str | None = None
        self._deaths: dict[str, str] = {}
        self._failed: list[str] = []
        """Legs whose failure fails the run."""

    @property
    def due(self) -> float:
        """When `feed` must be called although nothing has happened."""
        return self._dag.due if self._begun else 0.0

    def feed(self) -> bool:
        """Do all that is due. True once no leg is left to run."""
        now = time.monotonic()
        if not self._begun:
            self._begun = True
            self._dag.begin(now)
        if self._dag.due <= now:
            self._dag.tick(now)
        for decision in self._dag.decide():
            self._carry_out(decision)
        return self._dag.over

    def heard(self, report: Reported) -> None:
        """A worker tells how an order is getting on."""
        fields = dict(report.fields)
        number = fields.pop("order", None)
        order = self._orders.get(number) if isinstance(number, int) else None
        if order is None:
            return
        match report.what:
            case what if what == BEGUN:
                self._has_begun(number, order, report.worker, fields)
            case what if what == ENDED:
                self._has_ended(number, order, _ended_of(fields))
            case what if what == RETURNED:
                self._has_ended(number, order, self._lost(order))
            case what if what in _PASSED_ON:
                self._publish(what, job=order.leg.id, **self._with_masked_reason(fields))

    def lost(self, worker: str, how: str, alive: Collection[int]) -> None:
        """A worker is gone: so must be what it had started. Its order comes back by way of the queue."""
        self._deaths[worker] = "was " + how if how.startswith("killed") else how
        self._sweep(alive)

    def stop(self, cause: Cause) -> bool:
        """Call off what runs and what waits; clean-up still has its turn. False if this was asked before."""
        if self._stopping is not None or self._broken_off is not None:
            return False
        self._stopping = cause
        self._dag.stop(cause.reason, time.monotonic())
        return True

    def break_off(self, reason: str) -> None:
        """Workers are being ended: nothing more is given out, and what is under way will not be heard of again."""
        self._broken_off = self._broken_off or reason

    def wrap_up(self) -> None:
        """No worker is left: what has not come to its end was cut off."""
        if not self._dag.over:
            self._dag.break_off(self._broken_off or "the run ended before its turn")
            for decision in self._dag.decide():
                self._carry_out(decision)

    def verdict(self) -> Cause | None:
        """Say what the jobs came to."""
        if not self._failed:
            return None
        count = len(self._failed)
        if count == 1:
            return verdict.failed(f"job '{self._failed[0]}' failed")
        more = f" and {count - _MOST_NAMED} more" if count > _MOST_NAMED else ""
        return verdict.failed(f"{count} jobs failed: {', '.join(self._failed[:_MOST_NAMED])}{more}")

    # Decisions.

    def _carry_out(self, decision: Decision) -> None:
        match decision:
            case Start():
                self._give_out(decision)
            case Retry(leg, attempt, delay, reason):
                self._publish(
                    "job.retried", job=leg.id, attempt=attempt, reason=self._masked(reason), delay=delay
                )
            case CallOff(leg, reason, running):
                self._publish("job.cancelled", job=leg.id, reason=reason)
                if running:
                    self._call_off(leg)
            case Over():
                self._tell_end(decision)

    def _give_out(self, start: Start) -> None:
        self._number += 1
        self._orders[self._number] = _UnderWay(start.leg, start.attempt, start.reason)
        self._pool.feed(QUEUE, self._desk.order(self._number, start, self._dag.outputs_for(start.leg)))

    def _call_off(self, leg: LegSpec) -> None:
        for number, order in self._orders.items():
            if order.leg.id == leg.id:
                order.called_off = True
                if order.worker is not None:
                    self._pool.revoke(order.worker, number)

    def _tell_end(self, over: Over) -> None:
        if over.result.is_failure:
            self._failed.append(over.leg.id)
        reason = self._masked(over.reason)
        if over.result is Result.SKIPPED:
            self._publish("job.skipped", job=over.leg.id, reason=reason, needs=self._dag.needs_of(over.leg))
        elif over.attempt:
            ended = over.ended or self._cut_off(over, reason)
            self._publish(
                "job.finished",
                job=over.leg.id,
                result=str(over.result),
                exitcode=ended.exitcode,
                signal=ended.signal,
                duration=ended.duration,
                attempt=over.attempt,
                reason=reason,
                log=self._desk.log_of(over.leg, over.attempt),
                command=[
                    "mprun",
                    "run",
                    str(self._plan.path),
                    *self._plan.given.arguments,
                    "--job",
                    over.leg.id,
                ],
            )

    # What workers say.

    def _has_begun(self, number: int, order: _UnderWay, worker: str, fields: Mapping[str, Any]) -> None:
        order.worker, order.since = worker, time.monotonic()
        why = str(fields.get("reason") or "")
        self._publish(
            "job.started",
            job=order.leg.id,
            attempt=order.attempt,
            reason=self._masked(f"{order.reason}; {why}" if why else order.reason),
            log=str(fields.get("log", "")),
            worker=worker,
            needs=self._dag.needs_of(order.leg),
        )
        if order.called_off:
            self._pool.revoke(worker, number)

    def _has_ended(self, number: int, order: _UnderWay, ended: Ended) -> None:
        del self._orders[number]
        self._dag.ended(order.leg.id, order.attempt, ended, time.monotonic())

    def _cut_off(self, over: Over, reason: str) -> Ended:
        """An attempt under way when every worker was ended."""
        order = next((order for order in self._orders.values() if order.leg.id == over.leg.id), None)
        took = time.monotonic() - order.since if order is not None and order.since else 0.0
        return Ended(over.result, reason, None, "SIGKILL", round(took, 6))

    def _lost(self, order: _UnderWay) -> Ended:
        """An attempt ended with its worker; one that had not been told to have begun took no time."""
        took = time.monotonic() - order.since if order.worker is not None else 0.0
        died = self._deaths.get(order.worker or "", "died")
        return Ended(Result.FAILED, f"its worker {died}", duration=round(took, 6))

    def _with_masked_reason(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "reason": self._masked(str(fields["reason"]))} if "reason" in fields else fields


def _ended_of(fields: Mapping[str, Any]) -> Ended:
    """A worker's word, made to fit: gossip must not break the loop."""
    known = {str(result): result for result in Result}
    outputs = fields.get("outputs")
    return Ended(
        result=known.get(str(fields.get("result")), Result.FAILED),
        reason=str(fields.get("reason", "")),
        exitcode=fields.get("exitcode"),
        signal=fields.get("signal"),
        duration=float(fields.get("duration") or 0.0),
        outputs=outputs if isinstance(outputs, dict) else {},
        for_good=bool(fields.get("for_good")),
    )
