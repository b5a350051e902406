"""The run that a command is about, chosen by a word, and the look into its record. Shared by all that show one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from runner.cli.output import print_message
from runner.cli.past_runs.history import when
from runner.cli.past_runs.past import STDIN, nearby
from runner.errors import UsageError
from runner.events.report import Report
from runner.record.history import find_run, runs_in
from runner.record.reader import RecordDamaged, RunView
from runner.record.schema import DATABASE
from runner.record.summary import KILLED, RUNNING, UNKNOWN, RunSummary
from runner.store.hidden_outputs import hidden_of, still_there
from runner.store.run_folder import JOB_LOGS, RunFolder, home
from runner.text import visible
from runner.units import counted

RUN_HELP = "RUN is the beginning of its id, the name of its workflow, whose last run is meant, or `latest`."


def chosen_run(word: str) -> tuple[RunSummary, RunFolder]:
    """Return the run that a word means, and where its record is. Raises `UsageError` where it means none or several."""
    place = home()
    run = find_run(word, runs_in(place))
    return run, RunFolder(run.id, place)


@contextmanager
def look_into(run: RunSummary, run_folder: RunFolder) -> Iterator[RunView]:
    """
    Open the record of a run; say so where it is of another version, or incomplete.

    Raises:
        UsageError: nothing of the run was written.
        RecordDamaged: what was can't be read.
    """
    if not (run_folder.path / DATABASE).exists():
        known = f"nothing is known of run '{run.id}'{_but_its_end(run)}: {why_nothing(run)}"
        raise UsageError(known if run.is_good else f"{known}; {_way_to_begin_anew(run)}")
    try:
        with RunView(run_folder.path) as view:
            for note in filter(None, (view.note, _what_is_missing(run))):
                print_message(f"mprun: {note}")
            yield view
    except RecordDamaged as error:
        raise RecordDamaged(f"{error}" if run.is_good else f"{error}; {_way_to_begin_anew(run)}") from error


def _but_its_end(run: RunSummary) -> str:
    if run.outcome == UNKNOWN:
        return ""
    return (
        f" but that it was {run.outcome}"
        if run.outcome in (RUNNING, KILLED)
        else f" but its end, {run.outcome}"
    )


def _what_is_missing(run: RunSummary) -> str | None:
    if run.trouble is None:
        return None
    since = "" if run.broke_off is None else f" since {when(run.broke_off)}"
    return f"the record is incomplete{since}: {run.trouble}"


def why_nothing(run: RunSummary) -> str:
    """Say why a run has no database."""
    if run.trouble is not None:
        return run.trouble
    return "it has only begun" if run.outcome == RUNNING else "that was before anything could be written"


def report_of(run: RunSummary, view: RunView) -> Report:
    """Return the report of a run; one that has not ended, or was killed, says so in it."""
    facts = view.facts()
    report = _with_logs(view.report(facts), view.folder)
    if isinstance(facts.get("report"), dict):
        return report
    reasons = {RUNNING: None, KILLED: how_killed(run)}
    return replace(
        report,
        outcome=run.outcome,
        exit_code=run.exit_code or 0,
        reason=reasons.get(run.outcome, run.trouble),
        seconds=round(run.seconds, 6),
        bottleneck=None,
    )


def _with_logs(report: Report, folder: Path) -> Report:
    """Have each job name its log where that is now: a run may have come from elsewhere."""
    if report.jobs is None:
        return report
    lines = tuple(replace(line, log=line.log and log_file(folder, line.log)) for line in report.jobs.jobs)
    return replace(report, jobs=replace(report.jobs, jobs=lines))


def log_file(folder: Path, kept: str) -> str:
    """Return where the log of a job is: in the folder of its run, also where that has come from elsewhere."""
    here = folder / JOB_LOGS / Path(kept).name
    return str(here) if here.exists() else kept


def way_on(run: RunSummary) -> str:
    """Say what can be done with a run that has not come to a good end."""
    if not run.incarnations:
        return _way_to_begin_anew(run)
    if run.resumable is None:
        return f"`mprun rerun {run.id}` runs it again"
    wait = f", {counted(run.waiting, 'item')} waiting" if run.waiting else ""
    way = f"`mprun resume {run.id}` goes on with it as it was at {when(run.resumable)}{wait}"
    hidden = hidden_of(RunFolder(run.id, home()))
    if len(still_there(hidden)) == len(hidden):
        return way
    return f"{way}, unless another run has taken away what it had written: `--check` looks"


def _way_to_begin_anew(run: RunSummary) -> str:
    """Say what can be done where no record says what the run was made of."""
    file = Path(run.file)
    if not run.file or file.name == str(STDIN):
        return "its workflow has to be run anew"
    return visible(f"`mprun run {shlex.quote(str(nearby(file)))}` begins anew")


def how_killed(run: RunSummary) -> str:
    """Say what is known of the death of a run."""
    again = way_on(run)
    if run.machine_went_down:
        return f"the machine went down while it ran; {again}"
    return f"its runner was killed: nothing of it runs any more; {again}"
