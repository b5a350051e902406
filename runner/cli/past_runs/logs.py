"""`mprun logs`: what the handlers of a run said through `worker.log`, and what its jobs printed.

record ──► worker.logged ──► lines          jobs/*.log ──► lines          -f: as they come, until the run is over
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from runner.cli.options import examples
from runner.cli.output import page, print_message, write
from runner.cli.past_runs.history import moment
from runner.cli.past_runs.recorded import RUN_HELP, chosen_run, log_file, look_into
from runner.errors import ExitCode, UsageError
from runner.events.base import Event
from runner.events.run import WorkerLogged
from runner.jobs.ansi import LineCleaner
from runner.jobs.log import Tail
from runner.jobs.requests import attempts_beside
from runner.record.reader import RunView, as_event
from runner.record.summary import RUNNING, summarize_run
from runner.spec.suggestions import did_you_mean
from runner.store.run_folder import RunFolder

_LOOK_EVERY = 0.2
"""Seconds between two looks for more."""
EXAMPLES = examples(
    "mprun logs latest                 what all handlers, or all jobs, said",
    "mprun logs ci 'test (3.11)'       the log of one job",
    "mprun logs ci lint --attempt 1    what its first attempt printed",
    "mprun logs baozi neo -f           one worker, as it goes on",
    "mprun logs latest --grep 'timed? out' --since 10m",
)
_ALL = "all"
_Wanted = Callable[[str], bool]


@click.command(
    epilog=EXAMPLES,
    help="Show what the handlers of a run said through `worker.log`, or what its jobs printed.\n\n"
    f"NAME is a worker or a job; without it all are shown. {RUN_HELP} Of what handlers say the last 5,000 lines are"
    " kept. On a terminal they are shown in $PAGER, or less.",
)
@click.argument("run")
@click.argument("name", required=False)
@click.option("--grep", metavar="PATTERN", help="Only lines that match this regular expression.")
@click.option(
    "--since", metavar="WHEN", help="Only what was said since: 90s, 10m, 1d, or a date. Not for jobs."
)
@click.option(
    "--attempt", metavar="N|all", help="Of jobs this attempt, or all, each below a heading; else the last."
)
@click.option(
    "-f", "--follow", is_flag=True, help="Go on with what is said from now on, until the run is over."
)
def command(
    run: str, name: str | None, grep: str | None, since: str | None, attempt: str | None, follow: bool
) -> int:
    wanted, number = _matcher(grep), _attempt(attempt)
    if attempt is not None and follow:
        raise UsageError("--attempt and -f exclude one another: -f shows the attempt that is under way")
    summary, run_folder = chosen_run(run)
    with look_into(summary, run_folder) as view:
        jobs = view.facts().get("jobs") or []
        if jobs and since is not None:
            raise UsageError("--since: what jobs print has no times; --grep may find what is meant")
        if attempt is not None and not jobs:
            raise UsageError("--attempt is for jobs, and this run has stages")
        if jobs:
            of_jobs = _Jobs(view, run_folder, name)
            if attempt is None and not follow and (note := of_jobs.note()) is not None:
                print_message(f"mprun: {note}")
            lines = of_jobs.lines(follow=follow) if attempt is None else of_jobs.of_attempts(number)
        else:
            start = 0.0 if since is None else moment(since, time.time())
            lines = _said(view, run_folder, name, start, follow=follow)
        (_print_as_they_come if follow else page)(filter(wanted, lines))
    return ExitCode.DONE


def _print_as_they_come(lines: Iterable[str]) -> None:
    for line in lines:
        write(line + "\n")


def _attempt(word: str | None) -> int | None:
    """Return which attempt is meant; None for all, or where none is named."""
    if word in (None, _ALL):
        return None
    assert word is not None
    if not (word.isascii() and word.isdigit() and int(word)):
        raise UsageError(f"--attempt: expected a number from 1 on, or `{_ALL}`, got '{word}'")
    return int(word)


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
    log = LogObserver(text, "text", "debug")
    for event in _followed(view, run_folder) if follow else _recorded(view):
        if event.at >= start and worker in (None, vars(event)["worker"]):
            log.observe(event)
            yield from text.getvalue().decode().splitlines()
            text.seek(0)
            text.truncate()


def _recorded(view: RunView) -> Iterator[Event]:
    events = (as_event(stored, view.run) for stored in view.events(WorkerLogged.kind))
    return (event for event in events if event is not None)


def _followed(view: RunView, run_folder: RunFolder) -> Iterator[Event]:
    """Yield what was said, and then what is, as soon as it is where the run tells of itself."""
    from runner.watch.client import RunWatch
    from runner.watch.said import follow_said

    with RunWatch(run_folder) as watch:
        yield from follow_said(view, watch)


class _Jobs:
    """The logs of the jobs of a run, or of one; each line has the name of its job before it where there are several."""

    def __init__(self, view: RunView, run_folder: RunFolder, name: str | None) -> None:
        self._view = view
        self._run_folder = run_folder
        self._name = name
        self._tails: dict[str, tuple[Tail, LineCleaner]] = {}
        if name is not None:
            _require(name, view.facts().get("jobs") or [], "job")

    def lines(self, *, follow: bool) -> Iterator[str]:
        """Yield the lines of last attempts; with `follow` those that come too, until the run is over."""
        while True:
            goes_on = follow and _goes_on(self._run_folder)
            for job in self._chosen():
                yield from self._more_of(job["id"], log_file(self._run_folder.path, job["log"]))
            if not goes_on:
                break
            time.sleep(_LOOK_EVERY)
        for job_id in list(self._tails):
            yield from self._end_of(job_id)

    def of_attempts(self, attempt: int | None) -> Iterator[str]:
        """
        Yield the lines of one attempt, or of all, each below a heading.

        Raises:
            UsageError: no such attempt has left a log.
        """
        found = {job["id"]: self._attempts_of(job) for job in self._chosen()}
        known = sorted({number for logs in found.values() for number in logs})
        if attempt is not None and attempt not in known:
            whose = f"job '{self._name}'" if self._name is not None else "no job"
            have = f"there are logs of {_listed(known)}" if known else "there is no log"
            raise UsageError(
                f"--attempt: {whose} has {'no' if self._name else 'an'} attempt {attempt}; {have}"
            )
        for job_id, logs in found.items():
            for number, log in logs.items():
                if attempt in (None, number):
                    yield from self._heading(job_id, number) if attempt is None else ()
                    yield from self._more_of(job_id, log)
                    yield from self._end_of(job_id)

    def note(self) -> str | None:
        """Say of one job that there are earlier attempts than that which is shown; None where there are not."""
        earlier = [n for job in self._chosen() for n in list(self._attempts_of(job))[:-1]]
        if self._name is None or not earlier:
            return None
        return (
            f"this is its last attempt; `--attempt {earlier[-1]}` shows an earlier one, `--attempt all` all"
        )

    def _chosen(self) -> list[dict[str, Any]]:
        return [job for job in self._view.jobs() if job["log"] and self._name in (None, job["id"])]

    def _attempts_of(self, job: dict[str, Any]) -> dict[int, str]:
        """Return the logs of a job's attempts, by their numbers, in order."""
        folder = self._run_folder.path
        last = Path(log_file(folder, job["log"]))
        names = [each.name for each in last.parent.glob("*.log")]
        beside = attempts_beside(last.name, max(job["attempts"] or 1, 1), names)
        found = {number: str(last.with_name(name)) for number, name in beside.items()}
        for event in self._view.events("job.started"):  # where its place in the file has changed since
            if event.fields.get("job") == job["id"] and event.fields.get("log"):
                found.setdefault(int(event.fields["attempt"]), log_file(folder, event.fields["log"]))
        return dict(sorted(found.items()))

    def _heading(self, job: str, number: int) -> Iterator[str]:
        yield f"== {job}, attempt {number} =="

    def _more_of(self, job: str, path: str) -> Iterator[str]:
        known = self._tails.get(job)
        if known is None or known[0].path != path:  # or of another attempt
            known = self._tails[job] = Tail(path), LineCleaner(colors=False)
        tail, cleaner = known
        while chunk := tail.read():
            yield from self._shown(job, cleaner.feed(chunk))

    def _end_of(self, job: str) -> Iterator[str]:
        tail, cleaner = self._tails.pop(job)
        tail.close()
        yield from self._shown(job, cleaner.rest())

    def _shown(self, job: str, text: bytes) -> Iterator[str]:
        lead = "" if self._name is not None else f"{job} | "
        yield from (lead + line for line in text.decode().splitlines())


def _listed(numbers: Sequence[int]) -> str:
    return f"attempt{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _require(name: str, known: Sequence[str], what: str) -> None:
    if name not in known:
        nearest = did_you_mean(name, known)
        raise UsageError(f"the run has no {what} '{name}'" + (f"; {nearest}" if nearest else ""))
