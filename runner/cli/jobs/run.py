"""What `mprun run` adds for jobs at the end: the last screen, CI systems and JUnit.

Report.jobs + the ends of the logs ──► stderr: the last screen
                                   ├─► stdout: GitHub's annotations      $GITHUB_STEP_SUMMARY
                                   └─► --junit FILE
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from runner.cli.output import in_github, print_message, write
from runner.events.job_report import FAILURES, JobLine, JobReport, JobState, RunResult, by_cause
from runner.events.report import Report
from runner.jobs.log import last_lines
from runner.jobs.masking import unfit_secrets
from runner.render.job_summary import MOST_TAIL, Grid, Part, final_summary
from runner.render.lines import OutputLine
from runner.spec.jobs.model import JobSpec
from runner.text import write_document

_LONG_TAIL = 200
"""Last lines of a job that the JUnit file keeps, and that are searched for the place to blame."""


def hide_secrets(jobs: Sequence[JobSpec], environ: Mapping[str, str], *, output: str | None) -> None:
    """Have GitHub hide the values of secrets in its log, whoever prints them. To be called before anything runs."""
    from runner.render.github import masks

    asked = dict.fromkeys(name for job in jobs for leg in job.legs for name in leg.secrets)
    values = {name: environ[name] for name in asked if environ.get(name)}
    commands = masks(value for name, value in values.items() if name not in unfit_secrets(values))
    if output == "json":  # stdout is for events, and its reader would keep the values
        sys.stderr.write(commands)
    else:
        write(commands)


def show_jobs(
    report: Report, job_report: JobReport, *, quiet: bool, screen: bool, output: str | None
) -> None:
    """Show how it ended: on the last screen, if that is wanted, and to GitHub where this runs there.

    When asked to be quiet the screen is for runs that are not good.
    """
    good = job_report.result is not RunResult.FAILED and not report.exit_code
    if screen and not (good and quiet):
        show_screen(report, job_report, sys.stderr)
    if in_github(os.environ) and output != "json":
        _report_to_github(report, job_report, os.environ)


def show_screen(report: Report, job_report: JobReport, stream: TextIO) -> None:
    """Show how the jobs ended, in as much room as there is."""
    from runner.render.summary import print_closing

    def parts(columns: int, rows: int) -> Sequence[Part]:
        shown = final_summary(report, job_report, _tail_of, columns=columns, rows=rows, near=str(Path.cwd()))
        return [_disarmed(part) for part in shown] if in_github(os.environ) else shown

    print_closing(parts, stream)


def _report_to_github(report: Report, job_report: JobReport, environ: Mapping[str, str]) -> None:
    """Mark what failed, and add to the summary of the step."""
    from runner.render import github

    shown = [*by_cause(job_report), *job_report.of(JobState.ALLOWED)][: github.MOST_ANNOTATIONS]
    tails = {line.job: _tail_of(line, MOST_TAIL) for line in shown}
    workflow, root = Path(report.file).absolute(), Path(environ.get("GITHUB_WORKSPACE") or Path.cwd())
    for line in shown:
        place = github.find_place(
            _tail_of(line, _LONG_TAIL), lambda file: _located(file, workflow.parent, root)
        )
        fallback = _within(root, workflow) or report.file
        write(github.annotation(line, tails[line.job], place, fallback) + "\n")
    if path := environ.get("GITHUB_STEP_SUMMARY"):
        _append(Path(path), github.step_summary(job_report, tails, report.workflow))


def _located(file: str, beside: Path, root: Path) -> str | None:
    """The path in the repository of a file that a job's output names, from here or from `beside`; None if none is."""
    known = next((place for base in (Path.cwd(), beside) if (place := base / file).is_file()), None)
    return _within(root, known) if known is not None else None


def _within(root: Path, file: Path) -> str | None:
    """The path from the root of the repository, as GitHub wants it; None outside."""
    path = os.path.relpath(file.resolve(), root.resolve())
    return None if path.startswith("..") else path


def _append(path: Path, summary: str) -> None:
    """Add to the summary of the step; one that can't be written is reported, and no failure of the run."""
    try:
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(summary)
    except OSError as error:
        print_message(f"mprun: the summary '{path}' can't be written: {error.strerror}")


def write_junit(report: Report, job_report: JobReport, path: Path) -> None:
    """Write the file, whole or not at all. Raises OSError."""
    from runner.render.junit import junit

    write_document(
        path, junit(report, job_report, {line.job: _tail_of(line, _LONG_TAIL) for line in job_report.jobs})
    )


def _tail_of(line: JobLine, most: int) -> list[str]:
    """The last lines of a job; if one of its services may be to blame, also the last of that, with its name."""
    service = line.failed_service
    behind = last_lines(service.log, most // 2) if service is not None and line.state in FAILURES else []
    named = [f"{service.service} | {each}" for each in behind] if service is not None else []
    return last_lines(line.log, most - len(named)) + named


def _disarmed(part: Part) -> Part:
    from runner.render.github import disarm

    if isinstance(part, OutputLine):
        return replace(part, text=disarm(part.text))
    return Grid(tuple({key: disarm(value) for key, value in row.items()} for row in part.rows))
