"""The live view: what a terminal shows while others print to it. Its lines are those of `mprun top`."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
import tty
from collections.abc import Iterator

import pytest
from watched_runs import progress, run_started

from runner.events.base import Event
from runner.render.progress import LEAST_ROWS, Footer, ProgressObserver, paint, release, reserve

STARTED = run_started(["chef", "食客"], ["steamer"])


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


def snapshot(seconds: float) -> Event:
    return progress(STARTED, seconds).stamped(seconds, "r1")


def test_on_a_terminal_the_rows_are_reserved_once_and_again_after_a_resize(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    resize(theirs, 80, 24)
    observer = ProgressObserver(theirs, colors=False, clock=lambda: 2.0)

    observer.observe(STARTED.stamped(0.0, "r1"))
    before = shown_by(ours)
    observer.observe(snapshot(1.0))
    reserving = shown_by(ours)
    observer.observe(snapshot(2.0))
    drawing = shown_by(ours)
    resize(theirs, 70, 30)
    observer.observe(snapshot(2.0))
    resized = shown_by(ours)
    observer.close()
    observer.close()

    assert before == ""
    assert "\x1b[1;19r" in reserving
    assert "r" not in re.findall(r"\x1b\[[\d;]*([a-zA-Z])", drawing)
    assert "00:00:02" in drawing
    assert "\x1b[1;25r" in resized
    assert shown_by(ours) == release(70)


def test_the_clock_goes_on_while_nothing_happens(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    resize(theirs, 80, 24)
    now = [1.0]
    observer = ProgressObserver(theirs, colors=False, clock=lambda: now[0])
    observer.observe(STARTED.stamped(0.0, "r1"))
    nothing_yet = observer.tick()
    observer.observe(snapshot(1.0))
    shown_by(ours)
    now[0] = 1.5
    soon = observer.tick(), shown_by(ours)
    now[0] = 62.0
    later = observer.tick(), shown_by(ours)
    observer.close()

    assert nothing_yet is None
    assert (pytest.approx(0.5), "") == soon
    assert 1.0 == later[0]
    assert "shop  starting 00:01:02" in later[1]


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
