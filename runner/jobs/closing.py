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

The parts are drawn in tables.py. They are made to fit a number of rows; what does not is counted, not shown.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from runner.cells import cells, visible
from runner.jobs.blame import by_cause
from runner.jobs.story import JobLine, Result, ServiceLine, State, Story
from runner.jobs.telling import Said, Tone, ended_line, in_words
from runner.report import Report
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


Part = Said | Grid

_WORDS: Mapping[State, str] = {State.ALLOWED: "failed (allowed)", State.TIMED_OUT: "timed out"}
_COUNTED = (
    State.FAILED,
    State.TIMED_OUT,
    State.ALLOWED,
    State.RUNNING,
    State.RETRYING,
    State.CANCELLED,
    State.SKIPPED,
    State.PASSED,
)


def closing(
    report: Report, story: Story, tail_of: TailOf, *, columns: int, rows: int, near: str = ""
) -> list[Part]:
    """Return what the last screen says, for a screen of this size. Logs below the folder `near` are told from there."""
    room = min(max(rows, FEWEST_ROWS), MOST_ROWS)
    after = [*_listed(story, State.CANCELLED), *_listed(story, State.SKIPPED), *_unreached(story)]
    last = [*_critical_path(story), _last_line(report, story)]
    least = _height([*after, *last], columns) + _least_table(story)
    blocks = _blocks(report, story, tail_of, columns=columns, room=room - least, near=near)
    left = room - _height([*blocks, *after, *last], columns)
    return [*blocks, *after, *_table(story, left), *last]


def words_of(state: State) -> str:
    """Return how a state is called where people read it."""
    return _WORDS.get(state, str(state))


def _blocks(
    report: Report, story: Story, tail_of: TailOf, *, columns: int, room: int, near: str
) -> list[Part]:
    failures = by_cause(story)
    if not failures:
        told = report.reason if report.exit_code else None
        return [*([Said(visible(told), Tone.BAD)] if told else []), *_allowed(story)]
    shown = failures[:_MOST_BLOCKS]
    rest = [*_brief(failures[_MOST_BLOCKS:]), *_allowed(story)]
    facts = [_facts(line, near) for line in shown]
    spare = room - _height([*rest, *(said for own in facts for said in own)], columns)
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


def _facts(line: JobLine, near: str) -> list[Said]:
    attempt = f"attempt {line.attempts}: " if line.attempts > 1 else ""
    step = f"step '{visible(line.failed_step)}' " if line.failed_step and len(line.steps) > 1 else ""
    ran = line.exitcode is not None or line.signal is not None
    told = {
        "ended:": f"{attempt}{step}{in_words(line.exitcode, line.signal)}" if ran else "",
        "service:": _service(line.fallen, near),
        "log:": _from(near, line.log),
        "again:": shlex.join(line.command),
    }
    width = max(7, *(len(name) for name, value in told.items() if value))
    facts = [Said(f"  {name:<{width}} {visible(value)}") for name, value in told.items() if value]
    return [ended_line(line.job, line.state, line.seconds, line.reason), *facts]


def _service(fallen: ServiceLine | None, near: str) -> str:
    if fallen is None:
        return ""
    return f"'{fallen.service}' {in_words(fallen.exitcode, fallen.signal)}; {_from(near, fallen.log)}"


def _from(near: str, log: str | None) -> str:
    return (log or "").removeprefix(f"{near}/")


def _tail(lines: Sequence[str], *, columns: int, rows: int) -> list[Said]:
    """The last of these lines that fit so many rows."""
    kept: list[Said] = []
    for text in reversed(lines):
        said = _indented(text, columns)
        if _height([*kept, said], columns) > rows:
            break
        kept.append(said)
    return kept[::-1]


def _indented(text: str, columns: int) -> Said:
    # The bar also keeps GitHub from taking a line for a command: what is only indented is one for it.
    return Said(_cut(f"  │ {visible(text)}", _CUT_AFTER * columns))


def _cut(text: str, most: int) -> str:
    if cells(text) <= most:
        return text
    kept = text[: most - 1]
    while cells(kept) >= most:
        kept = kept[:-1]
    return f"{kept}…"


def _brief(failures: Sequence[JobLine]) -> list[Said]:
    lines = [ended_line(line.job, line.state, line.seconds, line.reason) for line in failures[:_MOST_LISTED]]
    more = len(failures) - len(lines)
    return [*lines, Said(f"  and {more} more failed", Tone.ASIDE)] if more else lines


def _allowed(story: Story) -> list[Part]:
    return [*_brief(story.of(State.ALLOWED))]


def _listed(story: Story, state: State) -> list[Said]:
    """One line for each reason, with the jobs that have it."""
    by_reason: dict[str, list[str]] = {}
    for line in story.of(state):
        by_reason.setdefault(line.reason, []).append(visible(line.job))
    lines = [
        Said(f"{words_of(state)}: {_names(jobs)}: {visible(reason)}", Tone.ASIDE)
        for reason, jobs in list(by_reason.items())[:_MOST_LISTED]
    ]
    more = sum(len(jobs) for jobs in list(by_reason.values())[_MOST_LISTED:])
    return [*lines, Said(f"{words_of(state)}: {more} more", Tone.ASIDE)] if more else lines


def _unreached(story: Story) -> list[Said]:
    states = story.of(State.RUNNING, State.RETRYING)
    lines = (
        [Said(f"not finished: {_names([visible(line.job) for line in states])}", Tone.WARNING)]
        if states
        else []
    )
    if story.unreached:
        lines.append(Said(f"not begun: {story.unreached} more", Tone.WARNING))
    return lines


def _names(names: Sequence[str]) -> str:
    more = len(names) - _MOST_LISTED
    return ", ".join(names[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def _ran(story: Story) -> list[JobLine]:
    return [
        line for line in story.jobs if line.attempts and line.state not in (State.CANCELLED, State.SKIPPED)
    ]


def _least_table(story: Story) -> int:
    ran = len(_ran(story))
    return 2 + min(ran, _FEWEST_TABLE_ROWS) + (ran > _FEWEST_TABLE_ROWS) if ran else 0


def _table(story: Story, room: int) -> list[Part]:
    """The jobs that took longest, as many as have room, in the order in which they began."""
    ran = _ran(story)
    if not ran:
        return []
    fit = min(max(room - 2, _FEWEST_TABLE_ROWS), _MOST_TABLE_ROWS)
    fit = fit if len(ran) <= fit else fit - 1  # a row for the count of the others
    slowest = {line.job for line in sorted(ran, key=lambda line: line.seconds, reverse=True)[:fit]}
    kept = [line for line in ran if line.job in slowest]
    retried = any(line.attempts > 1 for line in ran)
    more = [Said(f"and {len(ran) - len(kept)} more, none slower", Tone.ASIDE)] if len(kept) < len(ran) else []
    return [Grid(tuple(_row(line, retried=retried) for line in kept)), *more]


def _row(line: JobLine, *, retried: bool) -> dict[str, str]:
    row = {"job": visible(line.job), "result": words_of(line.state), "took": rough_duration(line.seconds)}
    return row | ({"attempts": str(line.attempts)} if retried else {})


def _critical_path(story: Story) -> list[Said]:
    if len(story.critical_path) < 2:
        return []
    times = {line.job: line.seconds for line in story.jobs}
    chain = [f"{visible(job)} {rough_duration(times[job])}" for job in story.critical_path]
    shown = chain if len(chain) <= 2 * _MOST_LISTED else [*chain[:_MOST_LISTED], "…", *chain[-_MOST_LISTED:]]
    return [Said(f"critical path {rough_duration(story.critical_seconds)}: {' → '.join(shown)}")]


def _last_line(report: Report, story: Story) -> Said:
    counts = [(state, len(story.of(state))) for state in _COUNTED]
    told = ", ".join(f"{count:,} {words_of(state)}" for state, count in counts if count) or "no job ran"
    took = rough_duration(report.seconds)
    if report.outcome in ("interrupted", "timeout", "internal"):
        how = {"interrupted": "interrupted", "timeout": "timed out"}.get(
            report.outcome, "ended by a fault in mprun"
        )
        return Said(f"{how} after {took}: {told}; exit {report.exit_code}", Tone.BAD)
    match story.result:
        case Result.PASSED:
            return Said(f"passed in {took}: {told}", Tone.GOOD)
        case Result.ALLOWED:
            return Said(f"passed with allowed failures in {took}: {told}", Tone.WARNING)
        case Result.FAILED:
            return Said(f"failed after {took}: {told}; exit {report.exit_code}", Tone.BAD)


def _height(parts: Iterable[Part], columns: int) -> int:
    return sum(-(-max(cells(part.text), 1) // columns) for part in parts if isinstance(part, Said))
