"""The table of stages and queues, in the order in which data flows: each queue below the stage that fills it. Pure.

    WatchedStage, WatchedQueue ──► blocks ──► rows ──► layout for a width ──► lines

      STAGE        ALIVE  █busy ▒blocked ·idle BUSY       OUT       /S     P95  FAIL
      lister         1/1  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒·   1%   338,204    118.4       -
       ↓ urls             ████████████████████ 100%     200/200  93% of the run

Where the terminal is narrow, columns go in a fixed order, and names are cut last: numbers never are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from rich.text import Text

from runner.facts import dataclass
from runner.render.top.drawing import (
    ASIDE,
    BAD,
    HEADING,
    NAME,
    NEARLY_FULL,
    WAITS,
    fill_bar,
    rate_text,
    share_text,
    stacked_bar,
    whole,
)
from runner.text import cells, cut_middle, visible
from runner.units import format_size, short_time
from runner.watch.stages import WatchedQueue, WatchedStage

LEGEND = "█busy ▒blocked ·idle"
WIDE_BAR, NARROW_BAR = len(LEGEND), 10
MARK = 2
"""Cells before a name, for the mark of what is chosen."""
_INDENT = " ↓ "
_LEAST_NAME = 12
_GAP = 2
_TITLES = {"ALIVE": "ALIVE", "BUSY": "BUSY", "OUT": "OUT", "/S": "/S", "P95": "P95", "FAIL": "FAIL"}
_ROOMY = {"ALIVE": 5, "BUSY": 4, "OUT": 8, "/S": 7, "P95": 6, "FAIL": 4}
"""Cells that columns have where there is room, so that they stand still while numbers grow."""
_ALL = ("ALIVE", "BAR", "BUSY", "OUT", "/S", "P95", "FAIL")
_BEHIND_FILL = ("OUT", "/S", "P95", "FAIL")
"""Columns whose room queues have for their own words."""


class Order(StrEnum):
    """By what stages are sorted; each keeps its queues."""

    FLOW = "flow"
    BUSY = "busy"
    RATE = "rate"
    FAILED = "failed"


class FlowBlock(NamedTuple):
    """A stage and the queues below it; a queue that no stage fills has none above."""

    stage: WatchedStage | None
    queues: tuple[WatchedQueue, ...]


@dataclass(frozen=True, slots=True)
class FlowRow:
    """One row: whose it is, its name, and what stands in its columns."""

    key: str
    name: str
    name_style: str
    cells: Mapping[str, tuple[str, str]]
    """Text and style by column."""
    shares: tuple[float, float] | None
    """Busy and blocked; of a queue None, and `fill` counts."""
    fill: float = 0.0
    remarks: Sequence[str] = ()
    """Of a queue: what may stand behind its size, the best first."""


@dataclass(frozen=True, slots=True)
class TableLayout:
    """What there is room for."""

    columns: tuple[str, ...]
    widths: Mapping[str, int]
    bar: int
    name: int

    def width_from(self, column: str) -> int:
        """Return the cells that a column and those behind it take, with the gap before."""
        at = self.columns.index(column)
        return sum(_width_of(each, self.widths, self.bar) for each in self.columns[at:])


def stage_key(name: str) -> str:
    """Name the row of a stage."""
    return f"stage/{name}"


def queue_key(name: str) -> str:
    """Name the row of a queue."""
    return f"queue/{name}"


def blocks(
    stages: Sequence[WatchedStage],
    queues: Sequence[WatchedQueue],
    *,
    order: Order = Order.FLOW,
    wanted: str = "",
) -> list[FlowBlock]:
    """Put each queue below the last stage that fills it before one reads it, and leave out what is not `wanted`."""
    places = {stage.name: place for place, stage in enumerate(stages)}
    below: dict[str | None, list[WatchedQueue]] = {}
    for queue in queues:
        below.setdefault(_above(queue, places), []).append(queue)
    found = [FlowBlock(None, tuple(below[None]))] if None in below else []
    found += [FlowBlock(stage, tuple(below.get(stage.name, ()))) for stage in _sorted(stages, order)]
    return [each for each in (_matching(block, wanted.casefold()) for block in found) if each is not None]


def _above(queue: WatchedQueue, places: Mapping[str, int]) -> str | None:
    writers = [name for name in queue.writers if name in places]
    if not writers:
        return None
    first_reader = min((places[name] for name in queue.readers if name in places), default=len(places))
    ahead = [name for name in writers if places[name] < first_reader]
    return max(ahead, key=places.__getitem__) if ahead else min(writers, key=places.__getitem__)


def _sorted(stages: Sequence[WatchedStage], order: Order) -> Sequence[WatchedStage]:
    match order:
        case Order.BUSY:
            return sorted(stages, key=lambda stage: -stage.now.busy)
        case Order.RATE:
            return sorted(stages, key=lambda stage: -stage.rate)
        case Order.FAILED:
            return sorted(stages, key=lambda stage: -stage.counts["failed"])
    return stages


def _matching(block: FlowBlock, wanted: str) -> FlowBlock | None:
    if not wanted:
        return block
    stage = block.stage if block.stage is not None and wanted in block.stage.name.casefold() else None
    queues = tuple(queue for queue in block.queues if wanted in queue.name.casefold())
    return FlowBlock(stage, queues) if stage is not None or queues else None


def flow_rows(shown: Sequence[FlowBlock], *, is_over: bool = False) -> list[FlowRow]:
    """Return the rows of the table: of what goes on now, or, of a run that is over, of all of it."""
    rows = []
    for block in shown:
        if block.stage is not None:
            rows.append(_stage_row(block.stage, is_over=is_over))
        rows += map(_queue_row, block.queues)
    return rows


def _stage_row(stage: WatchedStage, *, is_over: bool) -> FlowRow:
    counts = stage.counts
    alive = 0 if is_over else counts["alive"]
    shares, often = (stage.whole, stage.mean_rate) if is_over else (stage.now, stage.rate)
    times = stage.times.percentile(0.95) if stage.source is not None or stage.times.items else None
    failed = counts["failed"]
    return FlowRow(
        key=stage_key(stage.name),
        name=visible(stage.name),
        name_style=NAME,
        cells={
            "ALIVE": (f"{alive}/{stage.workers}", "" if alive >= stage.workers else ASIDE),
            "BUSY": (share_text(shares.busy), ""),
            "OUT": (whole(stage.passed), ""),
            "/S": (rate_text(often), ""),
            "P95": (short_time(times), "" if times is not None else ASIDE),
            "FAIL": (whole(failed) if failed else "", BAD),
        },
        shares=(shares.busy, shares.blocked),
    )


def _queue_row(queue: WatchedQueue) -> FlowRow:
    bound = "∞" if queue.maxsize is None else whole(queue.maxsize)
    is_bound = queue.maxsize is not None or queue.max_bytes is not None
    size = f"{whole(queue.size)}/{bound}"
    is_full = queue.fill >= NEARLY_FULL
    return FlowRow(
        key=queue_key(queue.name),
        name=_INDENT + visible(queue.name),
        name_style="cyan",
        cells={
            "BUSY": (share_text(queue.fill) if is_bound else "", WAITS if is_full else ""),
            "OUT": (size, ""),
        },
        shares=None,
        fill=queue.fill,
        remarks=_remarks(queue),
    )


def _remarks(queue: WatchedQueue) -> list[str]:
    share = share_text(queue.full_share)
    full = [f"full {share} of the run", f"full {share}"] if share != "0%" else []
    if queue.max_bytes is None or queue.account is None:
        return full
    held = f"{format_size(queue.account['bytes'])}/{format_size(queue.max_bytes)}"
    return [*(f"{held}, {each}" for each in full), held, *full]


def layout_for(rows: Sequence[FlowRow], width: int) -> TableLayout:
    """Choose columns for a width: P95 goes first, then FAIL if none has, OUT, half of the bar; then names are cut."""
    natural = {title: max([len(title), *(len(_text(row, title)) for row in rows)]) for title in _TITLES}
    roomy = {title: max(natural[title], least) for title, least in _ROOMY.items()}
    name = max([cells("STAGE"), *(cells(row.name) for row in rows)])
    for columns, bar, widths in _choices(rows, natural, roomy):
        layout = TableLayout(columns, widths, bar, name)
        if _total(layout) <= width:
            return layout
    for columns, bar in _narrower(rows):
        layout = TableLayout(columns, natural, bar, name)
        room = width - _total(layout) + name
        if room >= min(_LEAST_NAME, name) or not columns:
            return TableLayout(columns, natural, bar, max(room, 1))
    raise AssertionError("a name alone has room")


Choice = tuple[tuple[str, ...], int, Mapping[str, int]]


def _choices(rows: Sequence[FlowRow], natural: Mapping[str, int], roomy: Mapping[str, int]) -> list[Choice]:
    none_failed = not any(_text(row, "FAIL") for row in rows)
    steps: list[Choice] = [(_ALL, WIDE_BAR, roomy), (_ALL, WIDE_BAR, natural)]
    columns: tuple[str, ...] = _ALL
    for title in ("P95", *(["FAIL"] if none_failed else []), "OUT"):
        columns = tuple(each for each in columns if each != title)
        steps.append((columns, WIDE_BAR, natural))
    return [*steps, (columns, NARROW_BAR, natural)]


def _narrower(rows: Sequence[FlowRow]) -> list[tuple[tuple[str, ...], int]]:
    """What goes when names are cut and there is still no room."""
    columns = _choices(rows, {}, {})[-1][0]
    steps = [(columns, NARROW_BAR)]
    for title in ("ALIVE", "BAR", "FAIL", "/S", "BUSY"):
        columns = tuple(each for each in columns if each != title)
        steps.append((columns, NARROW_BAR))
    return steps


def _total(layout: TableLayout) -> int:
    columns = sum(_width_of(each, layout.widths, layout.bar) for each in layout.columns)
    return MARK + layout.name + columns


def _width_of(column: str, widths: Mapping[str, int], bar: int) -> int:
    if column == "BAR":
        return bar + _GAP
    return widths[column] + (1 if column == "BUSY" else _GAP)


def _text(row: FlowRow, column: str) -> str:
    return row.cells.get(column, ("", ""))[0]


def head_line(layout: TableLayout) -> Text:
    """Return the titles; that of the bar says what its marks are."""
    line = Text(" " * MARK + "STAGE" + " " * (layout.name - len("STAGE")), style=HEADING)
    if layout.name < len("STAGE"):
        line = Text(" " * MARK + "STAGE"[: layout.name], style=HEADING)
    for column in layout.columns:
        if column == "BAR":
            title = LEGEND if layout.bar == WIDE_BAR else "TIME"
            line.append(" " * _GAP + title.ljust(layout.bar))
        else:
            line.append(column.rjust(_width_of(column, layout.widths, layout.bar)))
    return line


def row_line(row: FlowRow, layout: TableLayout, *, is_chosen: bool = False) -> Text:
    """Return one row."""
    name = cut_middle(row.name, layout.name)
    line = Text.assemble(
        "▸ " if is_chosen else "  ", (name, row.name_style), " " * (layout.name - cells(name))
    )
    for column in layout.columns:
        if column == "BAR":
            bar = (
                fill_bar(row.fill, layout.bar) if row.shares is None else stacked_bar(*row.shares, layout.bar)
            )
            line.append(" " * _GAP).append_text(bar)
        elif row.shares is None and column in _BEHIND_FILL:
            return line.append_text(_behind(row, layout, column))
        else:
            text, style = row.cells.get(column, ("", ""))
            line.append(text.rjust(_width_of(column, layout.widths, layout.bar)), style)
    return line


def _behind(row: FlowRow, layout: TableLayout, first: str) -> Text:
    """Return what stands behind the fill of a queue: its size below what stages have put out, and a remark."""
    width = layout.width_from(first)
    own = _width_of("OUT", layout.widths, layout.bar)
    size = _text(row, "OUT").rjust(own if first == "OUT" else min(own, width))
    if cells(size) > width:
        return Text("")
    room = width - cells(size) - _GAP
    remark = next((each for each in row.remarks if cells(each) <= room), "")
    return Text.assemble(size, (f"{' ' * _GAP}{remark}" if remark else "", ASIDE))
