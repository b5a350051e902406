"""The last screen of a run of jobs: why it failed first, then what else became of it. Pure: a report in, parts out.

    ✗ test (3.12) failed after 8.9s: step 2 exited with code 1       root causes, in order of time
      │ its last lines …
      ended:  attempt 2: step 'pytest' exited with 1
      log:    .mprun/runs/3f2a/jobs/test-3.12.log
      again:  mprun run ci.yaml --job 'test (3.12)'
    cancelled: e2e, docs: …                                          their noise is hidden
    skipped: deploy: …
    job          result   took                                       what took longest
    critical path 12.0s: build 3.1s → test (3.12) 8.9s
    failed after 12.4s: 1 failed, 2 cancelled, 1 skipped, 16 passed; exit 1

The parts are made to fit a number of rows; what does not is counted, not shown.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

from runner.events.job_report import JobLine, JobReport, JobState, RunResult, ServiceLine, by_cause
from runner.events.report import Report
from runner.facts import dataclass
from runner.render.lines import UNFINISHED_RUNS, Emphasis, OutputLine, describe_exit, format_end
from runner.text import and_more, cells, summarize, truncate, visible
from runner.units import rough_duration

FEWEST_ROWS, MOST_ROWS = 22, 40
"""Rows that are written for: a lower screen scrolls, and more on a higher one is not read."""
MOST_TAIL = 20
_FEWEST_TAIL = 5
_MOST_BLOCKS = 3
_MOST_LISTED = 4
_FEWEST_TABLE_ROWS, _MOST_TABLE_ROWS = 2, 20
_CUT_AFTER = 3
"""Rows that one line of output may take."""

TailOf = Callable[[JobLine, int], Sequence[str]]
"""Returns up to so many of the last lines that a job printed."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows for a table; the keys are its headings."""

    rows: tuple[Mapping[str, str], ...]


Part = OutputLine | Grid

_WORDS: Mapping[JobState, str] = {JobState.ALLOWED: "failed (allowed)", JobState.TIMED_OUT: "timed out"}
_COUNTED = (
    JobState.FAILED,
    JobState.TIMED_OUT,
    JobState.ALLOWED,
    JobState.RUNNING,
    JobState.RETRYING,
    JobState.CANCELLED,
    JobState.SKIPPED,
    JobState.PASSED,
)


def final_summary(
    report: Report, job_report: JobReport, tail_of: TailOf, *, columns: int, rows: int, near: str = ""
) -> list[Part]:
    """Return what the last screen says, on so much room. Logs below the folder `near` are named from there."""
    room = min(max(rows, FEWEST_ROWS), MOST_ROWS)
    after = [
        *_listed(job_report, JobState.CANCELLED),
        *_listed(job_report, JobState.SKIPPED),
        *_unreached(job_report),
    ]
    last = [*_critical_path(job_report), _last_line(report, job_report)]
    least = _height([*after, *last], columns) + _least_table(job_report)
    blocks = _blocks(report, job_report, tail_of, columns=columns, room=room - least, near=near)
    left = room - _height([*blocks, *after, *last], columns)
    return [*blocks, *after, *_table(job_report, left), *last]


def state_label(state: JobState) -> str:
    """Return how a state is called where people read it."""
    return _WORDS.get(state, str(state))


def result_label(line: JobLine) -> str:
    """Return what became of a job, whether that was before the run began, and when others could use it."""
    ready = "" if line.ready_in is None else f", ready in {rough_duration(line.ready_in)}"
    return state_label(line.state) + (", kept" if line.kept_from is not None else "") + ready


def _blocks(
    report: Report, job_report: JobReport, tail_of: TailOf, *, columns: int, room: int, near: str
) -> list[Part]:
    failures = by_cause(job_report)
    if not failures:
        reason = report.reason if report.exit_code else None
        return [*([OutputLine(visible(reason), Emphasis.BAD)] if reason else []), *_allowed(job_report)]
    shown = failures[:_MOST_BLOCKS]
    rest = [*_brief(failures[_MOST_BLOCKS:]), *_allowed(job_report)]
    facts = [_facts(line, near) for line in shown]
    spare = room - _height([*rest, *(line for own in facts for line in own)], columns)
    parts: list[Part] = []
    for number, (line, own) in enumerate(zip(shown, facts, strict=True)):
        most = _tail_share(spare, number, len(shown))
        tail = _tail(tail_of(line, most), columns=columns, rows=most)
        spare -= _height(tail, columns)
        parts += [own[0], *tail, *own[1:]]
    return [*parts, *rest]


def _tail_share(spare: int, number: int, blocks: int) -> int:
    """The first failure is what one wants to read; those behind it get what is left, and a few lines at least."""
    wanted = spare - _FEWEST_TAIL * (blocks - 1 - number)
    return min(max(wanted, _FEWEST_TAIL), MOST_TAIL)


def _facts(line: JobLine, near: str) -> list[OutputLine]:
    attempt = f"attempt {line.attempts}: " if line.attempts > 1 else ""
    step = f"step '{visible(line.failed_step)}' " if line.failed_step and len(line.steps) > 1 else ""
    ran = line.exitcode is not None or line.signal is not None
    known = {
        "ended:": f"{attempt}{step}{describe_exit(line.exitcode, line.signal)}" if ran else "",
        "service:": _service(line.failed_service, near),
        "log:": _from(near, line.log),
        "again:": shlex.join(line.command),
    }
    width = max(7, *(len(name) for name, value in known.items() if value))
    facts = [OutputLine(f"  {name:<{width}} {visible(value)}") for name, value in known.items() if value]
    return [format_end(line.job, line.state, line.seconds, line.reason), *facts]


def _service(service: ServiceLine | None, near: str) -> str:
    if service is None:
        return ""
    return (
        f"'{service.service}' {describe_exit(service.exitcode, service.signal)}; {_from(near, service.log)}"
    )


def _from(near: str, log: str | None) -> str:
    return (log or "").removeprefix(f"{near}/")


def _tail(lines: Sequence[str], *, columns: int, rows: int) -> list[OutputLine]:
    """The last of these lines that fit so many rows."""
    kept: list[OutputLine] = []
    for text in reversed(lines):
        line = _indented(text, columns)
        if _height([*kept, line], columns) > rows:
            break
        kept.append(line)
    return kept[::-1]


def _indented(text: str, columns: int) -> OutputLine:
    # The bar also keeps GitHub from taking a line for a command: what is only indented is one for it.
    return OutputLine(truncate(f"  │ {visible(text)}", _CUT_AFTER * columns))


def _brief(failures: Sequence[JobLine]) -> list[OutputLine]:
    lines = [format_end(line.job, line.state, line.seconds, line.reason) for line in failures[:_MOST_LISTED]]
    more = and_more(len(failures) - len(lines))
    return [*lines, OutputLine(f"  {more} failed", Emphasis.ASIDE)] if more else lines


def _allowed(job_report: JobReport) -> list[Part]:
    return [*_brief(job_report.of(JobState.ALLOWED))]


def _listed(job_report: JobReport, state: JobState) -> list[OutputLine]:
    """One line for each reason, with the jobs that have it."""
    by_reason: dict[str, list[str]] = {}
    for line in job_report.of(state):
        by_reason.setdefault(line.reason, []).append(visible(line.job))
    lines = [
        OutputLine(
            f"{state_label(state)}: {summarize(jobs, _MOST_LISTED)}: {visible(reason)}", Emphasis.ASIDE
        )
        for reason, jobs in list(by_reason.items())[:_MOST_LISTED]
    ]
    more = sum(len(jobs) for jobs in list(by_reason.values())[_MOST_LISTED:])
    return [*lines, OutputLine(f"{state_label(state)}: {more} more", Emphasis.ASIDE)] if more else lines


def _unreached(job_report: JobReport) -> list[OutputLine]:
    states = job_report.of(JobState.RUNNING, JobState.RETRYING)
    lines = (
        [
            OutputLine(
                f"not finished: {summarize([visible(line.job) for line in states], _MOST_LISTED)}",
                Emphasis.WARNING,
            )
        ]
        if states
        else []
    )
    if job_report.unreached:
        lines.append(OutputLine(f"not begun: {job_report.unreached} more", Emphasis.WARNING))
    return lines


def _ran(job_report: JobReport) -> list[JobLine]:
    return [
        line
        for line in job_report.jobs
        if line.attempts and line.state not in (JobState.CANCELLED, JobState.SKIPPED)
    ]


def _least_table(job_report: JobReport) -> int:
    ran = len(_ran(job_report))
    return 2 + min(ran, _FEWEST_TABLE_ROWS) + (ran > _FEWEST_TABLE_ROWS) if ran else 0


def _table(job_report: JobReport, room: int) -> list[Part]:
    """The jobs that took longest, as many as have room, in the order in which they began."""
    ran = _ran(job_report)
    if not ran:
        return []
    fit = min(max(room - 2, _FEWEST_TABLE_ROWS), _MOST_TABLE_ROWS)
    fit = fit if len(ran) <= fit else fit - 1  # a row for the count of the others
    # What was kept took its time before.
    slowest = {line.job for line in sorted(ran, key=lambda line: line.took_now, reverse=True)[:fit]}
    kept = [line for line in ran if line.job in slowest]
    retried = any(line.attempts > 1 for line in ran)
    grid = Grid(tuple(_row(line, retried=retried) for line in kept))
    more = and_more(len(ran) - len(kept))
    return [grid, OutputLine(f"{more}, none slower", Emphasis.ASIDE)] if more else [grid]


def _row(line: JobLine, *, retried: bool) -> dict[str, str]:
    row = {"job": visible(line.job), "result": result_label(line), "took": rough_duration(line.seconds)}
    return row | ({"attempts": str(line.attempts)} if retried else {})


def _critical_path(job_report: JobReport) -> list[OutputLine]:
    if len(job_report.critical_path) < 2:
        return []
    times = {line.job: line.held_up for line in job_report.jobs}
    chain = [f"{visible(job)} {rough_duration(times[job])}" for job in job_report.critical_path]
    shown = chain if len(chain) <= 2 * _MOST_LISTED else [*chain[:_MOST_LISTED], "…", *chain[-_MOST_LISTED:]]
    return [OutputLine(f"critical path {rough_duration(job_report.critical_seconds)}: {' → '.join(shown)}")]


def _last_line(report: Report, job_report: JobReport) -> OutputLine:
    counts = [(state, len(job_report.of(state))) for state in _COUNTED]
    counted = ", ".join(f"{count:,} {state_label(state)}" for state, count in counts if count) or "no job ran"
    kept = sum(line.kept_from is not None for line in job_report.jobs)
    counted += f"; {kept:,} kept" if kept else ""
    took = rough_duration(report.seconds)
    if report.outcome in ("interrupted", "timeout", "internal"):
        how = {"interrupted": "interrupted", "timeout": "timed out"}.get(
            report.outcome, "ended by a fault in mprun"
        )
        return OutputLine(f"{how} after {took}: {counted}; exit {report.exit_code}", Emphasis.BAD)
    if report.outcome in UNFINISHED_RUNS:
        return OutputLine(f"{UNFINISHED_RUNS[report.outcome]} {took}: {counted}", Emphasis.WARNING)
    match job_report.result:
        case RunResult.PASSED:
            return OutputLine(f"passed in {took}: {counted}", Emphasis.GOOD)
        case RunResult.ALLOWED:
            return OutputLine(f"passed with allowed failures in {took}: {counted}", Emphasis.WARNING)
        case RunResult.FAILED:
            return OutputLine(f"failed after {took}: {counted}; exit {report.exit_code}", Emphasis.BAD)


def _height(parts: Iterable[Part], columns: int) -> int:
    return sum(-(-max(cells(part.text), 1) // columns) for part in parts if isinstance(part, OutputLine))
