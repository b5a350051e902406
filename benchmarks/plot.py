"""The plot of a comparison: how many times quicker than by hand, and slow items on few and on many workers.

Results ──► Bars · Grid · Curve, one below the other ──► an SVG
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import svg
from contenders import BASE, FIFO, FLOOR, JOBLIB, JOINABLE, LEASED, MPIRE, POOL_1, POOL_8, PYPELN, RAY
from goals import P50, RATE, SECONDS, WALL_MORE, better
from rows import NOISE
from running import Result

WIDTH = 860.0
LEFT, RIGHT = 220.0, 76.0
STEP = 19.0
_TOP = 94.0
LOWEST = 0.1
"""Times of by hand: what is slower still stands at the edge."""
MARKS = {
    "leased": "#d9542b",
    "joinable": "#3b82c4",
    "fifo": "#3fa45b",
    "one": "#9a9a9a",
    "eight": "#6f7bb8",
    "joblib": "#c77cb5",
    "mpire": "#d8a23f",
    "pypeln": "#58b5c4",
    "ray": "#a8875e",
}
KINDS = {
    LEASED: "leased",
    JOINABLE: "joinable",
    FIFO: "fifo",
    POOL_1: "one",
    POOL_8: "eight",
    JOBLIB: "joblib",
    MPIRE: "mpire",
    PYPELN: "pypeln",
    RAY: "ray",
    FLOOR: "dim",
}
_NAP = re.compile(r"items of ([\d.]+) ms, (\d+) workers")
_MANY = 64
"""From so many workers on a row is part of the curve."""

_CEILINGS = (1, 2, 4, 6, 8, 10, 15, 20, 30, 60, 120, 300)
"""Of the axis of seconds; a run that takes longer than the last is given up."""

Cells = Mapping[tuple[int, float], Result]
"""Slow items, by workers and milliseconds."""


def write_plot(path: Path, results: Sequence[Result]) -> None:
    """Write the plot of what was measured."""
    path.write_text(draw(results), encoding="utf-8")


def draw(results: Sequence[Result]) -> str:
    """Return the plot as text."""
    slow = {
        (int(found[2]), float(found[1])): each for each in results if (found := _NAP.match(each.row.name))
    }
    few = {place: each for place, each in slow.items() if place[0] < _MANY}
    many = {place: each for place, each in slow.items() if place[0] >= _MANY}
    parts, y = list(_bars(results)), _bottom(results)
    parts += [*_grid(few, 20, y + 30), *_curve(many, WIDTH / 2 + 40, y + 30)] if slow else []
    return svg.page(WIDTH, y + (250 if slow else 0), "mprun compared", parts, MARKS)


# How many times quicker than by hand.


def ratios(result: Result) -> dict[str, float]:
    """How many times better than by hand each is, where that is what a row shows."""
    metric = result.row.metrics[0]
    base = result.figures.get(BASE, {}).get(metric.name)
    if base is None or metric not in (RATE, WALL_MORE, SECONDS, P50):
        return {}
    found = {
        name: better(metric, each[metric.name], base) for name, each in result.figures.items() if name != BASE
    }
    return {name: ratio for name, ratio in found.items() if ratio is not None}


def _with_ratios(results: Sequence[Result]) -> list[tuple[Result, dict[str, float]]]:
    return [(result, found) for result in results if (found := ratios(result))]


def _bottom(results: Sequence[Result]) -> float:
    return _TOP + STEP * len(_with_ratios(results)) + 10


def _bars(results: Sequence[Result]) -> Iterator[str]:
    rows = _with_ratios(results)
    highest = max([ratio for _, found in rows for ratio in found.values()], default=10.0)
    decades = math.ceil(math.log10(max(highest, 10.0)) - math.log10(LOWEST))

    def x(ratio: float) -> float:
        place = math.log10(max(ratio, LOWEST) / LOWEST) / decades
        return LEFT + (WIDTH - LEFT - RIGHT) * min(place, 1.0)

    yield svg.text(20, 22, "Times as quick as the script by hand (JoinableQueue)", bold=True)
    yield from _legend([name for name in KINDS if any(name in found for _, found in rows)])
    bottom = _bottom(results) - 8
    for power in range(decades + 1):
        at = x(LOWEST * 10**power)
        yield svg.line([(at, _TOP - 4), (at, bottom)], "dim" if power == 1 else "line")
        yield svg.text(at, _TOP - 9, f"{LOWEST * 10**power:g} ×", anchor="middle", kind="dim")
    for number, (result, found) in enumerate(rows):
        y = _TOP + STEP * number + STEP / 2
        yield svg.text(LEFT - 8, y + 4, result.row.name, anchor="end")
        if LEASED in found:
            left, right = sorted((x(1), x(found[LEASED])))
            yield svg.bar(left, y - 5.5, max(right - left, 1.5), 11, "leased")
            yield svg.text(WIDTH - 16, y + 4, f"{found[LEASED]:.3g} ×", anchor="end", bold=True)
        yield from (
            svg.dot(x(found[name]), y, KINDS[name], hollow=name == FLOOR) for name in found if name != LEASED
        )
        yield from (svg.line([(x(aim), y - 8), (x(aim), y + 8)], "ink", width=2) for aim in _aims(result))


def _aims(result: Result) -> Iterator[float]:
    """What `leased` is to reach, in times of by hand."""
    for goal in result.row.goals:
        if goal.who == LEASED and goal.against == (BASE,) and goal.metric is result.row.metrics[0]:
            yield goal.bound if goal.at_least else 1 / goal.bound


def _legend(names: Sequence[str]) -> Iterator[str]:
    x = 20.0
    for name in names:
        words = name.removeprefix("mprun ")
        mark = svg.bar(x - 4, 36, 10, 8, "leased")
        yield mark if name == LEASED else svg.dot(x, 40, KINDS[name], hollow=name == FLOOR)
        yield svg.text(x + 9, 44, words, kind="dim")
        x += 24 + 6.5 * len(words)
    yield svg.line([(20, 52), (20, 64)], "ink", width=2)
    yield svg.text(29, 62, "what leased is to reach. Whatever is slower than 0.1 × stands there.", kind="dim")


# Slow items.


def _grid(cells: Cells, left: float, top: float) -> Iterator[str]:
    """What few workers take, in times of Pool: a cell for each length of an item."""
    lengths = sorted({milliseconds for _, milliseconds in cells})
    yield svg.text(left, top, "Slow items: seconds, in times of Pool's", bold=True)
    yield svg.text(left, top + 16, "(whole processes, imap_unordered, chunksize 1)", kind="dim")
    for column, milliseconds in enumerate(lengths):
        yield svg.text(
            left + 105 + 52 * column, top + 44, f"{milliseconds:g} ms", anchor="middle", kind="dim"
        )
    for line, workers in enumerate(sorted({workers for workers, _ in cells})):
        y = top + 54 + 34 * line
        yield svg.text(left + 72, y + 19, f"{workers} workers", anchor="end", kind="dim")
        for column, milliseconds in enumerate(lengths):
            yield from _cell(cells.get((workers, milliseconds)), left + 81 + 52 * column, y)


def _cell(result: Result | None, x: float, y: float) -> Iterator[str]:
    seconds = {} if result is None else _seconds(result)
    if LEASED in seconds and POOL_1 in seconds:
        ratio = seconds[LEASED] / seconds[POOL_1]
        yield svg.bar(x, y, 48, 30, "good" if ratio <= 1 + NOISE else "bad")
        yield svg.text(x + 24, y + 19, f"{ratio:.2f}", anchor="middle")


def _curve(cells: Cells, left: float, top: float) -> Iterator[str]:
    """What many workers take, by their number."""
    numbers = sorted({workers for workers, _ in cells})
    taken = {workers: _seconds(cells[workers, 5.0]) for workers in numbers}
    most = max([second for each in taken.values() for second in each.values()], default=1.0)
    ceiling = next(step for step in _CEILINGS if step >= most)
    width, height, floor = WIDTH - left - 114, 130.0, top + 172

    def x(workers: int) -> float:
        return left + 24 + width * numbers.index(workers) / max(len(numbers) - 1, 1)

    def y(second: float) -> float:
        return floor - height * second / ceiling

    yield svg.text(left, top, "Many workers: seconds for 600 items of 5 ms each", bold=True)
    for second in (0, ceiling / 2, ceiling):
        yield svg.line([(left + 24, y(second)), (left + 24 + width, y(second))], "line")
        yield svg.text(left + 18, y(second) + 4, f"{second:g}", anchor="end", kind="dim")
    for workers in numbers:
        yield svg.text(x(workers), floor + 17, str(workers), anchor="middle", kind="dim")
    labels: list[float] = []
    for name, label in ((LEASED, "leased"), (POOL_8, POOL_8), (POOL_1, POOL_1)):
        points = [(x(each), y(taken[each][name])) for each in numbers if name in taken[each]]
        if points:
            yield svg.line(points, KINDS[name], width=2)
            yield from (svg.dot(*point, KINDS[name]) for point in points)
            labels.append(_apart(points[-1][1], labels))
            yield svg.text(points[-1][0] + 8, labels[-1] + 4, label, kind="dim")


def _apart(y: float, others: Sequence[float]) -> float:
    """The nearest place from there on where no other label is."""
    while any(abs(y - other) < 13 for other in others):
        y += 2
    return y


def _seconds(result: Result) -> dict[str, float]:
    return {name: each[SECONDS.name] for name, each in result.figures.items() if SECONDS.name in each}
