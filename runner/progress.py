"""The live view: some rows at the bottom of the terminal, while handlers print above them.

    run.progress ──► Board (rates over the last seconds) ──► lines of text ──► Footer ──► the last rows

Handlers write to the same terminal from processes of their own, so the cursor must be theirs between writes.
The last rows are taken out of the scroll region, as package managers do, and each drawing is one write that
saves the cursor and puts it back. rich renders the lines; its own Live would fight for the cursor.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runner.events import Event
from runner.jobs.telling import Said, Tone
from runner.units import format_size

LEAST_ROWS = 12
"""A terminal with fewer has no room for a view beside what the handlers print."""
RATE_WINDOW = 3.0
"""Seconds that rates and busy shares are taken over: long enough to be read, short enough to be now."""
_BAR_WIDTH = 12
_EIGHTHS = " ▏▎▍▌▋▊▉█"

Snapshot = Mapping[str, Any]
"""The fields of one `run.progress`."""


@dataclass(slots=True)
class Board:
    """What the view knows: the workflow, and the last few snapshots."""

    workflow: str = ""
    producers: frozenset[str] = frozenset()
    note: str = "running"
    snapshots: deque[Snapshot] = field(default_factory=deque)

    def start(self, fields: Mapping[str, Any]) -> None:
        """Take over what `run.started` says."""
        self.workflow = fields["workflow"]
        self.producers = frozenset(stage["name"] for stage in fields["stages"] if stage["role"] == "producer")

    def add(self, snapshot: Snapshot) -> None:
        """Take a snapshot and forget those that no rate needs any more."""
        self.snapshots.append(snapshot)
        while len(self.snapshots) > 2 and snapshot["elapsed"] - self.snapshots[1]["elapsed"] >= RATE_WINDOW:
            self.snapshots.popleft()

    def stage_lines(self) -> list[StageNow]:
        """Say what each stage does now."""
        new, old = self.snapshots[-1], self.snapshots[0]
        before = {stage["name"]: stage for stage in old["stages"]}
        seconds = new["elapsed"] - old["elapsed"]
        return [self._stage_now(stage, before.get(stage["name"], stage), seconds) for stage in new["stages"]]

    def _stage_now(self, stage: Snapshot, before: Snapshot, seconds: float) -> StageNow:
        counted = "sent" if stage["name"] in self.producers else "done"
        worker_seconds = max(stage["alive"], 1) * seconds
        return StageNow(
            name=stage["name"],
            alive=stage["alive"],
            workers=stage.get("workers", stage["alive"]),
            received=stage["received"],
            sent=stage["sent"],
            failed=stage["failed"],
            rate=(stage[counted] - before[counted]) / seconds if seconds > 0 else 0.0,
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
    rate: float
    busy: float


class ProgressObserver:
    """Draws the view on a terminal's descriptor. Writing may block: not for the supervisor's own process."""

    def __init__(self, fd: int, *, colors: bool = True) -> None:
        self._board = Board()
        self._footer = Footer(fd)
        self._colors = colors

    def observe(self, event: Event) -> None:
        """Draw at each `run.progress`; the first one reserves the rows, so a short run never flickers."""
        if event.name == "run.started":
            self._board.start(event.fields)
        elif event.name == "run.stopping":
            self._board.note = f"stopping: {event.fields['reason']}"
        elif event.name == "run.progress":
            self._board.add(event.fields)
            self._footer.draw(lambda columns, most: render(self._board, columns, most, colors=self._colors))

    def close(self) -> None:
        """Give the rows back and leave the cursor at the start of a line. May be called twice."""
        self._footer.close()


def render(board: Board, columns: int, most_rows: int, *, colors: bool = True) -> list[str]:
    """Return the lines of the view, none wider than `columns`; the last counts those that do not fit."""
    rows = [_stage_row(stage) for stage in board.stage_lines()]
    rows += [_queue_row(queue) for queue in board.snapshots[-1]["queues"]]
    shown = rows if len(rows) < most_rows else rows[: most_rows - 2]
    table = Table.grid(padding=(0, 2, 0, 0))
    for justify in ("left", "right", "left", "right", "right", "right", "right")[: _columns_in(columns)]:
        table.add_column(justify=justify, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
    for row in shown:
        table.add_row(*row[: _columns_in(columns)])
    lines = _as_lines([_heading(board), table], columns, colors)
    return lines if shown is rows else [*lines, f"… and {len(rows) - len(shown)} more"]


def draw_said(said: Sequence[Said], columns: int, *, colors: bool) -> list[str]:
    """Return lines of our own as they are drawn, none wider than `columns`."""
    styles = {Tone.HEADING: "bold", Tone.ASIDE: "dim"}
    return _as_lines([Text(each.text, style=styles.get(each.tone, "")) for each in said], columns, colors)


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


def _heading(board: Board) -> Text:
    elapsed = int(board.snapshots[-1]["elapsed"])
    clock = f"{elapsed // 3600}:{elapsed // 60 % 60:02}:{elapsed % 60:02}".removeprefix("0:")
    return Text.assemble((board.workflow, "bold"), f"  {clock}  ", (board.note, "dim"))


def _columns_in(columns: int) -> int:
    return 7 if columns >= 72 else 5 if columns >= 50 else 3


def _stage_row(stage: StageNow) -> tuple[Text, ...]:
    all_there = stage.alive >= stage.workers
    return (
        Text(stage.name, style="bold"),
        Text(f"{stage.alive}/{stage.workers}", style="" if all_there else "dim"),
        Text.assemble((bar(stage.busy), "green"), f" {stage.busy:4.0%} busy"),
        Text(f"{stage.received:,} in"),
        Text(f"{stage.sent:,} out"),
        Text(f"{stage.rate:,.1f}/s"),
        Text(f"{stage.failed:,} failed", style="red") if stage.failed else Text(""),
    )


def _queue_row(queue: Snapshot) -> tuple[Text, ...]:
    room, most = queue["maxsize"], queue.get("max_bytes")
    filled = _share(queue["size"], room) if room else 0.0
    taken = f"{queue['size']}/{'∞' if room is None else room}"
    if most is not None:  # whichever bound is nearer is the one that holds writers back
        filled = max(filled, _share(queue["bytes"], most))
        taken += f", {format_size(queue['bytes'])}/{format_size(most)}"
    return (
        Text(f"→ {queue['name']}", style="cyan"),
        Text(taken),
        Text.assemble((bar(filled), "yellow" if filled >= 0.9 else "cyan"), f" {filled:4.0%} full"),
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
