"""The sections of the page of a run of jobs: when each ran, what held up the end, what it came to. Pure."""

from __future__ import annotations

import shlex

from runner.events.job_report import JobLine, JobReport, by_cause
from runner.render.page.charts import job_bar, time_axis
from runner.render.page.markup import Child, Markup, element
from runner.render.page.model import RunPage
from runner.render.page.needs_graph import needs_graph, tone_of
from runner.render.page.svg import TEXT, picture
from runner.render.page.tables import boxed, folded, row_name, sheet, text_block, took
from runner.units import rough_duration

MOST_LOGS = 20


def critical_path_section(page: RunPage) -> Child:
    """Name the chain of jobs that the run could not be quicker than."""
    jobs = page.report.jobs
    if jobs is None or not jobs.critical_path:
        return None
    chain = " → ".join(jobs.critical_path)
    return element("p", f"Critical path, {rough_duration(jobs.critical_seconds)}: {chain}", class_="lead")


def gantt_section(page: RunPage) -> Child:
    """Draw a row a job: when it ran, how long, what became of it."""
    jobs = page.report.jobs
    if jobs is None:
        return None
    seconds = _span(page, jobs)
    on_path = set(jobs.critical_path)
    axis = picture("time", "time", TEXT + 6, time_axis(seconds, 0, most=5), aria_hidden=True)
    scale = element("tr", element("th", ""), element("td", axis, width="100%"), element("td"), element("td"))
    rows = [_row(line, seconds, is_critical=line.job in on_path) for line in jobs.jobs]
    note = "A line below a bar: it is on the critical path." if on_path else None
    return [
        boxed(element("table", element("tbody", scale, rows), class_="strips")),
        element("p", note, class_="aside") if note else None,
    ]


def _span(page: RunPage, jobs: JobReport) -> float:
    ends = [line.ended_after for line in jobs.jobs if line.ended_after is not None]
    return max([page.report.seconds, *ends, 0.001])


def _row(line: JobLine, seconds: float, *, is_critical: bool) -> Markup:
    tone = tone_of(line.state)
    bar: Child = None
    if line.started_after is not None:
        end = line.ended_after if line.ended_after is not None else seconds
        begun = f"began after {rough_duration(line.started_after)}"
        ready = "" if line.ready_in is None else f", ready {rough_duration(line.ready_in)} after that"
        label = f"{line.job}: {line.state}, {rough_duration(line.seconds)}, {begun}{ready}"
        bar = job_bar(
            label,
            line.started_after,
            end,
            seconds,
            tone,
            is_critical=is_critical,
            ready=line.ready_after,
        )
    has_run = line.started_after is not None or line.kept_from is not None
    return element(
        "tr",
        row_name(line.job),
        element("td", bar, width="100%"),
        element("td", rough_duration(line.seconds) if has_run else "", class_="n"),
        element(
            "td", str(line.state).replace("_", " "), class_=f"c-{tone}" if tone != "starved" else "aside"
        ),
        data_job=line.job,
        data_critical=is_critical or None,
    )


def needs_graph_section(page: RunPage) -> Child:
    """Draw which job needs which, each in the colour of its state."""
    jobs = page.report.jobs
    return None if jobs is None else needs_graph(jobs.jobs)


def job_table_section(page: RunPage) -> Child:
    """Return the table of the jobs."""
    found = page.report.jobs
    if found is None or not found.jobs:
        return None
    rows = [
        [
            line.job,
            str(line.state).replace("_", " "),
            took(line.seconds) if line.attempts else "-",
            str(line.attempts),
            "-" if line.exitcode is None else str(line.exitcode),
            ", ".join(line.needs),
            line.reason,
        ]
        for line in found.jobs
    ]
    table = sheet(
        ["Job", "State", "Took", "Attempts", "Exit code", "Needs", "Why"], rows, (0, 1), texts=(5, 6)
    )
    return folded(f"All {len(rows):,} jobs", table, is_open=len(rows) <= 12)


def logs_section(page: RunPage) -> Child:
    """Show of each job that failed why, how to run it alone, and the last lines that it printed."""
    found = page.report.jobs
    if found is None:
        return None
    failed = by_cause(found)
    blocks = [_log(page, line, is_open=place == 0) for place, line in enumerate(failed[:MOST_LOGS])]
    rest = len(failed) - len(blocks)
    return [blocks, element("p", f"and {rest:,} more") if rest > 0 else None] if blocks else None


def _log(page: RunPage, line: JobLine, *, is_open: bool) -> Markup:
    head: list[Child] = [
        element("b", line.job),
        " ",
        element("span", str(line.state).replace("_", " "), class_="c-bad"),
        f" {line.reason}",
    ]
    tail = page.logs.get(line.job)
    again = element("p", "alone: ", element("code", shlex.join(line.command))) if line.command else None
    return folded(head, again, text_block("\n".join(tail)) if tail else None, is_open=is_open)
