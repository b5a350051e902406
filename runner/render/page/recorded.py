"""The page of a run by its record: of one that goes on as of now, of one that is over for good.

RunView ──► RunState, report, facts, ends of logs ──► RunPage
Report  ──► RunPage without curves, where no record was kept
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runner.events.job_report import FAILURES
from runner.events.report import Report
from runner.jobs.log import last_lines
from runner.record.reader import RunView
from runner.record.summary import RUNNING, RunSummary
from runner.render.page.model import RunPage
from runner.watch.recorded import state_of
from runner.watch.state import RunPhase, RunState

MOST_LINES = 60
"""Of the log of a job that failed."""


def recorded_page(summary: RunSummary, view: RunView, report: Report, note: str | None = None) -> RunPage:
    """Return what a page is drawn from; `report` may say more of the end than the record. Raises RecordDamaged."""
    with view.transaction():
        state, facts, lives = state_of(view, summary), view.facts(), view.incarnations()
    if summary.outcome == RUNNING and state.phase.is_over:
        state.phase = RunPhase.RUNNING
    return RunPage(
        state=state,
        report=report,
        outcome=str(summary.outcome),
        facts=facts,
        lives=lives,
        took=summary.seconds if len(lives) > 1 else None,
        note=note,
        logs=_logs(report),
    )


def unrecorded_page(report: Report) -> RunPage:
    """Return what can be drawn of a run of which no record was kept."""
    state = RunState(run=report.run, began=report.started_at, told=report.started_at + report.seconds)
    state.phase, state.ended = RunPhase.ENDED, state.told
    note = "No record of this run was kept: there is nothing of its course."
    return RunPage(
        state=state,
        report=report,
        outcome=str(report.outcome),
        facts={},
        note=note,
        logs=_logs(report),
    )


def _logs(report: Report) -> Mapping[str, Sequence[str]]:
    if report.jobs is None:
        return {}
    failed = [line for line in report.jobs.jobs if line.state in FAILURES]
    return {line.job: last_lines(line.log, MOST_LINES) for line in failed}
