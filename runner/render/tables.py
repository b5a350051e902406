"""Tables of text that lose nothing on a narrow terminal: they change their form, and no name or number is cut.

    rows ──► fit? ──────────────────────► straight columns
             └── but for the last one? ─► the same, its words on several lines
                 └── not even then? ────► a block for each row, a line for each of its cells

Where nobody says how much room there is, as in a pipe, each row is one line: for `grep` and `awk`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from typing import TextIO

from runner.text import cells, columns, pad, visible

_GAP = "  "
_LEAST_LAST = 24
"""Cells that the last column needs to be read when its words are on several lines."""


def width_of(stream: TextIO) -> int | None:
    """Return how many cells a line of a terminal has; None of what is no terminal."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def table(rows: Sequence[Sequence[str]], width: int | None, *, named_by: int = 1) -> list[str]:
    """
    Lay out rows of equal length, the first of them a heading, as lines of at most `width` cells where words allow.

    The first `named_by` cells of a row say which it is.
    """
    straight = columns(rows, gap=_GAP)
    if width is None or max(map(cells, straight)) <= width:
        return straight
    shown = [[visible(cell) for cell in row] for row in rows]
    before = sum(max(map(cells, column)) + len(_GAP) for column in list(zip(*shown, strict=True))[:-1])
    if width - before >= _LEAST_LAST:
        return [line for row in columns(rows, gap=_GAP) for line in _hanging(row, before, width)]
    heading, *others = shown
    return [line for row in others for line in _block(heading, row, width, named_by)]


def wrapped(text: str, width: int, lead: str = "") -> list[str]:
    """Return a text behind `lead` as lines of at most `width` cells, broken at spaces; a word is never broken."""
    first, *others = text.split(" ")
    lines, line = [], lead + first
    for word in others:
        joined = f"{line} {word}"
        if cells(joined) > width:
            lines.append(line.rstrip())
            joined = " " * cells(lead) + word
        line = joined
    return [*lines, line.rstrip()]


def _hanging(line: str, before: int, width: int) -> Iterator[str]:
    """Yield a line of a table with what is in its last column on as many lines as it needs."""
    lead, taken = "", 0
    for char in line:
        if taken >= before:
            break
        lead, taken = lead + char, taken + cells(char)
    yield from wrapped(line[len(lead) :], width, lead)


def _block(heading: Sequence[str], row: Sequence[str], width: int, named_by: int) -> Iterator[str]:
    """Yield what a row is named by, and below it a line for each other cell that says anything."""
    name = max(map(cells, heading[named_by:]))
    yield from wrapped(_GAP.join(row[:named_by]), width)
    for word, cell in zip(heading[named_by:], row[named_by:], strict=True):
        if cell not in ("", "-"):
            lead = f"{_GAP}{pad(word, name)}{_GAP}"
            yield from wrapped(cell, width, lead)
