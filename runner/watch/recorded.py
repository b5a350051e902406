"""The state of a run as its record has it: of one that is over, was killed, or can't be reached.

run.db ──► RunView ──► what was counted, the report ──┐
              └── what is kept of its events ─────────┴──► RunState
"""

from __future__ import annotations

from runner.events.run import RunFinished, RunOutcome, RunProgress
from runner.record.failures import SampleItem
from runner.record.reader import RunView, as_event
from runner.record.schema import DATABASE
from runner.record.summary import KILLED, RUNNING, RunSummary, summarize_run
from runner.store.run_folder import RunFolder
from runner.watch.state import RunPhase, RunState


def recorded_state(run_folder: RunFolder) -> RunState:
    """
    Return what is written of a run.

    Raises:
        RecordDamaged: there is no record of it, or it can't be read.
    """
    with RunView(run_folder.path) as view:
        summary = summarize_run(run_folder) if (run_folder.path / DATABASE).exists() else None
        with view.transaction():
            return state_of(view, summary)


def state_of(view: RunView, summary: RunSummary | None) -> RunState:
    """Return what a record has; `summary` says whether the run lives, and when it ended. Raises RecordDamaged."""
    facts = view.facts()
    samples = view.rows("SELECT kind, item, at, letter FROM sample_item ORDER BY rowid")
    state = RunState.of_record(
        view.fold(),
        view.report(facts),
        [SampleItem(r["kind"], r["item"], r["at"], bool(r["letter"])) for r in samples],
    )
    state.run = view.run
    for stored in view.events():
        event = as_event(stored, view.run)
        if event is not None:
            state.observe(event)
    _add_snapshot(state, facts.get("progress"))
    _set_end(state, summary)
    return state


def _add_snapshot(state: RunState, progress: object) -> None:
    """Take the last snapshot, which is no event that is kept."""
    if isinstance(progress, dict):
        try:
            event = RunProgress(**progress)
        except TypeError:  # of another version
            return
        state.observe(event.stamped(max(state.told, state.began + event.elapsed), state.run))


def _set_end(state: RunState, summary: RunSummary | None) -> None:
    if summary is None:
        return
    state.began = summary.began
    state.incarnation = max(summary.incarnations, state.incarnation)
    if summary.outcome == KILLED:
        state.was_killed(summary.ended)
    elif summary.outcome != RUNNING and state.finished is None:
        state.phase, state.ended = RunPhase.ENDED, summary.ended
        state.finished = _end(state, summary)


def _end(state: RunState, summary: RunSummary) -> RunFinished | None:
    """Make the event again that nobody could write down; None where nobody knows what the run came to."""
    report = state.report()
    if summary.exit_code is None or summary.outcome not in list(RunOutcome):
        return None
    end = RunFinished(
        outcome=RunOutcome(summary.outcome),
        exitcode=summary.exit_code,
        reason=report.reason,
        seconds=report.seconds,
        queues=[],
        resumable=summary.resumable is not None,
    )
    return end.stamped(summary.ended or state.told, state.run)
