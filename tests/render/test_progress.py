"""The live view: its lines as text, and what a terminal shows while others print to it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
import tty
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from runner.events.base import Event
from runner.events.run import RunProgress, RunStarted
from runner.render.progress import (
    LEAST_ROWS,
    Footer,
    ProgressModel,
    ProgressObserver,
    bar,
    paint,
    release,
    render_progress,
    reserve,
)

STARTED = RunStarted(
    workflow="baozi",
    file="baozi.yaml",
    transport="leased",
    pid=1,
    stages=[
        {"name": "chef", "role": "producer", "workers": 3, "daemon": False, "from": None, "to": "steamer"},
        {"name": "食客", "role": "consumer", "workers": 2, "daemon": False, "from": "steamer", "to": None},
    ],
    queues=[{"name": "steamer", "maxsize": 10}],
).stamped(0.0, "r1")
NO_BYTES = {"max_bytes": None, "bytes": 0}


def snapshot(
    elapsed: float, sent: int, done: int = 0, *, read: tuple[int, int] | None = None, **eater: Any
) -> RunProgress:
    counters = {
        "received": 0,
        "sent": 0,
        "done": 0,
        "failed": 0,
        "retried": 0,
        "busy": 0.0,
        "starved": 0.0,
        "blocked": 0.0,
        "read": None,
        "to_read": None,
    }
    chef = counters | {"name": "chef", "workers": 3, "alive": 3, "sent": sent, "busy": 1.5 * elapsed}
    if read is not None:
        chef |= {"read": read[0], "to_read": read[1]}
    eats = (
        counters
        | {"name": "食客", "workers": 2, "alive": 2, "received": done, "done": done, "busy": 2.0 * elapsed}
        | eater
    )
    queue = {
        "name": "steamer",
        "maxsize": 10,
        "put": sent,
        "done": done,
        "size": min(sent - done, 10),
    } | NO_BYTES
    return RunProgress(elapsed=elapsed, stages=[chef, eats], queues=[queue]).stamped(0.0, "r1")


def model(*snapshots: RunProgress) -> ProgressModel:
    made = ProgressModel()
    made.start(STARTED)
    for each in snapshots:
        made.add(each)
    return made


def test_the_view_says_for_each_stage_and_queue_what_it_does_now() -> None:
    lines = render_progress(model(snapshot(1.0, 4, 2), snapshot(3.0, 14, 6, failed=1)), 100, 12, colors=False)

    assert [line.rstrip() for line in lines] == [
        "baozi  00:03  running",
        "chef        3/3  ██████······  50% busy   0 in  14 out  5.0/s",
        "食客        2/2  ████████████ 100% busy   6 in   0 out  2.0/s  1 failed",
        "→ steamer  8/10  █████████▋··  80% full  14 in   6 out",
    ]


def test_a_source_that_knows_its_end_shows_how_far_it_is_and_how_long_the_rest_will_take() -> None:
    lines = render_progress(model(snapshot(30.0, 4, read=(1, 4))), 100, 12, colors=False)

    assert "25%, 1m30s left" in lines[1]


def test_a_queue_that_counts_bytes_is_as_full_as_the_nearer_of_its_bounds() -> None:
    heavy = snapshot(1.0, 4, 3)
    heavy.queues[0] |= {"max_bytes": 1 << 20, "bytes": 3 << 18}

    lines = render_progress(model(heavy), 100, 12, colors=False)

    assert "→ steamer  1/10, 768KiB/1MiB  █████████···  75% full  4 in  3 out" == lines[-1].rstrip()


def test_a_stage_that_was_scaled_shows_how_many_workers_it_should_have_now() -> None:
    lines = render_progress(model(snapshot(1.0, 4, 3, workers=5)), 100, 12, colors=False)

    assert "食客        2/5" == lines[2][:14].rstrip()


def test_rates_are_of_the_last_seconds_not_of_the_whole_run() -> None:
    """A stage that has stalled must show it."""
    stalled = [snapshot(float(second), 1000) for second in range(10, 20)]

    lines = model(snapshot(0.0, 0), *stalled).stage_lines()

    assert [line.rate for line in lines] == [0.0, 0.0]


def test_old_snapshots_are_forgotten() -> None:
    made = model(*(snapshot(quarter / 4, quarter) for quarter in range(1000)))

    assert len(made.snapshots) <= 14


@pytest.mark.parametrize("columns", [20, 40, 55, 71, 72, 200])
@pytest.mark.parametrize("colors", [True, False])
def test_no_line_is_wider_than_the_terminal(columns: int, colors: bool) -> None:
    lines = render_progress(
        model(snapshot(1.0, 4, 2), snapshot(3.0, 10**9, 6, failed=1)), columns, 12, colors=colors
    )

    assert max(cell_len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in lines) <= columns
    assert any("\x1b" in line for line in lines) is colors


@pytest.mark.parametrize("columns", [46, 60, 80, 100])
def test_names_are_cut_and_no_number_is(columns: int) -> None:
    long = [snapshot(at, 1_894_000 * int(at), 1_892_000 * int(at), failed=1892) for at in (1.0, 3.0)]
    for each in long:
        each.stages[:] = [
            stage | {"name": f"a-stage-with-a-long-name-{stage['name']}"} for stage in each.stages
        ]

    lines = [line.rstrip() for line in render_progress(model(*long), columns, 12, colors=False)]

    assert max(map(cell_len, lines)) <= columns
    assert all(
        line.count("…") == ("long" not in line and number in (1, 2)) for number, line in enumerate(lines)
    )
    assert lines[1].startswith("a-sta") and lines[2].split("…")[1].partition(" ")[0].endswith("食客")


def test_stages_that_do_not_fit_are_counted() -> None:
    many = snapshot(1.0, 1)
    many.stages[:] = [many.stages[0] | {"name": f"stage-{number}"} for number in range(30)]

    lines = render_progress(model(many), 80, 8, colors=False)

    assert len(lines) == 8
    assert lines[-1] == "… and 25 more"


def test_a_run_of_which_nothing_is_known_yet_has_a_heading_alone() -> None:
    nothing = RunProgress(elapsed=1.0, stages=[], queues=[]).stamped(0.0, "r1")

    assert ["baozi  00:01  running"] == [
        line.rstrip() for line in render_progress(model(nothing), 80, 12, colors=False)
    ]


def test_a_queue_without_limit_has_no_fill() -> None:
    endless = snapshot(1.0, 4)
    endless.queues[0]["maxsize"] = None

    assert "4/∞" in render_progress(model(endless), 100, 12, colors=False)[-1]


@given(share=st.floats(allow_nan=False), width=st.integers(1, 40))
def test_a_bar_has_its_width_whatever_the_share(share: float, width: int) -> None:
    assert len(bar(share, width)) == width


class Screen:
    """As much of a terminal as the view uses: a scroll region, a saved cursor, wiping, wrapping."""

    def __init__(self, columns: int = 40, rows: int = 12) -> None:
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0
        self.saved = (0, 0)
        self.bottom = rows - 1

    def feed(self, text: str) -> None:
        for code, final, single, plain in re.findall(
            r"\x1b\[([\d;?]*)([A-Za-z])|\x1b([78D])|(.)", text, re.S
        ):
            if final:
                self._control(code, final)
            elif single:
                self._escape(single)
            else:
                self._put(plain)

    def _control(self, code: str, final: str) -> None:
        numbers = [int(number) for number in code.split(";") if number]
        if final == "r":
            self.bottom, self.row, self.column = (numbers[1] if numbers else self.rows) - 1, 0, 0
        elif final == "A":
            self.row = max(self.row - numbers[0], 0)
        elif final == "H":
            self.row, self.column = numbers[0] - 1, numbers[1] - 1
        elif final == "K":
            self.cells[self.row] = [" "] * self.columns
        elif final == "J":
            self.cells[self.row][self.column :] = [" "] * (self.columns - self.column)
            self.cells[self.row + 1 :] = [[" "] * self.columns for _ in self.cells[self.row + 1 :]]

    def _escape(self, single: str) -> None:
        if single == "7":
            self.saved = (self.row, self.column)
        elif single == "8":
            self.row, self.column = self.saved
        else:
            self._index()

    def _index(self) -> None:
        if self.row == self.bottom:
            del self.cells[0]
            self.cells.insert(self.bottom, [" "] * self.columns)
        else:
            self.row += 1

    def _put(self, plain: str) -> None:
        if plain == "\n":
            self._index()
            self.column = 0
        elif plain == "\r":
            self.column = 0
        else:
            if self.column == self.columns:
                self._index()
                self.column = 0
            self.cells[self.row][self.column] = plain
            self.column += 1

    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.cells]


@pytest.mark.parametrize("printed", [0, 3, 11, 40])
def test_what_handlers_print_scrolls_above_the_view(printed: int) -> None:
    screen = Screen()
    screen.feed("".join(f"before {number}\n" for number in range(printed)))

    screen.feed(reserve(2, 12) + paint(["VIEW", "BAR"], 12))
    screen.feed("".join(f"line {number}\n" for number in range(30)))
    screen.feed(paint(["VIEW", "BAR again"], 12))

    assert screen.lines()[-2:] == ["VIEW", "BAR again"]
    assert screen.lines()[:10] == [f"line {number}" for number in range(21, 30)] + [""]


def test_a_line_that_a_handler_has_not_finished_goes_on_where_it_was() -> None:
    screen = Screen()

    screen.feed("\n" * 11 + "half a ")
    screen.feed(reserve(2, 12) + paint(["VIEW", "BAR"], 12))
    screen.feed("line")

    assert screen.lines()[9:] == ["half a line", "VIEW", "BAR"]


@pytest.mark.parametrize("unfinished", ["", "x", "half a line", "x" * 40])
def test_the_end_gives_the_rows_back_and_leaves_the_cursor_at_the_start_of_a_line(unfinished: str) -> None:
    screen = Screen()
    screen.feed(f"done\n{unfinished}" + reserve(2, 12) + paint(["VIEW", "BAR"], 12))

    screen.feed(release(40))
    screen.feed("$")

    expected = ["done", unfinished, "$"] if unfinished else ["done", "$"]
    assert [line for line in screen.lines() if line] == expected
    assert screen.bottom == 11


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def resize(fd: int, columns: int, rows: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def shown_by(fd: int) -> str:
    try:
        return os.read(fd, 65536).decode()
    except BlockingIOError:
        return ""


def progress_events() -> list[Event]:
    return [STARTED, *(snapshot(second, 3) for second in (1.0, 2.0))]


def test_on_a_terminal_the_rows_are_reserved_once_and_again_after_a_resize(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    resize(theirs, 80, 24)
    observer = ProgressObserver(theirs, colors=False)
    started, first, second = progress_events()

    observer.observe(started)
    before = shown_by(ours)
    observer.observe(first)
    reserving = shown_by(ours)
    observer.observe(second)
    drawing = shown_by(ours)
    resize(theirs, 70, 30)
    observer.observe(second)
    resized = shown_by(ours)
    observer.close()
    observer.close()

    assert before == ""
    assert "\x1b[1;20r" in reserving
    assert "r" not in re.findall(r"\x1b\[[\d;]*([a-zA-Z])", drawing)
    assert "00:02" in drawing
    assert "\x1b[1;26r" in resized
    assert shown_by(ours) == release(70)


def test_a_low_terminal_has_no_view_and_one_that_becomes_low_loses_it(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    footer = Footer(theirs)

    resize(theirs, 80, LEAST_ROWS - 1)
    footer.draw(lambda _columns, _most: ["VIEW"])
    never = shown_by(ours)
    resize(theirs, 80, LEAST_ROWS)
    footer.draw(lambda _columns, _most: ["VIEW"])
    drawn = shown_by(ours)
    resize(theirs, 80, LEAST_ROWS - 1)
    footer.draw(lambda _columns, _most: ["VIEW"])

    assert never == ""
    assert "VIEW" in drawn
    assert shown_by(ours) == release(80)
