r"""What GitHub Actions is given at the end of a run: annotations, and the summary of the step in Markdown. Pure.

    JobReport ──► ::error title=lint,file=runner/run.py,line=12::step 2 exited with 1%0A…     annotations
             └──► | job | result | took | …                                                   $GITHUB_STEP_SUMMARY

A process gives GitHub Actions commands by printing them, as `command` writes them:
https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions says which there are; what is
escaped, and how, is in the runner's ActionCommand.cs.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from runner.events.job_report import FAILURES, JobLine, JobReport, JobState, RunResult
from runner.facts import dataclass
from runner.text import and_more
from runner.units import rough_duration

_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def workflow_command(name: str, message: str = "", **properties: object) -> str:
    """Return a workflow command, escaped, without a newline. Properties that are None are left out."""
    listed = ",".join(
        f"{key}={str(value).translate(_PROPERTY)}" for key, value in properties.items() if value is not None
    )
    return f"::{name}{' ' + listed if listed else ''}::{message.translate(_DATA)}"


def disarm(text: str) -> str:
    """Return text in which nothing is a command of the older form, `##[…]`, which counts wherever it stands."""
    return text.replace("##[", "# #[")


def masks(secrets: Iterable[str]) -> str:
    """Return the lines that have GitHub hide these values. They must come before any of the values does."""
    return "".join(workflow_command("add-mask", secret) + "\n" for secret in secrets if secret.strip())


MOST_ANNOTATIONS = 10
"""Of each kind that GitHub shows for a step; what is beyond is left out by it in silence."""
MOST_ROWS = 200
MOST_SUMMARY_BYTES = 1_000_000
"""GitHub refuses a step's summary of more than a mebibyte, all of it."""

# run.py:12:3: …   --> src/main.rs:3:5   a.ts(3,5): …
_COMPLAINT = re.compile(r"\s*(?:-->\s*)?([^\s:\"()]+\.\w+)(?::(\d+)(?::(\d+))?|\((\d+),(\d+)\))(?=:|\s|$)")
_FRAME = re.compile(r"\s*File \"([^\"]+)\", line (\d+)")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~])")
_COLOURS = {
    RunResult.PASSED: "✅ passed",
    RunResult.ALLOWED: "⚠️ passed with allowed failures",
    RunResult.FAILED: "❌ failed",
}
_SIGNS: Mapping[JobState, str] = {
    JobState.PASSED: "✅",
    JobState.FAILED: "❌",
    JobState.TIMED_OUT: "⏱️",
    JobState.ALLOWED: "⚠️",
    JobState.CANCELLED: "🚫",
    JobState.SKIPPED: "⏭️",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file that a job's output names. `column` is 1 first; None if it names none."""

    file: str
    line: int
    column: int | None = None


def find_place(lines: Sequence[str], locate: Callable[[str], str | None]) -> Place | None:
    """Return the place that a job's output blames: the first complaint of a compiler or linter, else the last frame.

    `locate` turns what they call a file into its path in the repository, and is None for one that is not ours.
    """
    complaints = (_complained_of(line, locate) for line in lines)
    frames = (_frame_in(line, locate) for line in reversed(lines))
    return next((place for place in (*complaints, *frames) if place is not None), None)


def _complained_of(line: str, locate: Callable[[str], str | None]) -> Place | None:
    found = _COMPLAINT.match(line)
    file = locate(found[1]) if found is not None else None
    if found is None or file is None:
        return None
    column = found[3] or found[5]
    return Place(file, int(found[2] or found[4]), int(column) if column else None)


def _frame_in(line: str, locate: Callable[[str], str | None]) -> Place | None:
    found = _FRAME.match(line)
    file = locate(found[1]) if found is not None else None
    return Place(file, int(found[2])) if found is not None and file is not None else None


def annotation(line: JobLine, tail: Sequence[str], place: Place | None, workflow: str) -> str:
    """Return the command that marks a job that failed, at `place` or else at the workflow file."""
    at = place or Place(workflow, 1)
    return workflow_command(
        "warning" if line.state is JobState.ALLOWED else "error",
        "\n".join([line.reason, *tail]),
        title=line.job,
        file=at.file,
        line=at.line,
        col=at.column,
    )


def step_summary(job_report: JobReport, tails: Mapping[str, Sequence[str]], title: str) -> str:
    """Return the Markdown that the page of the run shows: the result, a table, the last lines of what failed."""
    parts = [f"### {_escaped(title)}: {_COLOURS[job_report.result]}", "", *_table(job_report)]
    if job_report.critical_path:
        chain = " → ".join(_escaped(job) for job in job_report.critical_path)
        parts += ["", f"Critical path, {rough_duration(job_report.critical_seconds)}: {chain}"]
    texts = ["\n".join(parts) + "\n"]
    room = MOST_SUMMARY_BYTES - _size(texts[0])
    for line in job_report.of(*FAILURES, JobState.ALLOWED):
        details = _details(line, tails.get(line.job, ()))
        if _size(details) <= room:
            texts.append(details)
            room -= _size(details)
    return "".join(texts)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "backslashreplace"))


def _table(job_report: JobReport) -> list[str]:
    ranked = sorted(job_report.jobs, key=lambda line: line.state not in FAILURES)
    rows = [_row(line) for line in ranked[:MOST_ROWS]]
    more = and_more(len(ranked) - len(rows))
    return ["| job | result | took | reason |", "|---|---|--:|---|", *rows] + (
        [f"| … {more} | | | |"] if more else []
    )


def _row(line: JobLine) -> str:
    took = rough_duration(line.seconds) if line.attempts else ""
    reason = "" if line.state is JobState.PASSED else _escaped(line.reason)
    sign = _SIGNS.get(line.state, "")
    result = f"{line.state.replace('_', ' ')}{', kept' if line.kept_from is not None else ''}"
    return f"| {_escaped(line.job)} | {sign} {result} | {took} | {reason} |"


def _details(line: JobLine, tail: Sequence[str]) -> str:
    if not tail:
        return ""
    shown = html.escape("\n".join(tail), quote=False)
    head = f"<details><summary>{html.escape(line.job)}: the last lines</summary>"
    return f"\n{head}\n\n<pre>\n{shown}\n</pre>\n\n</details>\n"


def _escaped(text: str) -> str:
    """Text that Markdown and HTML leave as it is, and that stays in its cell."""
    return _MARKDOWN.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))
