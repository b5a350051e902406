"""Charts: a curve above its time, small ones beside each other, rows of heat, how long items took, bars of jobs. Pure.

Curve ──► area_chart ──► <svg>        (in a page as wide as there is room; `plots.py` makes files of them)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from runner.events.item_times import ItemTimes, begin_of, bucket_of
from runner.facts import dataclass
from runner.render.page.curves import Curve
from runner.render.page.markup import NOTHING, Child, Markup, element, joined
from runner.render.page.svg import (
    clock,
    clock_ticks,
    fill,
    percent,
    picture,
    short_number,
    stretched,
    stroke,
    ticks,
    told,
    words,
)
from runner.units import short_time

TALL, SMALL = 150, 74
"""Pixels from the lowest to the highest value, of a chart by itself and of one among many."""
_ABOVE, _BELOW = 16, 18
"""Pixels for the highest label, and for those of the time."""
_FINE = 10_000
"""Units from the lowest to the highest value: as exactly as a curve is drawn."""
STRIP = 14
"""Pixels of a row of heat, or of a bar."""
_SHADES = 6
_HALF_OCTAVE = 4
"""Buckets of times that are one bar."""

_ROUND: Sequence[Sequence[float]] = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9))
_MOST_LENGTHS = 5


@dataclass(frozen=True, slots=True)
class Bound:
    """A height that the curve can't pass, or should not."""

    value: float
    label: str


def height_of(tall: int) -> int:
    """Return the pixels that a chart takes with all that is written at it."""
    return tall + _ABOVE + _BELOW


def area_chart(
    kind: str,
    label: str,
    curve: Curve,
    seconds: float,
    *,
    unit: str = "",
    bound: Bound | None = None,
    top: float | None = None,
    tall: int = TALL,
    colour: str = "accent",
) -> Markup:
    """
    Draw one number over the time of the run, `seconds` long.

    `top` is the value at the upper edge, where several charts are to be compared; `bound` is drawn as a line.
    """
    highest = max(curve.top if top is None else top, bound.value if bound else 0.0) or 1.0
    across = max(seconds, curve.seconds) or 1.0
    return picture(
        kind,
        label,
        height_of(tall),
        _grid(highest, tall, unit, has_bound=bound is not None),
        _curve(curve, across, highest, tall, colour),
        _bound_line(bound, highest, tall) if bound else None,
        _value_labels(highest, tall, unit, bound),
        time_axis(across, _ABOVE + tall, most=6 if tall > SMALL else 3),
        data_seconds=f"{across:.6g}",
        data_top=f"{highest:.6g}",
        data_unit=_FINE,
    )


def _row(value: float, highest: float, tall: int) -> float:
    return _ABOVE + tall * (1 - value / highest)


def _shown_ticks(highest: float, tall: int, bound: Bound | None = None) -> list[float]:
    """Return the values that get a line and a label; none so near the bound that the labels would meet."""
    found = ticks(highest, most=4 if tall > SMALL else 2)
    if bound is None:
        return found
    return [value for value in found if abs(value - bound.value) * tall / highest > 14]


def _grid(highest: float, tall: int, _unit: str, *, has_bound: bool) -> Iterator[Markup]:
    for value in ticks(highest, most=4 if tall > SMALL else 2):
        if value == highest and has_bound:
            continue
        y = round(_row(value, highest, tall)) + 0.5
        yield element("line", x1=0, x2="100%", y1=y, y2=y, **stroke("grid" if value else "starved"))


def _value_labels(highest: float, tall: int, unit: str, bound: Bound | None) -> Iterator[Markup]:
    shown = [value for value in _shown_ticks(highest, tall, bound) if value]
    for value in shown:
        text = short_number(value) + (unit if value == shown[-1] else "")
        yield words(0, round(_row(value, highest, tall)) - 3, text)


def _bound_line(bound: Bound, highest: float, tall: int) -> Markup:
    y = round(_row(bound.value, highest, tall)) + 0.5
    line = element("line", x1=0, x2="100%", y1=y, y2=y, stroke_dasharray="5 3", **stroke("blocked", 1.5))
    return joined(line, words(0, y - 4, bound.label))


def _curve(curve: Curve, across: float, highest: float, tall: int, colour: str) -> Child:
    if not curve.values:
        return NOTHING
    heights = [round((1 - min(value / highest, 1.0)) * _FINE) for value in curve.values]
    steps = _steps(heights)
    area = element("path", d=f"M0 {_FINE}V{heights[0]}{steps}V{_FINE}Z", fill_opacity=0.16, **fill(colour))
    line = element(
        "path",
        d=f"M0 {heights[0]}{steps}",
        vector_effect="non-scaling-stroke",
        stroke_linejoin="round",
        data_curve=True,
        **stroke(colour, 1.5),
    )
    return stretched(across / curve.step, _FINE, _ABOVE, tall, area, line)


def _steps(heights: Sequence[int]) -> str:
    """Lead a line over steps of one unit: across, then up or down to the next."""
    parts, before = [], heights[0]
    for height, alike in groupby(heights):
        up = f"v{height - before}" if height != before else ""
        parts.append(f"{up}h{len(list(alike))}")
        before = height
    return "".join(parts)


def time_axis(seconds: float, y: float, most: int) -> Iterator[Markup]:
    """Write times below a picture; the one at the right edge ends there."""
    for moment in clock_ticks(seconds, most):
        share = moment / seconds
        if share > 0.97:
            anchor, at = "end", "100%"
        else:
            anchor, at = ("start" if moment == 0 else "middle"), percent(share)
        yield words(at, y + 14, clock(moment), text_anchor=anchor)


# Heat.


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment in a row: `share` of the run, what is told of it, and whether it is bad news."""

    share: float
    what: str
    is_bad: bool


def heat_strip(
    label: str, curve: Curve, seconds: float, marks: Sequence[Tick], life: tuple[float, float] = (0.0, 1.0)
) -> Markup:
    """Draw a row of shades, the darker the nearer to 1; `life` is the part of the run in which there was anything."""
    across = max(seconds, curve.seconds) or 1.0
    return picture(
        "heat",
        label,
        STRIP,
        element(
            "rect",
            x=percent(life[0]),
            y=1,
            width=percent(life[1] - life[0]),
            height=STRIP - 2,
            fill_opacity=0.35,
            **fill("starved"),
        ),
        stretched(across / curve.step, 1, 1, STRIP - 2, _shades(curve)),
        map(_tick, marks),
    )


def _shades(curve: Curve) -> Iterator[Markup]:
    """Draw all steps of one shade as one path."""
    runs: dict[int, list[str]] = {}
    at = 0
    for shade, alike in groupby(round(value * _SHADES) for value in curve.values):
        length = len(list(alike))
        if shade > 0:
            runs.setdefault(shade, []).append(f"M{at} 0h{length}v1h-{length}z")
        at += length
    for shade, parts in sorted(runs.items()):
        opacity = 0.12 + 0.88 * shade / _SHADES
        yield element(
            "path", d="".join(parts), fill_opacity=opacity, shape_rendering="crispEdges", **fill("busy")
        )


def _tick(mark: Tick) -> Markup:
    at, colour = percent(mark.share), "bad" if mark.is_bad else "ink"
    return element(
        "line",
        told(mark.what),
        x1=at,
        x2=at,
        y1=-1 if mark.is_bad else 3,
        y2=STRIP + 1 if mark.is_bad else STRIP - 3,
        data_tick="death" if mark.is_bad else "restart",
        **stroke(colour, 2),
    )


# Shares of the time.


def shares_bar(label: str, parts: Sequence[tuple[str, float]]) -> Markup:
    """Draw parts of a whole, 0 to 1 each, as one bar: (colour, share) from the left."""
    at, bars = (
        0.0,
        [element("rect", width="100%", height=STRIP - 4, y=2, fill_opacity=0.3, **fill("starved"))],
    )
    for colour, share in parts:
        if share > 0.0005:
            bars.append(
                element("rect", x=percent(at), width=percent(share), height=STRIP - 4, y=2, **fill(colour))
            )
        at += share
    return picture("shares", label, STRIP, *bars)


# How long items took.


def time_histogram(label: str, times: ItemTimes, tall: int = SMALL) -> Markup:
    """Draw how many items took how long, on a scale on which each bar is half as long again as the one before it."""
    bars = _bars(times)
    first, last = min(bars), max(bars)
    slots = last - first + 1
    most = max(bars.values())
    drawn = [
        element(
            "rect",
            told(f"{count:,} items, {_length_of(slot)}"),
            x=percent((slot - first + 0.06) / slots),
            y=_ABOVE + tall * (1 - count / most),
            width=percent(0.88 / slots),
            height=max(tall * count / most, 1),
            **fill("accent"),
        )
        for slot, count in sorted(bars.items())
    ]
    return picture(
        "histogram",
        label,
        height_of(tall),
        element("line", x1=0, x2="100%", y1=_ABOVE + tall + 0.5, y2=_ABOVE + tall + 0.5, **stroke("starved")),
        drawn,
        words(0, _ABOVE - 3, f"{most:,} items"),
        _length_labels(first, slots, tall),
    )


def _bars(times: ItemTimes) -> dict[int, int]:
    bars: dict[int, int] = {}
    for bucket, count in times.counts.items():
        slot = bucket // _HALF_OCTAVE
        bars[slot] = bars.get(slot, 0) + count
    return bars


def _length_of(slot: int) -> str:
    begin, end = begin_of(slot * _HALF_OCTAVE), begin_of((slot + 1) * _HALF_OCTAVE)
    return f"{short_time(begin)} to {short_time(end)}"


def _length_labels(first: int, slots: int, tall: int) -> Iterator[Markup]:
    """Write round times below: the powers of ten, where there are two of them, or else what lies between."""
    shown: list[tuple[float, float]] = []
    for steps in _ROUND:
        lengths = [step * 10.0**power for power in range(-6, 5) for step in steps]
        found = [(each, (_slot_of(each) - first) / slots) for each in lengths]
        shown = [(each, share) for each, share in found if 0 <= share <= 1]
        if len(shown) > 1:
            break
    every = -(-len(shown) // _MOST_LENGTHS) or 1
    for each, share in shown[::every]:
        anchor = "start" if share < 0.05 else "end" if share > 0.93 else "middle"
        yield words(percent(share), _ABOVE + tall + 14, _round_length(each), text_anchor=anchor)


def _slot_of(seconds: float) -> float:
    """Return where a length lies, in slots and parts of one."""
    bucket = bucket_of(round(seconds * 1e9))
    begin, end = begin_of(bucket), begin_of(bucket + 1)
    return (bucket + (seconds - begin) / (end - begin)) / _HALF_OCTAVE


def _round_length(seconds: float) -> str:
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size * 0.999:
            return f"{seconds / size:,.3g}{unit}"
    return short_time(seconds)


# Jobs.


def _job_parts(
    label: str, begin: float, end: float, whole: float, colour: str, ready: float | None
) -> list[Markup]:
    high = STRIP - 4
    parts = (
        [(begin, end, 1.0, high)]
        if ready is None
        else [(begin, ready, 1.0, high), (ready, end, 1 + high / 4, high / 2)]
    )
    return [
        element(
            "rect",
            told(label),
            x=percent(since / whole),
            y=top,
            width=percent(max(until - since, 0.0) / whole),
            height=tall,
            rx=1.5,
            **fill(colour),
        )
        for since, until, top, tall in parts
    ]


def job_bar(
    label: str,
    begin: float,
    end: float,
    seconds: float,
    colour: str,
    *,
    is_critical: bool,
    ready: float | None = None,
) -> Markup:
    """Draw when something went on; what was on the critical path has a line below it.

    Of what was there for others from `ready` on, that part is half as high.
    """
    whole = seconds or 1.0
    at, wide = percent(begin / whole), percent(max(end - begin, 0.0) / whole)
    below = element("rect", x=at, y=STRIP - 2, width=wide, height=2, **fill("ink")) if is_critical else None
    return picture(
        "job",
        label,
        STRIP,
        element("line", x1=0, x2="100%", y1=STRIP - 0.5, y2=STRIP - 0.5, **stroke("grid")),
        # However short it was, it is seen.
        element("rect", x=at, y=1, width=2, height=STRIP - 4, **fill(colour)),
        *_job_parts(label, begin, end, whole, colour, ready),
        below,
    )
