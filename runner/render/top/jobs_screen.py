"""The jobs of a run: what runs since when and at which step, what waits for what, how each has ended. Pure.

RunState, View, Surface ──► jobs_screen ──► lines
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.text import Text

from runner.events.job_report import JobState
from runner.facts import dataclass
from runner.render.top.drawing import ASIDE, WAITS, beside_each_other, in_words, whole
from runner.render.top.parts import (
    JOB_STYLES,
    chosen_place,
    event_lines,
    filled_up,
    heading,
    last_line,
    time_taken,
    viewport,
    why_it_ends,
)
from runner.render.top.view import NOTHING_BESIDE, Beside, Screen, Surface, View
from runner.text import visible
from runner.watch.jobs import WatchedJob
from runner.watch.state import RunPhase, RunState

_TITLES = ("  JOB", "STATE", "FOR", "STEP, WHAT IT WAITS FOR, OR WHY")
_FAILED = (JobState.FAILED, JobState.TIMED_OUT)
_MOST_EVENTS = 4
WAITING = "waiting"
GONE = "gone"
"""With the runner that was killed."""


@dataclass(frozen=True, slots=True)
class ShownJob:
    """One job as it is shown."""

    name: str
    state: str
    style: str
    seconds: float | None
    what: str


def jobs_screen(state: RunState, view: View, surface: Surface, beside: Beside = NOTHING_BESIDE) -> list[Text]:
    """Return the lines of the main screen of a run of jobs."""
    rows = job_rows(state, beside.waiting, surface.now, wanted=view.wanted)
    top = [heading(state, surface, how_far(state)), *why_it_ends(state, surface)]
    wanted = f"only names with '{view.wanted}'" if view.wanted and not view.is_typing else beside.note
    top.append(Text(in_words(wanted, surface.columns), WAITS))
    chosen = (
        chosen_place(view.chosen.get(Screen.RUN, ""), [row.name for row in rows]) if surface.has_keys else -1
    )
    head, lines = job_table(rows, surface, chosen)
    below = event_lines(state, surface, _MOST_EVENTS)
    below = [Text(""), *below] if below else []
    if surface.rows is None:
        return filled_up([*top, head, *lines], last_line(view, beside.keys, surface), surface)
    room = surface.rows - len(top) - 1 - int(surface.has_keys)
    if len(lines) + len(below) > room:
        below = below[:3] if room > 12 else []
    shown = viewport(lines, max(chosen, 0), max(room - len(below), 1))
    return filled_up([*top, head, *shown, *below], last_line(view, beside.keys, surface), surface)


def how_far(state: RunState) -> str:
    """Say how many jobs are over, and what became of those that did not pass."""
    over = [job for job in state.jobs() if job.is_over]
    total = state.started.jobs if state.started is not None and state.started.jobs is not None else len(over)
    told = Counter("failed" if job.state in _FAILED else str(job.state) for job in over)
    others = [f"{whole(told[word])} {word}" for word in ("failed", "cancelled", "skipped") if told[word]]
    return ", ".join([f"{whole(len(over))} of {whole(total)} done", *others])


def job_rows(
    state: RunState, waiting: Mapping[str, Sequence[str]], now: float, *, wanted: str = ""
) -> list[ShownJob]:
    """Return the jobs: first those that run, the longest first; then those that wait; then what ended last."""
    jobs = [job for job in state.jobs() if wanted.casefold() in job.name.casefold()]
    known = {job.name for job in jobs}
    running = sorted((job for job in jobs if not job.is_over), key=lambda job: job.began or job.since)
    over = sorted((job for job in jobs if job.is_over), key=lambda job: (not _is_bad(job), -job.since))
    waits = [
        ShownJob(name, WAITING, ASIDE, None, f"needs {', '.join(needs)}" if needs else "a free worker")
        for name, needs in waiting.items()
        if name not in known and wanted.casefold() in name.casefold()
    ]
    last = state.told if state.phase.is_over else now
    gone = state.phase is RunPhase.KILLED
    return [*(_row(job, last, is_gone=gone) for job in running), *waits, *(_row(job, now) for job in over)]


def _is_bad(job: WatchedJob) -> bool:
    return job.state in _FAILED


def _row(job: WatchedJob, now: float, *, is_gone: bool = False) -> ShownJob:
    seconds = job.line.seconds if job.is_over else max(now - (job.began or job.since), 0.0)
    what = "" if job.state is JobState.PASSED else job.reason
    what = _at_work(job, now) if job.state is JobState.RUNNING else what
    attempt = f"attempt {job.attempts}: " if job.attempts > 1 and not job.is_over else ""
    state = GONE if is_gone else str(job.state).replace("_", " ")
    has_run = not job.is_over or job.began is not None
    return ShownJob(job.name, state, JOB_STYLES[job.state], seconds if has_run else None, f"{attempt}{what}")


def _at_work(job: WatchedJob, now: float) -> str:
    if not job.line.background:
        return job.step or ""
    if job.ready_since is None:
        return f"background, not ready: {job.step or ''}".removesuffix(": ")
    return f"background, ready for {time_taken(max(now - job.ready_since, 0.0))}"


def job_table(rows: Sequence[ShownJob], surface: Surface, chosen: int = -1) -> tuple[Text, list[Text]]:
    """Lay jobs out below their titles."""
    shown = [
        [
            Text(f"{'▸ ' if place == chosen else '  '}{visible(row.name)}"),
            Text(row.state, row.style),
            Text("" if row.seconds is None else time_taken(row.seconds)),
            Text(visible(row.what)),
        ]
        for place, row in enumerate(rows)
    ]
    return beside_each_other(shown, _TITLES, "llrl", surface.columns, ("FOR", "STATE"))
