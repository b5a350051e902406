"""The end of a run of jobs: the last screen, what CI systems are told, and the JUnit file.

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

from runner.cli.outlet import in_github
from runner.cli.output import say, write
from runner.jobs.blame import by_cause
from runner.jobs.closing import MOST_TAIL, Grid, Part, closing
from runner.jobs.story import FAILURES, JobLine, Result, State, Story
from runner.jobs.tail import last_lines
from runner.jobs.telling import Said
from runner.report import Report
from runner.spec_jobs import JobSpec

_LONG_TAIL = 200
"""Last lines of a job that the JUnit file keeps, and that are searched for the place to blame."""


def hide_secrets(jobs: Sequence[JobSpec], environ: Mapping[str, str], *, output: str | None) -> None:
    """Have GitHub hide the values of secrets in its log, whoever prints them. To be called before anything runs."""
    from runner.jobs.github_commands import masks

    asked = dict.fromkeys(name for job in jobs for leg in job.legs for name in leg.secrets)
    told = masks(environ.get(name, "") for name in asked)
    if output == "json":  # stdout is for events, and its reader would keep the values
        sys.stderr.write(told)
    else:
        write(told)


def show_jobs(report: Report, story: Story, *, quiet: bool, screen: bool, output: str | None) -> None:
    """Show how it ended: on the last screen, if that is wanted, and to GitHub where this runs there.

    When asked to be quiet the screen is for runs that are not good.
    """
    good = story.result is not Result.FAILED and not report.exit_code
    if screen and not (good and quiet):
        _show_screen(report, story)
    if in_github(os.environ) and output != "json":
        _tell_github(report, story, os.environ)


def _show_screen(report: Report, story: Story) -> None:
    from runner.tables import print_closing

    def parts(columns: int, rows: int) -> Sequence[Part]:
        told = closing(report, story, _tail_of, columns=columns, rows=rows, near=str(Path.cwd()))
        return [_disarmed(part) for part in told] if in_github(os.environ) else told

    print_closing(parts, sys.stderr)


def _tell_github(report: Report, story: Story, environ: Mapping[str, str]) -> None:
    """Mark what failed, and add to the summary of the step."""
    from runner.jobs import github

    told = [*by_cause(story), *story.of(State.ALLOWED)][: github.MOST_ANNOTATIONS]
    tails = {line.job: _tail_of(line, MOST_TAIL) for line in told}
    workflow, root = Path(report.file).absolute(), Path(environ.get("GITHUB_WORKSPACE") or Path.cwd())
    for line in told:
        place = github.find_place(
            _tail_of(line, _LONG_TAIL), lambda file: _located(file, workflow.parent, root)
        )
        fallback = _within(root, workflow) or report.file
        write(github.annotation(line, tails[line.job], place, fallback) + "\n")
    if path := environ.get("GITHUB_STEP_SUMMARY"):
        _append(Path(path), github.summary(story, tails, report.workflow))


def _located(file: str, beside: Path, root: Path) -> str | None:
    """The path in the repository of a file that a job's output names, from here or from `beside`; None if none is."""
    known = next((place for base in (Path.cwd(), beside) if (place := base / file).is_file()), None)
    return _within(root, known) if known is not None else None


def _within(root: Path, file: Path) -> str | None:
    """The path from the root of the repository, as GitHub wants it; None outside."""
    path = os.path.relpath(file.resolve(), root.resolve())
    return None if path.startswith("..") else path


def _append(path: Path, summary: str) -> None:
    """Add to the summary of the step; one that can't be written is told, and no failure of the run."""
    try:
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(summary)
    except OSError as error:
        say(f"mprun: the summary '{path}' can't be written: {error.strerror}")


def write_junit(report: Report, story: Story, path: Path) -> bool:
    """Write the file, whole or not at all, and say if that is not possible."""
    from runner.jobs.junit import junit

    text = junit(report, story, {line.job: _tail_of(line, _LONG_TAIL) for line in story.jobs})
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():  # such as /dev/stdout, whose place nothing can take
            path.write_bytes(text)
            return True
        draft.write_bytes(text)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        say(f"mprun: the JUnit file '{path}' can't be written: {error.strerror}")
        return False
    return True


def _tail_of(line: JobLine, most: int) -> list[str]:
    """The last lines of a job; if one of its services may be to blame, also the last of that, with its name."""
    fallen = line.fallen
    behind = last_lines(fallen.log, most // 2) if fallen is not None and line.state in FAILURES else []
    named = [f"{fallen.service} | {each}" for each in behind] if fallen is not None else []
    return last_lines(line.log, most - len(named)) + named


def _disarmed(part: Part) -> Part:
    from runner.jobs.github_commands import disarmed

    if isinstance(part, Said):
        return replace(part, text=disarmed(part.text))
    return Grid(tuple({key: disarmed(value) for key, value in row.items()} for row in part.rows))
