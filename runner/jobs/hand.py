"""The handler of the workers that run jobs: takes an order, runs one attempt, reports.

    queue `ready` ══ Order ══► Hand ──► Attempt ──► begun, step.started, …, ended ══► supervisor

An order that comes again was in the hand of a worker that died: that attempt is lost, and it is not for this worker to
try another. It is handed back with a word.
"""

from __future__ import annotations

import glob
import os
import traceback
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from runner.handlers.base import WorkerContext
from runner.jobs.attempt import Attempt, Report
from runner.jobs.attending import Alarm
from runner.jobs.freshness import Fingerprint, Freshness
from runner.jobs.freshness_store import FreshnessStore, Watched
from runner.jobs.groups import end_strays
from runner.jobs.orders import FreshOrder, Order
from runner.jobs.trying import Ended
from runner.process import adopt_orphans
from runner.spec_jobs import Result

BEGUN, ENDED, RETURNED = "begun", "ended", "returned"
"""What is reported beside events of jobs: an attempt begins, has ended, or was found in a dead worker's hand."""


class Hand:
    """Runs orders, one at a time."""

    def __init__(self, worker: WorkerContext) -> None:
        self._worker = worker
        self._alarm = Alarm()
        adopt_orphans(True)  # what steps leave behind becomes a child of this process, within its reach

    def __call__(self, order: Order) -> None:
        """Run an attempt to its end."""
        report = partial(self._report, order.number)
        if self._worker.attempt > 1:
            report(RETURNED)
            return
        try:
            ended = self._run(order, report)
        except Exception as error:
            # Whatever it is, it is this job's: the others have no part in it.
            end_strays()
            ended = Ended(Result.FAILED, _own_fault(error))
        report(
            ENDED,
            result=str(ended.result),
            reason=ended.reason,
            exitcode=ended.exitcode,
            signal=ended.signal,
            duration=ended.duration,
            outputs=dict(ended.outputs),
            for_good=ended.for_good,
        )

    def _run(self, order: Order, report: Report) -> Ended:
        fresh = _Freshness(order)
        found = fresh.judge()
        if found.up_to_date:
            return Ended(Result.SKIPPED, found.reason, outputs=found.values)
        report(BEGUN, log=order.log, reason=found.reason)
        ended = Attempt(order, report, self._alarm, lambda: self._worker.revoked() == order.number).run()
        if ended.result is Result.PASSED:
            fresh.keep(ended.outputs)
        return ended

    def _report(self, number: int, what: str, /, **fields: Any) -> None:
        self._worker.report(what, {"order": number, **fields})


class _Freshness:
    """Whether the job of an order is up to date; one without inputs never is."""

    def __init__(self, order: Order) -> None:
        self._watched = _watched(order, order.fresh) if order.fresh is not None else None
        if order.fresh is not None:
            self._store = FreshnessStore(Path(order.fresh.home), Path(order.fresh.workflow))
        self._before = Fingerprint()

    def judge(self) -> Freshness:
        if self._watched is None:
            return Freshness(False, "")
        try:
            found, self._before = self._store.judge(self._watched)
        except OSError as error:
            return Freshness(False, f"'{error.filename}' can't be read: {error.strerror}")
        return found

    def keep(self, values: Mapping[str, str]) -> None:
        if self._watched is not None:
            with suppress(OSError):  # then it is not up to date the next time
                self._store.keep(self._watched, self._before, values)


def _own_fault(error: Exception) -> str:
    """Say of an exception that nobody foresaw that it is not the job's, and where it came from."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}:{place.lineno}"  # noqa: PTH119 - of a text
    return f"an error of mprun's own, not of the job: {type(error).__name__}: {error} ({where}); please report it"


def _watched(order: Order, fresh: FreshOrder) -> Watched:
    """What the job reads of its variables counts as an input."""
    dotenv = (glob.escape(os.path.relpath(path, order.directory)) for path in order.dotenv)
    inputs = (*fresh.inputs, *dotenv)
    return Watched(order.leg, Path(order.directory), inputs, fresh.outputs, fresh.definition)
