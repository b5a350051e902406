"""What screens are made of: lines of text that fit, bars, sparklines, numbers that are never cut. Pure.

shares ──► stacked_bar ─┐
values ──► sparkline ───┼──► Text ──► fitted ──► drawn(columns, colours, UTF-8 or not) ──► what a terminal is sent
words ───► in_words ────┘
"""

from __future__ import annotations

import locale
import math
from collections.abc import Iterable, Sequence
from io import StringIO
from itertools import pairwise

from rich.console import Console
from rich.control import Control
from rich.text import Text

from runner.text import cells, clusters, cut_middle, visible

GOOD, WAITS, BAD, ASIDE, HEADING, NAME = "green", "yellow", "red", "dim", "bold", "bold"
BUSY, BLOCKED, IDLE = "█", "▒", "·"
NEARLY_FULL = 0.9
"""Of its bound, from where on a queue holds its writers back or is about to."""
_SPARKS = "▁▂▃▄▅▆▇█"
_ASCII = str.maketrans(
    {
        **dict(zip("▁▂▃▄▅▆▇█", "_.,-=+*#", strict=True)),
        "▒": "=",
        "µ": "u",
        "·": ".",
        "↓": "v",
        "→": ">",
        "↑": "^",
        "▸": ">",
        "›": ">",
        "…": "~",
        "−": "-",
        "⏎": "$",
        "⎋": "<",
    }
)


def stacked_bar(busy: float, blocked: float, width: int) -> Text:
    """Return one bar of how time was spent: what is left of its `width` cells is idle."""
    first = _cells_of(busy, width)
    both = max(first, _cells_of(min(busy + blocked, 1.0), width))
    return Text.assemble(
        (BUSY * first, GOOD), (BLOCKED * (both - first), WAITS), (IDLE * (width - both), ASIDE)
    )


def fill_bar(share: float, width: int) -> Text:
    """Return how full something is, as a bar."""
    full = _cells_of(share, width)
    return Text.assemble(
        (BUSY * full, WAITS if share >= NEARLY_FULL else "cyan"), (IDLE * (width - full), ASIDE)
    )


def _cells_of(share: float, width: int) -> int:
    return round(min(max(share, 0.0), 1.0) * width)


def sparkline(values: Sequence[float]) -> str:
    """Return numbers from 0 as columns of a cell each; the highest is as high as a line."""
    most = max(values, default=0.0)
    if most <= 0:
        return _SPARKS[0] * len(values)
    return "".join(_SPARKS[min(math.ceil(value / most * 8), 8) - 1 if value > 0 else 0] for value in values)


def per_second(points: Sequence[tuple[float, float]], most: int, least_step: float = 1.0) -> list[float]:
    """
    Return what a counter has gained a second over the whole time, in at most `most` steps of equal length.

    `points` are its moments and values, in the order of time.
    """
    if len(points) < 2 or most < 1:
        return []
    begin, end = points[0][0], points[-1][0]
    steps = max(min(most, int((end - begin) / least_step)), 1)
    step = (end - begin) / steps
    if step <= 0:
        return []
    bounds, place = [], 0
    for number in range(steps + 1):
        until = begin + number * step + 1e-9
        while place + 1 < len(points) and points[place + 1][0] <= until:
            place += 1
        bounds.append(points[place][1])
    return [max(after - before, 0.0) / step for before, after in pairwise(bounds)]


def whole(number: int) -> str:
    """Return a count, whole."""
    return f"{number:,}"


def rate_text(often: float) -> str:
    """Return a rate; the part behind the point only where it says something."""
    return f"{often:,.1f}" if often < 9999.95 else f"{often:,.0f}"


def share_text(share: float) -> str:
    """Return a share; what is not all is never told as all."""
    return f"{min(math.floor(share * 100 + 0.5), 99 if share < 0.995 else 100)}%"


def clock_face(seconds: float) -> str:
    """Return how long it is since, as a clock has it."""
    minutes, rest = divmod(int(max(seconds, 0.0)), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def in_words(text: str, width: int) -> str:
    """Shorten a sentence to `width` cells between two words, so that no number is cut; `…` stands for the rest."""
    text = visible(text)
    if cells(text) <= width:
        return text
    kept = ""
    for word in text.split(" "):
        longer = f"{kept} {word}" if kept else word
        if cells(longer) + 2 > width:
            break
        kept = longer
    if kept:
        return f"{kept} …"
    first = text.split(" ")[0]
    return cut_middle(first, max(width, 1)) if not any(map(str.isdigit, first)) and width > 0 else ""


def wrapped_words(text: str, width: int, most: int) -> list[str]:
    """Return a sentence in at most `most` lines; the last one says by `…` that there was more."""
    lines: list[str] = []
    rest = visible(text).split(" ")
    while rest and len(lines) < most - 1:
        line = rest[0]
        taken = 1
        while taken < len(rest) and cells(f"{line} {rest[taken]}") <= width:
            line = f"{line} {rest[taken]}"
            taken += 1
        if cells(line) > width:
            break
        lines.append(line)
        rest = rest[taken:]
    return [*lines, in_words(" ".join(rest), width)] if rest else lines


def two_sides(left: Text, right: str, width: int) -> Text:
    """Put something at both ends of a line: what is right where there is room, as much of its parts as there is."""
    while right:
        room = width - left.cell_len - cells(right)
        if room >= 2:
            return Text.assemble(left, " " * room, right)
        right = right.rpartition(", ")[0]
    return left


def fitted(line: Text, width: int) -> Text:
    """Return a line that is no wider than `width`: the last resort, for what is narrower than any number."""
    if line.cell_len <= width:
        return line
    line = line.copy()
    kept = 0
    taken = 0
    for cluster in clusters(line.plain):
        taken += cells(cluster)
        if taken > width:
            break
        kept += len(cluster)
    before = line.plain[:kept]
    if kept < len(line.plain) and line.plain[kept].isdigit():  # no half of a number
        before = before.rstrip("0123456789,.")
    return line[: len(before)] if before else Text("")


def drawn(lines: Iterable[Text], columns: int, *, colors: bool = True, utf8: bool = True) -> list[str]:
    """Return lines as a terminal is sent them, none wider than `columns`; in ASCII where it knows nothing else."""
    console = Console(
        file=StringIO(),
        width=max(columns, 1),
        force_terminal=True,
        color_system="standard" if colors else None,
        no_color=not colors,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
        _environ={},
    )
    with console.capture() as capture:
        for line in lines:
            console.print(fitted(line, columns), no_wrap=True, overflow="crop", crop=True, soft_wrap=True)
    text = capture.get()
    return (text if utf8 else in_ascii(text)).split("\n")[:-1]


def beside_each_other(
    rows: Sequence[Sequence[Text]],
    titles: Sequence[str],
    right: str,
    width: int,
    leaving: Sequence[str] = (),
    *,
    gap: int = 2,
) -> tuple[Text, list[Text]]:
    """
    Lay rows out below titles; the first column is cut in its middle, the last one behind a word, no other ever.

    `right` has an `r` for each column that is aligned there. Columns leave in the order of `leaving` where the rows
    are too wide; a title alone may be cut.
    """
    kept = list(range(len(titles)))
    while True:
        widths = [max([cells(titles[n]), *(row[n].cell_len for row in rows)]) for n in kept]
        room = width - sum(inner + gap for inner in widths[1:-1]) - gap
        first = min(widths[0], max(room - min(widths[-1], 12), 8))
        gone = next((titles.index(title) for title in leaving if titles.index(title) in kept), None)
        if room >= first + min(widths[-1], 12) or gone is None:
            break
        kept.remove(gone)
    last = max(room - first, 0)

    def line(row: Sequence[Text]) -> Text:
        parts = []
        for place, n in enumerate(kept):
            cell = row[n]
            if place == 0:
                cell = Text(cut_middle(cell.plain, max(first, 1)), cell.style)
            elif n == kept[-1]:
                cell = Text(in_words(cell.plain, last), cell.style)
            wide = first if place == 0 else (cell.cell_len if n == kept[-1] else widths[place])
            fill = " " * max(wide - cell.cell_len, 0)
            parts.append(Text.assemble(fill, cell) if right[n] == "r" else Text.assemble(cell, fill))
        return Text(" " * gap).join(parts)

    return line([Text(title, HEADING) for title in titles]), [line(row) for row in rows]


ENTER_SCREEN = f"{Control.alt_screen(enable=True)}{Control.show_cursor(show=False)}"
LEAVE_SCREEN = f"{Control.show_cursor(show=True)}{Control.alt_screen(enable=False)}"
_AT_ONCE, _SHOWN = "\x1b[?2026h", "\x1b[?2026l"
_WIPE = "\x1b[0m\x1b[2K"


def frame(lines: Sequence[str]) -> str:
    """Return what shows lines that fill a screen, from the upper left corner on; terminals that can, do so at once."""
    # A line is wiped before it is written: behind its last cell a terminal would wipe that.
    shown = "\r\n".join(f"{_WIPE}{line}" for line in lines)
    return f"{_AT_ONCE}{Control.home()}{shown}{_SHOWN}"


def knows_utf8() -> bool:
    """Say whether the locale is one of UTF-8, so that a terminal can be taken to have all marks."""
    return locale.getencoding().lower().replace("-", "") == "utf8"


def in_ascii(text: str) -> str:
    """Return a text with marks that every terminal has, each as wide as what it stands for."""
    return text.translate(_ASCII)
