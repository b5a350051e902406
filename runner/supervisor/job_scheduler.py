"""The jobs' part of the supervisor: asks the graph what follows, gives requests to workers, publishes what happens.

    workers ── begun, step.finished, ended ──► JobScheduler ──► JobGraph (pure) ──► start, retry, cancel, finish a leg
    queue `ready` ◄════════ JobRequest ═════════════┘   ├──► events
    JobsPast: what of a past run is kept ───────────────┘   └──► JobNote: what is to be known to keep it once more

It lives in the supervisor's process and is called in its loop. What workers report is gossip: it must be about a
request that is under way, or it is ignored.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from runner.errors import UsageError
from runner.events.bus import Bus
from runner.events.jobs import (
    CacheMissed,
    CacheRestored,
    CacheSaved,
    JobCancelled,
    JobEvent,
    JobFinished,
    JobKept,
    JobReady,
    JobRetried,
    JobSilent,
    JobSkipped,
    JobStarted,
    JobWaiting,
    ServiceExited,
    ServiceReady,
    StepFinished,
    StepStarted,
)
from runner.facts import dataclass
from runner.ipc.messages import Reported
from runner.jobs.graph import (
    CancelLeg,
    Decision,
    EnterGroup,
    FinishLeg,
    JobGraph,
    KeepLeg,
    LeaveGroup,
    ReleaseLeg,
    RetryLeg,
    StartLeg,
)
from runner.jobs.masking import Masker
from runner.jobs.outcomes import JobOutcome
from runner.jobs.plan import QUEUE, most_at_once
from runner.jobs.requests import JobMessage, RequestBuilder
from runner.jobs.resumption import NO_PAST, JobNote, JobsPast, PastLeg, digests_of
from runner.process.terminal import SavedTerminal, StdinState, look_at_stdin
from runner.spec.jobs.model import LegSpec
from runner.spec.model import JobResult
from runner.spec.plan import Plan
from runner.spec.suggestions import did_you_mean
from runner.supervisor.feeder import Feeder
from runner.supervisor.group_waits import GroupWaits
from runner.supervisor.outcome import Cause, failed
from runner.text import summarize

if TYPE_CHECKING:
    from runner.transports.leased.transport import LeasedTransport

_PASSED_ON: Mapping[str, type[JobEvent]] = {
    kind.kind: kind
    for kind in (
        StepStarted,
        StepFinished,
        ServiceReady,
        ServiceExited,
        JobSilent,
        CacheRestored,
        CacheSaved,
        CacheMissed,
    )
}
"""Events that workers report in full, but for the name of the job."""
_MASKED = {"reason", "key", "found"}
"""What of these may have a secret in it."""
_MOST_NAMED = 3


@dataclass(slots=True)
class _ActiveRequest:
    """A request that was given out and has not come to an end."""

    leg: LegSpec
    attempt: int
    reason: str
    worker: str | None = None
    """Who has begun it."""
    since: float = 0.0
    """When, by `time.monotonic`."""
    cancelled: bool = False
    has_terminal: bool = False
    """Whether it has the terminal of the run."""
    release: int = 0
    """The number that asks one in the background to end."""
    ready_after: float | None = None
    """Seconds from then until it was ready."""
    step: str = ""
    """Which it is at, of those that it has told."""

    @property
    def elapsed(self) -> float:
        """Seconds since a worker has begun it."""
        return round(time.monotonic() - self.since, 6) if self.worker is not None else 0.0


class JobScheduler(Feeder):
    """The feeder of a run with jobs."""

    ends_its_items = True

    def __init__(
        self,
        plan: Plan,
        transport: LeasedTransport,
        bus: Bus,
        builder: RequestBuilder,
        masker: Masker,
        end_orphans: Callable[[Collection[int]], None],
        past: JobsPast = NO_PAST,
        note: Callable[[JobNote], None] = lambda _: None,
        groups: GroupWaits | None = None,
    ) -> None:
        """
        `end_orphans` ends every process of the run that is not among those it is given, and their descendants.

        `note` gets what is to be known of a job to go on with this run, or with a part of it. `groups` are the
        concurrency groups of the machine; without them there is none in the plan.
        """
        self._plan = plan
        self._jobs = {job.name: job for job in plan.jobs}
        self._transport = transport
        self._bus = bus
        self._builder = builder
        self._masked = masker.text
        self._end_orphans = end_orphans
        env, secrets = {**os.environ, **plan.env}, builder.secrets
        self._graph = JobGraph(plan.jobs, most_at_once(plan), plan.params, env, secrets, plan.contexts)
        self._past, self._note, self._groups = past, note, groups
        self._take_over(past)
        self._requests: dict[int, _ActiveRequest] = {}
        self._number = 0
        self._begun = False
        self._stopping: Cause | None = None
        self._broken_off: str | None = None
        self._deaths: dict[str, str] = {}
        self._terminal = SavedTerminal()
        self._digests_known: dict[str, Mapping[str, str]] = {}
        self._failed: list[str] = []
        """Legs whose failure fails the run."""
        self._cancelled: set[str] = set()
        """Of these, the ones that somebody has cancelled while the run went on."""

    @property
    def due(self) -> float:
        """When `feed` must be called although nothing has happened."""
        if not self._begun:
            return 0.0
        return self._graph.due if self._groups is None else min(self._graph.due, self._groups.due)

    def feed(self) -> bool:
        """Do all that is due. True once no leg is left to run."""
        now = time.monotonic()
        if not self._begun:
            self._begun = True
            self._graph.begin()
        if self._graph.due <= now:
            self._graph.tick(now)
        for decision in self._graph.decide():
            self._carry_out(decision)
        if self._groups is not None and self._groups.due <= now:
            self._look_at_groups(self._groups, now)
        return self._graph.over

    def _look_at_groups(self, groups: GroupWaits, now: float) -> None:
        for news in groups.look(now):
            match news.what:
                case "waits":
                    self._bus.publish(
                        JobWaiting(job=news.key, group=news.group, reason=self._masked(news.reason))
                    )
                case "may go":
                    self._graph.let_in(news.key)
                case _:
                    self._count_as_failed(self._graph.cancel(news.key, news.reason))
        for decision in self._graph.decide():
            self._carry_out(decision)

    def reported(self, report: Reported) -> None:
        """A worker tells how a request is getting on."""
        fields = dict(report.fields)
        number = fields.pop("request", None)
        request = self._requests.get(number) if isinstance(number, int) else None
        if request is None:
            return
        match report.what:
            case JobMessage.BEGUN:
                self._request_begun(number, request, report.worker, fields)
            case JobMessage.READY:
                self._request_ready(request, fields)
            case JobMessage.ENDED:
                self._request_ended(number, request, JobOutcome.from_message(fields))
            case JobMessage.RETURNED:
                self._request_ended(number, request, self._lost(request))
            case what if what in _PASSED_ON:
                if what == StepStarted.kind:
                    request.step = self._masked(f"{fields.get('step')}: {fields.get('name')}")
                self._pass_on(_PASSED_ON[what], {**fields, "job": request.leg.id})

    def worker_lost(self, worker: str, how: str, alive: Collection[int]) -> None:
        """A worker is gone: so must be what it had started. Its request comes back by way of the queue."""
        self._deaths[worker] = "was " + how if how.startswith("killed") else how
        if any(request.has_terminal and request.worker == worker for request in self._requests.values()):
            self._terminal.restore()
        self._end_orphans(alive)

    def status(self) -> list[dict[str, Any]]:
        """Return how far each leg is: the seconds and the step are those of its attempt that is under way."""
        active = {request.leg.id: request for request in self._requests.values()}
        return [
            {
                **asdict(leg),
                "elapsed": active[leg.job].elapsed if leg.job in active else None,
                "step": active[leg.job].step if leg.job in active else "",
                "ready_after": active[leg.job].ready_after if leg.job in active else None,
                "group": "" if self._groups is None else self._masked(self._groups.waiting_for(leg.job)),
            }
            for leg in self._graph.status()
        ]

    def cancel(self, name: str, reason: str) -> list[str]:
        """Cancel a job, or one leg of it: who needs it is skipped, and the run has failed."""
        known = {known for leg in self._plan.jobs for known in (leg.name, *(each.id for each in leg.legs))}
        if name not in known:
            raise UsageError(f"the run has no job '{name}'; {did_you_mean(name, known)}")
        cancelled = self._graph.cancel(name, reason)
        if not cancelled:
            raise UsageError(f"job '{name}' is over already, or about to be")
        self._count_as_failed(cancelled)
        return cancelled

    def _count_as_failed(self, cancelled: Collection[str]) -> None:
        self._failed += [each for each in cancelled if each not in self._cancelled]
        self._cancelled |= set(cancelled)

    def stop(self, cause: Cause) -> bool:
        """Cancel what runs and what waits; clean-up still has its turn. False if this was asked before."""
        if self._stopping is not None or self._broken_off is not None:
            return False
        self._stopping = cause
        self._graph.stop(cause.reason)
        return True

    def break_off(self, reason: str) -> None:
        """Workers are being ended: nothing more is given out, and what is under way will not be heard of again."""
        self._broken_off = self._broken_off or reason

    def wrap_up(self) -> None:
        """No worker is left: what has not come to its end was cut off."""
        self._terminal.restore()
        if not self._graph.over:
            self._graph.abort(self._broken_off or "the run ended before its turn")
            for decision in self._graph.decide():
                self._carry_out(decision)
        if self._groups is not None:
            self._groups.leave_all()

    def cause(self) -> Cause | None:
        """Say what the jobs came to."""
        if not self._failed:
            return None
        count = len(self._failed)
        if count == 1:
            word = "was cancelled" if self._failed[0] in self._cancelled else "failed"
            return failed(f"job '{self._failed[0]}' {word}")
        word = "were cancelled" if self._cancelled >= set(self._failed) else "failed"
        return failed(f"{count} jobs {word}: {summarize(self._failed, _MOST_NAMED)}")

    def _take_over(self, past: JobsPast) -> None:
        for leg, kept in past.kept.items():
            self._graph.keep(leg, kept.outcome, kept.attempts)
        for leg, begun in past.begun.items():
            self._graph.go_on(leg, begun.attempts, begun.lost, begun.reason)

    # Decisions.

    def _carry_out(self, decision: Decision) -> None:
        match decision:
            case StartLeg():
                self._dispatch(decision)
            case RetryLeg(leg, attempt, delay, reason):
                reason = self._masked(reason)
                self._bus.publish(JobRetried(job=leg.id, attempt=attempt, reason=reason, delay=delay))
            case CancelLeg(leg, reason, running, is_replaced):
                if is_replaced:
                    self._count_as_failed([leg.id])
                self._bus.publish(JobCancelled(job=leg.id, reason=reason))
                if running:
                    self._cancel(leg)
            case ReleaseLeg(leg):
                self._release(leg)
            case FinishLeg(leg, outcome, attempt):
                self._publish_end(leg, outcome, attempt)
            case EnterGroup(leg) if self._groups is not None and leg.concurrency is not None:
                self._groups.enter(leg.id, leg.concurrency)
            case LeaveGroup(leg) if self._groups is not None:
                self._groups.leave(leg.id)
            case KeepLeg(leg, outcome):
                self._publish_kept(leg, outcome, self._past.kept[leg.id])

    def _dispatch(self, start: StartLeg) -> None:
        self._number += 1
        number, release = self._number, 0
        if start.leg.background:
            self._number = release = number + 1
        self._requests[number] = _ActiveRequest(start.leg, start.attempt, start.reason, release=release)
        before = self._past.begun.get(start.leg.id)
        is_first = before is not None and start.attempt == before.attempts + 1
        notice = (
            f"attempt {start.attempt} of this run: {start.reason}; files are as they were left"
            if is_first
            else ""
        )
        needs = self._graph.outputs_for(start.leg)
        stdin = look_at_stdin() if start.leg.interactive else StdinState.CLOSED
        if stdin is StdinState.TERMINAL:
            self._requests[number].has_terminal = True
            self._terminal.save()
        request = self._builder.build_request(number, start, needs, notice, release=release, stdin=stdin)
        self._transport.feed(QUEUE, request)

    def _release(self, leg: LegSpec) -> None:
        """Only one that said that it is ready, and so has a worker, is released."""
        for request in self._requests.values():
            if request.leg.id == leg.id and request.worker is not None and not request.cancelled:
                self._transport.revoke(request.worker, request.release)

    def _cancel(self, leg: LegSpec) -> None:
        for number, request in self._requests.items():
            if request.leg.id == leg.id:
                request.cancelled = True
                if request.worker is not None:
                    self._transport.revoke(request.worker, number)

    def _publish_end(self, leg: LegSpec, outcome: JobOutcome, attempt: int) -> None:
        if outcome.result.is_failure and leg.id not in self._failed:
            self._failed.append(leg.id)
        outcome = replace(outcome, reason=self._masked(outcome.reason))
        # Before the event: who knows that it ended well knows what it hands on.
        self._note(JobNote(leg.id, self._digests(leg), outputs=outcome.outputs))
        if outcome.result is JobResult.SKIPPED:
            needs = self._graph.needs_of(leg)
            self._bus.publish(JobSkipped(job=leg.id, reason=outcome.reason, needs=needs))
        elif attempt:
            self._bus.publish(self._finished(leg, self._with_lost_end(leg, outcome), attempt))

    def _publish_kept(self, leg: LegSpec, outcome: JobOutcome, past: PastLeg) -> None:
        self._builder.take_over_handover(leg, self._past.run)
        self._note(JobNote(leg.id, self._digests(leg), outputs=outcome.outputs))
        self._bus.publish(
            JobKept(
                job=leg.id,
                result=outcome.result,
                from_run=self._past.run,
                reason=self._masked(outcome.reason),
                attempt=past.attempts,
                duration=past.seconds,
                ended=past.ended,
                exitcode=outcome.exitcode,
                log=self._builder.take_over_log(leg, past.attempts, past.log),
                needs=self._graph.needs_of(leg),
            )
        )

    def _digests(self, leg: LegSpec) -> Mapping[str, str]:
        if leg.id not in self._digests_known:
            self._digests_known[leg.id] = digests_of(
                self._jobs[leg.job], leg, self._plan.params, self._plan.contexts
            )
        return self._digests_known[leg.id]

    def _finished(self, leg: LegSpec, outcome: JobOutcome, attempt: int) -> JobFinished:
        given = map(self._masked, self._plan.given.arguments)
        args = ["--", *map(self._masked, self._plan.given.args)] if self._plan.given.args else []
        return JobFinished(
            job=leg.id,
            result=outcome.result,
            exitcode=outcome.exitcode,
            signal=outcome.signal,
            duration=outcome.duration,
            attempt=attempt,
            reason=outcome.reason,
            log=self._builder.log_of(leg, attempt),
            command=["mprun", "run", str(self._plan.path), *given, "--job", leg.id, *args],
        )

    # What workers report.

    def _request_begun(
        self, number: int, request: _ActiveRequest, worker: str, fields: Mapping[str, Any]
    ) -> None:
        request.worker, request.since = worker, time.monotonic()
        before = self._past.begun.get(request.leg.id)
        self._note(JobNote(request.leg.id, self._digests(request.leg), lost=before.lost if before else 0))
        self._graph.attempt_begun(request.leg.id, request.since)
        why = str(fields.get("reason") or "")
        self._bus.publish(
            JobStarted(
                job=request.leg.id,
                attempt=request.attempt,
                reason=self._masked(f"{request.reason}; {why}" if why else request.reason),
                log=str(fields.get("log", "")),
                worker=worker,
                needs=self._graph.needs_of(request.leg),
                background=request.leg.background,
                interactive=request.has_terminal,
            )
        )
        if request.cancelled:
            self._transport.revoke(worker, number)

    def _request_ready(self, request: _ActiveRequest, fields: Mapping[str, Any]) -> None:
        outputs, duration = fields.get("outputs"), fields.get("duration")
        outputs = outputs if isinstance(outputs, dict) else {}
        if self._graph.leg_ready(request.leg.id, request.attempt, outputs):
            request.ready_after = duration if isinstance(duration, float) else request.elapsed
            self._note(JobNote(request.leg.id, self._digests(request.leg), outputs=outputs))
            self._bus.publish(JobReady(job=request.leg.id, duration=request.ready_after))

    def _request_ended(self, number: int, request: _ActiveRequest, outcome: JobOutcome) -> None:
        del self._requests[number]
        self._graph.attempt_ended(request.leg.id, request.attempt, outcome, time.monotonic())

    def _with_lost_end(self, leg: LegSpec, outcome: JobOutcome) -> JobOutcome:
        """Say how an attempt ended that was under way when every worker was ended."""
        request = next((each for each in self._requests.values() if each.leg.id == leg.id), None)
        return outcome if request is None else replace(outcome, signal="SIGKILL", duration=request.elapsed)

    def _lost(self, request: _ActiveRequest) -> JobOutcome:
        """An attempt ended with its worker; one that was not reported to have begun took no time."""
        died = self._deaths.get(request.worker or "", "died")
        return JobOutcome(JobResult.FAILED, f"its worker {died}", duration=request.elapsed)

    def _pass_on(self, kind: type[JobEvent], fields: dict[str, Any]) -> None:
        for name in _MASKED & fields.keys():
            fields[name] = self._masked(str(fields[name]))
        with suppress(TypeError, ValueError):
            # A worker's word that lacks something, or has what nobody knows.
            self._bus.publish(kind(**fields))
