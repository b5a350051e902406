"""The handler of the workers that run jobs: takes a request, runs one attempt, reports.

    queue `ready` ══ JobRequest ══► JobRunner ──► JobAttempt ──► begun, step.started, …, ended ══► supervisor

A request that comes again was given to a worker that died: that attempt is lost, and it is not for this worker to try
another. It is reported as returned.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from runner.handlers.kinds import WorkerContext
from runner.jobs.executor.attempt import JobAttempt, Reporter
from runner.jobs.executor.process_group import kill_orphans
from runner.jobs.executor.wait import WakeupPipe
from runner.jobs.masking import Masker
from runner.jobs.outcomes import JobOutcome
from runner.jobs.requests import JobMessage, JobRequest
from runner.jobs.up_to_date import Fingerprint, UpToDate, UpToDateCheck
from runner.jobs.workspace.handover import take_over
from runner.process.child import adopt_orphans
from runner.spec.model import JobResult

_FORCED = "--force: it is up to date"


class JobRunner:
    """Runs requests, one at a time."""

    def __init__(self, worker: WorkerContext) -> None:
        self._worker = worker
        self._wakeup = WakeupPipe()
        adopt_orphans(True)  # what steps leave behind becomes a child of this process, within its reach

    def __call__(self, request: JobRequest) -> None:
        """Run an attempt to its end."""
        report = partial(self._report, request.number)
        if self._worker.attempt > 1:
            report(JobMessage.RETURNED)
            return
        try:
            outcome = self._run(request, report)
        except Exception as error:
            # Whatever it is, it is this job's: the others have no part in it.
            kill_orphans()
            outcome = JobOutcome(JobResult.FAILED, _own_fault(error))
        report(JobMessage.ENDED, **outcome.as_message())

    def _run(self, request: JobRequest, report: Reporter) -> JobOutcome:
        revoked = self._worker.revoked
        attempt = JobAttempt(
            request,
            report,
            self._wakeup,
            lambda: revoked() == request.number,
            lambda: revoked() == request.release != 0,
        )
        failed = True
        try:
            outcome = _run_unless_up_to_date(attempt, report)
            failed = outcome.result.is_failure
        finally:
            kept = attempt.place.leave(failed=failed)
        return outcome if kept is None else replace(outcome, reason=f"{outcome.reason}; its tree is {kept}")

    def _report(self, number: int, what: str, /, **fields: Any) -> None:
        self._worker.report(what, {"request": number, **fields})


def _run_unless_up_to_date(attempt: JobAttempt, report: Reporter) -> JobOutcome:
    place = attempt.place
    decision, before = UpToDate(False, ""), Fingerprint()
    if place.request.up_to_date is not None and place.make() is None:
        decision, before = _is_up_to_date(place.request)
    if decision.holds and place.hand_on_again():
        return JobOutcome(JobResult.SKIPPED, decision.reason, outputs=decision.values)
    report(JobMessage.BEGUN, log=place.request.log, reason=decision.reason)
    outcome = attempt.run()
    request = place.request
    if request.up_to_date is not None and outcome.result is JobResult.PASSED:
        with suppress(OSError):  # then it is not up to date the next time
            _keep(request.up_to_date, before, outcome.outputs, request.secrets, request.workspace.hand_on)
    return outcome


def _is_up_to_date(request: JobRequest) -> tuple[UpToDate, Fingerprint]:
    """Decide whether the job need not run; one without inputs always runs."""
    if request.up_to_date is None:
        return UpToDate(False, ""), Fingerprint()
    try:
        decision, before = request.up_to_date.decide()
        return (UpToDate(False, _FORCED) if request.force and decision.holds else decision), before
    except OSError as error:
        return UpToDate(False, f"'{error.filename}' can't be read: {error.strerror}"), Fingerprint()


def _keep(
    check: UpToDateCheck, before: Fingerprint, values: Mapping[str, str], secrets: Sequence[str], made: str
) -> None:
    """Keep what says that the job is up to date, unless there is a secret in a value that it hands on."""
    masker = Masker(secrets if values else ())
    if any(masker.text(value) != value for value in values.values()):
        check.forget()
        return
    if check.within is not None and made:
        check.make_folder()
        take_over(made, check.kept)
    check.save(before, values)


def _own_fault(error: Exception) -> str:
    """Say of an exception that nobody foresaw that it is not the job's, and where it came from."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}:{place.lineno}"  # noqa: PTH119 - of a text
    return f"an error of mprun's own, not of the job: {type(error).__name__}: {error} ({where}); please report it"
