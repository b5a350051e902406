"""The live view: some rows at the bottom of the terminal, while handlers print above them.

    events ──► ProgressModel · JobProgressModel ──► lines of text ──► Footer ──► the last rows

For stages, drawn at each `run.progress`: what each stage and queue does, with rates over the last seconds. For jobs, a
few times a second: which run now, since when and at which step.

    ci  0:12  5 of 8 done, 1 failed
      test (3.11)  8.2s  pytest
      docs  1.0s  build the pages

Handlers write to the same terminal from processes of their own, so the cursor must be theirs between writes.
The last rows are taken out of the scroll region, as package managers do, and each drawing is one write that
saves the cursor and puts it back. rich renders the lines; its own Live would fight for the cursor.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import field
from io import StringIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runner.events.base import Event
from runner.events.jobs import (
    JobCancelled,
    JobFinished,
    JobKept,
    JobRetried,
    JobSkipped,
    JobStarted,
    StepStarted,
)
from runner.events.run import QueueProgress, RunProgress, RunStarted, RunStopping, StageCounts
from runner.facts import dataclass
from runner.render.lines import Emphasis, OutputLine
from runner.spec.model import JobResult
from runner.text import and_more, cut_middle, visible
from runner.units import format_size, progress_label, rough_duration

LEAST_ROWS = 12
"""A terminal with fewer has no room for a view beside what the handlers print."""
RATE_WINDOW = 3.0
"""Seconds that rates and busy shares are taken over: long enough to be read, short enough to be now."""
_BAR_WIDTH = 12
_LAYOUTS = (
    (_BAR_WIDTH, (0, 1, 2, 3, 4, 5, 6)),
    (6, (0, 1, 2, 3, 4, 5, 6)),
    (6, (0, 1, 2, 3, 5, 6)),
    (0, (0, 1, 2, 3, 5, 6)),
    (0, (0, 1, 2, 5, 6)),
    (0, (0, 1, 2)),
)
"""The width of bars, and which columns are shown: the narrower the terminal, the fewer. Names are cut before any number
is, and of these none."""
_NAME = 12
"""Of a name as much is shown as this at the least."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(slots=True)
class ProgressModel:
    """What the view knows: the workflow, and the last few snapshots."""

    workflow: str = ""
    producers: frozenset[str] = frozenset()
    note: str = "running"
    snapshots: deque[RunProgress] = field(default_factory=deque)

    def start(self, event: RunStarted) -> None:
        """Take over what there is to show."""
        self.workflow = event.workflow
        self.producers = frozenset(stage["name"] for stage in event.stages if stage["role"] == "producer")

    def add(self, snapshot: RunProgress) -> None:
        """Take a snapshot and forget those that no rate needs any more."""
        self.snapshots.append(snapshot)
        while len(self.snapshots) > 2 and snapshot.elapsed - self.snapshots[1].elapsed >= RATE_WINDOW:
            self.snapshots.popleft()

    def stage_lines(self) -> list[StageNow]:
        """Say what each stage does now."""
        new, old = self.snapshots[-1], self.snapshots[0]
        before = {stage["name"]: stage for stage in old.stages}
        seconds = new.elapsed - old.elapsed
        return [self._stage_now(stage, before.get(stage["name"], stage), seconds) for stage in new.stages]

    def _stage_now(self, stage: StageCounts, before: StageCounts, seconds: float) -> StageNow:
        is_producer = stage["name"] in self.producers
        counted = stage["sent"] - before["sent"] if is_producer else stage["done"] - before["done"]
        worker_seconds = max(stage["alive"], 1) * seconds
        return StageNow(
            name=stage["name"],
            alive=stage["alive"],
            workers=stage["workers"],
            received=stage["received"],
            sent=stage["sent"],
            failed=stage["failed"],
            retried=stage["retried"],
            rate=counted / seconds if seconds > 0 else 0.0,
            progress=progress_label(stage["read"], stage["to_read"], self.snapshots[-1].elapsed),
            busy=_share(stage["busy"] - before["busy"], worker_seconds),
        )


@dataclass(frozen=True, slots=True)
class StageNow:
    """One stage at this moment: `rate` in items per second, `busy` from 0 to 1."""

    name: str
    alive: int
    workers: int
    received: int
    sent: int
    failed: int
    retried: int
    rate: float
    busy: float
    progress: str = ""
    """How far a source has come, where it knows."""


class ProgressObserver:
    """Draws the view on a terminal's descriptor. Writing may block: not for the supervisor's own process."""

    def __init__(self, fd: int, *, colors: bool = True) -> None:
        self._model = ProgressModel()
        self._footer = Footer(fd)
        self._colors = colors

    def observe(self, event: Event) -> None:
        """Draw at each `run.progress`; the first one reserves the rows, so a short run never flickers."""
        match event:
            case RunStarted():
                self._model.start(event)
            case RunStopping(reason=reason):
                self._model.note = f"stopping: {visible(reason)}"
            case RunProgress():
                self._model.add(event)
                self._footer.draw(
                    lambda columns, most: render_progress(self._model, columns, most, colors=self._colors)
                )

    def close(self) -> None:
        """Give the rows back and leave the cursor at the start of a line. May be called twice."""
        self._footer.close()


def render_progress(model: ProgressModel, columns: int, most_rows: int, *, colors: bool = True) -> list[str]:
    """Return the lines of the view, none wider than `columns`; the last counts those that do not fit."""
    stages, queues = model.stage_lines(), model.snapshots[-1].queues
    left_out = len(stages) + len(queues) - (most_rows - 2)
    left_out = left_out if left_out > 1 else 0
    for width, places in _LAYOUTS:
        rows = [_stage_row(stage, width) for stage in stages] + [_queue_row(queue, width) for queue in queues]
        shown = [[row[place] for place in places] for row in rows[: len(rows) - left_out]]
        others = sum(max(each.cell_len for each in column) + 2 for column in [*zip(*shown, strict=True)][1:])
        if max((min(row[0].cell_len, _NAME) for row in shown), default=0) + others <= columns:
            break
    lines = _as_lines([_heading(model), _table(shown, places, columns - others)], columns, colors)
    return [*lines, f"… {and_more(left_out)}"] if left_out else lines


def _table(rows: Sequence[Sequence[Text]], places: Sequence[int], most: int) -> Table:
    """Lay out rows of the columns at these places; names have `most` cells."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for place in places:
        left = place in (0, 2)
        table.add_column(justify="left" if left else "right", no_wrap=True, overflow="ellipsis")
    for name, *others in rows:
        shown = Text(cut_middle(name.plain, max(1, most)), style=name.style)
        table.add_row(shown, *others)
    return table


def draw_lines(lines: Sequence[OutputLine], columns: int, *, colors: bool) -> list[str]:
    """Return lines of our own as they are drawn, none wider than `columns`."""
    styles = {Emphasis.HEADING: "bold", Emphasis.ASIDE: "dim"}
    return _as_lines(
        [Text(each.text, style=styles.get(each.emphasis, "")) for each in lines], columns, colors
    )


def _as_lines(parts: Sequence[Text | Table], columns: int, colors: bool) -> list[str]:
    console = Console(
        file=StringIO(),
        width=columns,
        force_terminal=True,
        color_system="standard" if colors else None,
        no_color=not colors,
        legacy_windows=False,
        _environ={},
    )
    with console.capture() as capture:
        for part in parts:
            console.print(part, no_wrap=True, overflow="ellipsis", crop=True)
    return capture.get().splitlines()


def _heading(model: ProgressModel) -> Text:
    clock = _clock(model.snapshots[-1].elapsed)
    return Text.assemble((model.workflow, "bold"), f"  {clock}  ", (model.note, "dim"))


def _clock(elapsed: float) -> str:
    minutes, seconds = divmod(int(elapsed), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}".removeprefix("0:")


def _stage_row(stage: StageNow, width: int) -> tuple[Text, ...]:
    all_there = stage.alive >= stage.workers
    return (
        Text(stage.name, style="bold"),
        Text(f"{stage.alive}/{stage.workers}", style="" if all_there else "dim"),
        Text.assemble((bar(stage.busy, width), "green"), f" {stage.busy:4.0%} busy"),
        Text(stage.progress or f"{stage.received:,} in"),
        Text(f"{stage.sent:,} out"),
        Text(f"{stage.rate:,.1f}/s"),
        _trouble(stage),
    )


def _trouble(stage: StageNow) -> Text:
    if stage.failed:
        return Text(f"{stage.failed:,} failed", style="red")
    return Text(f"{stage.retried:,} retried", style="yellow") if stage.retried else Text("")


def _queue_row(queue: QueueProgress, width: int) -> tuple[Text, ...]:
    room, most = queue["maxsize"], queue["max_bytes"]
    filled = _share(queue["size"], room) if room else 0.0
    taken = f"{queue['size']}/{'∞' if room is None else room}"
    if most is not None:  # whichever bound is nearer is the one that holds writers back
        filled = max(filled, _share(queue["bytes"], most))
        taken += f", {format_size(queue['bytes'])}/{format_size(most)}"
    return (
        Text(f"→ {queue['name']}", style="cyan"),
        Text(taken),
        Text.assemble((bar(filled, width), "yellow" if filled >= 0.9 else "cyan"), f" {filled:4.0%} full"),
        Text(f"{queue['put']:,} in"),
        Text(f"{queue['done']:,} out"),
        Text(""),
        Text(""),
    )


def bar(share: float, width: int = _BAR_WIDTH) -> str:
    """Return `share`, from 0 to 1, as a bar of `width` cells with a light ground."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, part = divmod(eighths, 8)
    drawn = "█" * full + (_EIGHTHS[part] if part else "")
    return drawn + "·" * (width - len(drawn))


def _share(part: float, whole: float) -> float:
    return min(max(part / whole, 0.0), 1.0) if whole > 0 else 0.0


# The terminal. What follows knows nothing of runs.


class Footer:
    """The last rows of a terminal, kept out of its scroll region while in use."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._held: tuple[int, int, int] | None = None  # columns, rows, and how many of the rows are ours

    def draw(self, lines_for: Callable[[int, int], list[str]]) -> None:
        """Draw what `lines_for(columns, most_rows)` returns, in one write. Looks at the size each time."""
        columns, rows = os.get_terminal_size(self._fd)
        if rows < LEAST_ROWS:
            self.close()
            return
        lines = lines_for(columns - 1, rows // 2)
        wanted = (columns, rows, len(lines))
        text = paint(lines, rows) if wanted == self._held else reserve(len(lines), rows) + paint(lines, rows)
        self._held = wanted
        self._write(text)

    def close(self) -> None:
        """Give the rows back, if any are held."""
        if self._held is not None:
            columns, self._held = self._held[0], None
            self._write(release(columns))

    def _write(self, text: str) -> None:
        rest = text.encode("utf-8", "backslashreplace")
        while rest:
            rest = rest[os.write(self._fd, rest) :]


SAVE, RESTORE = "\x1b7", "\x1b8"
_WHOLE_SCREEN = f"{SAVE}\x1b[r{RESTORE}"  # setting the region moves the cursor home
_CLEAR_BELOW = "\x1b[J"


def reserve(height: int, rows: int) -> str:
    """Return what takes the last `height` of `rows` rows out of the scroll region.

    Below the cursor there is only what we drew ourselves, wherever a resize has left it, so it is wiped.
    The text above is pushed up by moving down: index, unlike newline, keeps the column of an unfinished line.
    """
    push = "\x1bD" * height + f"\x1b[{height}A"
    return f"{_WHOLE_SCREEN}{_CLEAR_BELOW}{push}{SAVE}\x1b[1;{rows - height}r{RESTORE}"


def paint(lines: Sequence[str], rows: int) -> str:
    """Return what draws `lines` in the last of `rows` rows and puts the cursor back."""
    first = rows - len(lines) + 1
    drawn = "".join(f"\x1b[{first + i};1H\x1b[0m\x1b[2K{line}" for i, line in enumerate(lines))
    return f"{SAVE}{drawn}{RESTORE}"


def release(columns: int) -> str:
    """Return what gives all rows back, wipes ours and leaves the cursor at the start of a line.

    A line of blanks, as zsh's prompt does: it wraps if the cursor was inside a line, else it stays.
    """
    return f"{_WHOLE_SCREEN}{_CLEAR_BELOW}{' ' * columns}\r\x1b[J"


_TOLD = {
    JobResult.FAILED: "failed",
    JobResult.TIMED_OUT: "failed",
    JobResult.CANCELLED: "cancelled",
    JobResult.SKIPPED: "skipped",
}


@dataclass(slots=True)
class _Running:
    began: float
    step: str = ""


@dataclass(slots=True)
class JobProgressModel:
    """What the view knows. Times are seconds since the epoch, as in events."""

    workflow: str = ""
    total: int = 0
    began: float = 0.0
    note: str = ""
    running: dict[str, _Running] = field(default_factory=dict)
    ended: dict[str, JobResult] = field(default_factory=dict)
    """What became of each job, for those that are over."""

    def observe(self, event: Event) -> None:
        """Take note of one event."""
        match event:
            case RunStarted():
                self.workflow, self.total, self.began = event.workflow, event.jobs or 0, event.at
            case JobStarted(job=job):
                self.running[job] = _Running(event.at)
            case StepStarted(job=job, name=name) if job in self.running:
                self.running[job].step = name
            case JobRetried(job=job):
                self.running.pop(job, None)
            case JobFinished(job=job, result=result) | JobKept(job=job, result=result):
                self._end(job, result)
            case JobSkipped(job=job):
                self._end(job, JobResult.SKIPPED)
            case JobCancelled(job=job) if job not in self.running:
                self._end(job, JobResult.CANCELLED)
            case RunStopping(reason=reason):
                self.note = f"stopping: {reason}"

    def lines(self, now: float, most: int) -> list[OutputLine]:
        """Return the view, in at most `most` lines; what has run longest comes first, and the rest is counted."""
        oldest = sorted(self.running.items(), key=lambda each: each[1].began)
        shown = oldest if len(oldest) < most else oldest[: most - 2]
        rows = [OutputLine(self._row(job, running, now)) for job, running in shown]
        more = and_more(len(oldest) - len(shown))
        return [self._heading(now), *rows, *([OutputLine(f"  {more}", Emphasis.ASIDE)] if more else [])]

    def _heading(self, now: float) -> OutputLine:
        counts = Counter(_TOLD[result] for result in self.ended.values() if result in _TOLD)
        parts = [
            f"{len(self.ended)} of {self.total} done",
            *(f"{count} {what}" for what, count in counts.items()),
        ]
        note = f"  {visible(self.note)}" if self.note else ""
        return OutputLine(
            f"{visible(self.workflow)}  {_clock(max(now - self.began, 0))}  {', '.join(parts)}{note}",
            Emphasis.HEADING,
        )

    def _row(self, job: str, running: _Running, now: float) -> str:
        step = f"  {visible(running.step)}" if running.step else ""
        return f"  {visible(job)}  {rough_duration(max(now - running.began, 0))}{step}"

    def _end(self, job: str, result: JobResult) -> None:
        self.running.pop(job, None)
        self.ended[job] = result


NO_FLICKER = 0.5
"""Seconds that a run must have lasted to be worth a view."""
REDRAW = 0.25
MOST_ROWS = 8


class JobProgressObserver:
    """Draws the view on a terminal's descriptor. Writing may block: not for the supervisor's own process."""

    def __init__(self, fd: int, *, colors: bool = True, clock: Callable[[], float] = time.time) -> None:
        self._model = JobProgressModel()
        self._footer = Footer(fd)
        self._colors = colors
        self._clock = clock
        self._height = 0
        self._next = 0.0
        self._trouble: OSError | None = None

    def observe(self, event: Event) -> None:
        """Take note; what is seen changes at the next tick."""
        if self._trouble is not None:
            raise self._trouble
        self._model.observe(event)

    def tick(self) -> float:
        """Draw if it is time; return the seconds until it is. The first is late, so that a short run never flickers."""
        now = self._clock()
        wait = max(self._next, self._model.began + NO_FLICKER) - now
        if wait > 0:
            return wait
        self._next = now + REDRAW
        self._draw(now)
        return REDRAW

    def close(self) -> None:
        """Give the rows back."""
        self._footer.close()

    def _draw(self, now: float) -> None:
        if self._trouble is None:
            try:
                self._footer.draw(lambda columns, most: self._lines(now, columns, most))
            except OSError as error:
                self._trouble = error

    def _lines(self, now: float, columns: int, most: int) -> list[str]:
        lines = self._model.lines(now, min(most, MOST_ROWS))
        self._height = max(self._height, len(lines))  # it only grows: text above that jumps can't be read
        blank = [OutputLine("")] * (self._height - len(lines))
        return draw_lines([*lines, *blank], columns, colors=self._colors)
