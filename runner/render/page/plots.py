"""The charts of a page as files of their own, which any program that shows SVG can show. Pure.

RunPage ──► PLOTS["rate"] ──► rows of charts ──► one <svg>, as wide as a page
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from runner.render.page.charts import SMALL, STRIP, TALL, Bound, area_chart, height_of, time_histogram
from runner.render.page.markup import Child, Markup, element
from runner.render.page.model import RunPage
from runner.render.page.sections import worker_pictures
from runner.render.page.svg import fill, placed, short_number, standalone
from runner.render.page.tables import share
from runner.text import cells, cut_middle

WIDTH = 960
_MARGIN, _GAP, _COLUMNS = 24, 28, 3
_HEAD = 52
"""Pixels for the title."""
_CAPTION = 20
_MOST_CELLS = 40
_CELL = 6.5


class Plot(NamedTuple):
    """One picture with its name: across the whole width, or one of a row."""

    caption: str
    picture: Markup
    height: float
    is_wide: bool = False


class NothingToPlot(Exception):
    """The run has none of it; says why."""


def draw_plot(page: RunPage, what: str) -> str:
    """Draw one of `PLOTS` as the text of an SVG file. Raises NothingToPlot."""
    kind = PLOTS[what]
    title = f"{page.report.workflow or page.state.workflow} {page.report.run or page.state.run}: {kind.title}"
    if what == "workers":
        body, bottom = _strips(page)
    else:
        body, bottom = _laid_out(list(kind.plots(page)))
    if not body:
        raise NothingToPlot(kind.missing)
    heading = element("text", title, x=_MARGIN, y=32, font_size=16, font_weight=600, **fill("ink"))
    return f"{standalone(WIDTH, bottom + _MARGIN, heading, body)}\n"


def _laid_out(plots: Sequence[Plot]) -> tuple[list[Child], float]:
    """Put wide ones below each other, and behind them the others in rows."""
    parts: list[Child] = []
    y, column, deep = float(_HEAD), 0, 0.0
    narrow = (WIDTH - 2 * _MARGIN - (_COLUMNS - 1) * _GAP) / _COLUMNS
    for each in plots:
        wide = WIDTH - 2 * _MARGIN if each.is_wide else narrow
        x = _MARGIN + column * (narrow + _GAP)
        most = int(wide / _CELL)
        parts.append(
            element("text", cut_middle(each.caption, most), x=x, y=y + 14, font_size=12, **fill("ink"))
        )
        parts.append(placed(x, y + _CAPTION, wide, each.height, each.picture))
        deep = max(deep, each.height + _CAPTION)
        column = 0 if each.is_wide else (column + 1) % _COLUMNS
        if column == 0:
            y, deep = y + deep + 18, 0.0
    return parts, y + deep


def _strips(page: RunPage) -> tuple[list[Child], float]:
    rows = list(worker_pictures(page))
    names = [cut_middle(name, _MOST_CELLS) for name, _, _ in rows]
    left = _MARGIN + max(map(cells, names), default=0) * _CELL + 14
    right = WIDTH - _MARGIN - 44
    parts: list[Child] = []
    y = float(_HEAD)
    for name, (_, strip, busy) in zip(names, rows, strict=True):
        parts.append(element("text", name, x=_MARGIN, y=y + 11, **fill("ink")))
        parts.append(placed(left, y, right - left, STRIP, strip))
        parts.append(element("text", busy, x=WIDTH - _MARGIN, y=y + 11, text_anchor="end", **fill("muted")))
        y += STRIP + 5
    return parts, y


def _rates(page: RunPage) -> Iterator[Plot]:
    whole = page.run_rate()
    if whole.values:
        caption = f"the run, {short_number(whole.area / page.seconds)}/s on average"
        chart = area_chart("rate", caption, whole, page.seconds, unit=" items/s")
        yield Plot(caption, chart, height_of(TALL), is_wide=True)
    for line in page.report.stages:
        curve = page.rate(line)
        if curve.values:
            chart = area_chart("stage-rate", line.name, curve, page.seconds, unit="/s", tall=SMALL)
            yield Plot(line.name, chart, height_of(SMALL))


def _fills(page: RunPage) -> Iterator[Plot]:
    for queue in page.report.queues:
        curve = page.fill(queue.name)
        if curve.values:
            bound = None if queue.maxsize is None else Bound(queue.maxsize, f"bound {queue.maxsize:,}")
            chart = area_chart("fill", queue.name, curve, page.seconds, bound=bound, tall=SMALL)
            yield Plot(queue.name, chart, height_of(SMALL))


def _busy(page: RunPage) -> Iterator[Plot]:
    for line in page.report.stages:
        curve = page.stage_busy(line.name)
        if curve.values:
            percents = curve.scaled(100)
            chart = area_chart(
                "busy", line.name, percents, page.seconds, unit="%", top=100, tall=SMALL, colour="busy"
            )
            yield Plot(f"{line.name}: {share(line.busy)} busy", chart, height_of(SMALL))


def _latencies(page: RunPage) -> Iterator[Plot]:
    times = page.state.times()
    for line in page.report.stages:
        found = times.get(line.name)
        if found is not None and found.items:
            yield Plot(line.name, time_histogram(line.name, found), height_of(SMALL))


class PlotKind(NamedTuple):
    """One thing that can be plotted."""

    title: str
    plots: Callable[[RunPage], Iterator[Plot]]
    missing: str
    """What is said where there is none."""


_NO_CURVES = "it was too short for any, or its record has none"
PLOTS: Mapping[str, PlotKind] = {
    "rate": PlotKind("items a second", _rates, f"the run has no rates of items: {_NO_CURVES}"),
    "fill": PlotKind("items that wait in queues", _fills, f"nothing is known of its queues: {_NO_CURVES}"),
    "busy": PlotKind("how busy the stages were", _busy, f"nothing is known of that: {_NO_CURVES}"),
    "workers": PlotKind("how busy the workers were", lambda _: iter(()), "the run has no workers of stages"),
    "latency": PlotKind("how long items took", _latencies, "no times of items were measured"),
}
