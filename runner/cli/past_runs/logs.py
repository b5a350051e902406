"""`mprun logs`: what the handlers of a run said through `worker.log`, and what its jobs printed.

record ──► worker.logged ──► lines          jobs/*.log ──► lines          -f: as they come, until the run is over
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from runner.cli.options import examples
from runner.cli.output import write
from runner.cli.past_runs.history import moment
from runner.cli.past_runs.recorded import RUN_HELP, chosen_run, log_file, look_into
from runner.errors import ExitCode, UsageError
from runner.jobs.ansi import LineCleaner
from runner.jobs.log import Tail
from runner.record.reader import RunView, as_event
from runner.record.summary import RUNNING, summarize_run
from runner.spec.suggestions import did_you_mean
from runner.store.run_folder import RunFolder

_LOOK_EVERY = 0.2
"""Seconds between two looks for more."""
EXAMPLES = examples(
    "mprun logs latest                 what all handlers, or all jobs, said",
    "mprun logs ci 'test (3.11)'       the log of one job",
    "mprun logs baozi neo -f           one worker, as it goes on",
    "mprun logs latest --grep 'timed? out' --since 10m",
)
_Wanted = Callable[[str], bool]


@click.command(
    epilog=EXAMPLES,
    help="Show what the handlers of a run said through `worker.log`, or what its jobs printed.\n\n"
    f"NAME is a worker or a job; without it all are shown. {RUN_HELP} Of what handlers say the last 5,000 lines are"
    " kept; of a job the log of its last attempt.",
)
@click.argument("run")
@click.argument("name", required=False)
@click.option("--grep", metavar="PATTERN", help="Only lines that match this regular expression.")
@click.option(
    "--since", metavar="WHEN", help="Only what was said since: 90s, 10m, 1d, or a date. Not for jobs."
)
@click.option(
    "-f", "--follow", is_flag=True, help="Go on with what is said from now on, until the run is over."
)
def command(run: str, name: str | None, grep: str | None, since: str | None, follow: bool) -> int:
    wanted = _matcher(grep)
    summary, run_folder = chosen_run(run)
    with look_into(summary, run_folder) as view:
        jobs = view.facts().get("jobs") or []
        if jobs and since is not None:
            raise UsageError("--since: what jobs print has no times; --grep may find what is meant")
        if jobs:
            lines = _Jobs(view, run_folder, name, follow).lines()
        else:
            start = 0.0 if since is None else moment(since, time.time())
            lines = _said(view, run_folder, name, start, follow=follow)
        for line in lines:
            if wanted(line):
                write(line + "\n")
    return ExitCode.DONE


def _matcher(grep: str | None) -> _Wanted:
    try:
        pattern = re.compile(grep or "")
    except re.error as error:
        raise UsageError(f"--grep: '{grep}' is no regular expression: {error}") from error
    return lambda line: pattern.search(line) is not None


def _goes_on(run_folder: RunFolder) -> bool:
    summary = summarize_run(run_folder)
    return summary is not None and summary.outcome == RUNNING


def _said(
    view: RunView, run_folder: RunFolder, worker: str | None, start: float, *, follow: bool
) -> Iterator[str]:
    """Yield what handlers said, a line each, as the log of the run has it."""
    from runner.render.log import LogObserver

    if worker is not None:
        known = dict.fromkeys(each.worker for each in view.events("worker.spawned") if each.worker)
        _require(worker, list(known), "worker")
    text = io.BytesIO()
    log, last = LogObserver(text, "text", "debug"), 0
    while True:
        goes_on = follow and _goes_on(run_folder)
        for stored in view.events("worker.logged", worker, after=last):
            last = stored.id
            event = as_event(stored, view.run)
            if event is not None and stored.at >= start:
                log.observe(event)
        yield from text.getvalue().decode().splitlines()
        text.seek(0)
        text.truncate()
        if not goes_on:
            return
        time.sleep(_LOOK_EVERY)


class _Jobs:
    """The logs of the jobs of a run, or of one; each line has the name of its job before it where there are several."""

    def __init__(self, view: RunView, run_folder: RunFolder, name: str | None, follow: bool) -> None:
        self._view = view
        self._run_folder = run_folder
        self._follow = follow
        self._name = name
        self._tails: dict[str, tuple[Tail, LineCleaner]] = {}
        if name is not None:
            _require(name, view.facts().get("jobs") or [], "job")

    def lines(self) -> Iterator[str]:
        while True:
            goes_on = self._follow and _goes_on(self._run_folder)
            for job in self._view.jobs():
                if job["log"] and self._name in (None, job["id"]):
                    yield from self._more_of(job)
            if not goes_on:
                break
            time.sleep(_LOOK_EVERY)
        for job_id, (tail, cleaner) in self._tails.items():
            tail.close()
            yield from self._shown(job_id, cleaner.rest())

    def _more_of(self, job: dict[str, Any]) -> Iterator[str]:
        path = log_file(self._run_folder.path, job["log"])
        known = self._tails.get(job["id"])
        if known is None or known[0].path != path:  # or of another attempt
            known = self._tails[job["id"]] = Tail(path), LineCleaner(colors=False)
        tail, cleaner = known
        while chunk := tail.read():
            yield from self._shown(job["id"], cleaner.feed(chunk))

    def _shown(self, job: str, text: bytes) -> Iterator[str]:
        lead = "" if self._name is not None else f"{job} | "
        yield from (lead + line for line in text.decode().splitlines())


def _require(name: str, known: Sequence[str], what: str) -> None:
    if name not in known:
        nearest = did_you_mean(name, known)
        raise UsageError(f"the run has no {what} '{name}'" + (f"; {nearest}" if nearest else ""))
