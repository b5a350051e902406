"""The table: a line for each row, as text or as Markdown, with the targets and whether they are reached.

Result ──► Line (cells) ──► text | Markdown
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from contenders import BASE, FLOOR, JOINABLE, LEASED
from goals import Goal, Metric, Verdict
from running import Result

COLUMNS = (FLOOR, BASE, JOINABLE, LEASED)
HEADS = ("row", FLOOR, BASE, "`joinable`", "`leased`", "others", "targets")
REACHED, MISSED = "✓", "✗"
BEGIN, END = "<!-- compare:begin -->", "<!-- compare:end -->"
"""Where a page has the table."""


def as_text(results: Sequence[Result]) -> str:
    """The table in columns."""
    lines = [tuple(head.strip("`") for head in HEADS), *map(cells, results)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(HEADS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def as_markdown(results: Sequence[Result]) -> str:
    """The table for a page."""
    lines = [HEADS, ("---", "--:", "--:", "--:", "--:", "---", "---"), *map(cells, results)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_page(page: Path, about: str, results: Sequence[Result]) -> None:
    """Put the table where a page has the marks for it."""
    head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        sys.exit(f"{page}: expected a line {BEGIN} and a line {END} for the table, got none")
    body = f"\n{about} {summary(results)}.\n\n{as_markdown(results)}\n"
    page.write_text(f"{head}{BEGIN}\n{body}\n{END}{tail}", encoding="utf-8")


def summary(results: Sequence[Result]) -> str:
    """How many targets are reached."""
    found = [verdict.reached for result in results for verdict in result.verdicts()]
    unknown = f", {found.count(None)} not measured" if None in found else ""
    return f"{found.count(True)} of {len(found)} targets reached{unknown}"


def cells(result: Result) -> tuple[str, ...]:
    """What the line of a row says, column by column."""
    known = {name: shown(result.row.metrics, figures) for name, figures in result.figures.items()}
    others = "; ".join(f"{name} {cell}" for name, cell in known.items() if name not in COLUMNS)
    targets = "; ".join(told(verdict) for verdict in result.verdicts())
    return (result.row.name, *(known.get(name, "") for name in COLUMNS), others, targets)


def shown(metrics: Sequence[Metric], figures: Mapping[str, float]) -> str:
    """The figures of one contender: `5.4, 8.9 µs`."""
    parts = [
        quantity(figures[metric.name], metric.unit).rpartition(" ")
        if metric.unit != "/s"
        else (f"{figures[metric.name]:,.0f}", "", "/s")
        for metric in metrics
        if metric.name in figures
    ]
    return ", ".join(_with_units_once(parts))


def _with_units_once(parts: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    for place, (value, gap, unit) in enumerate(parts):
        following = parts[place + 1][2] if place + 1 < len(parts) else None
        yield value if unit == following else f"{value}{gap}{unit}"


def quantity(value: float, unit: str) -> str:
    """A figure with its unit, three digits of it: 47 ms and not 47,000 µs."""
    if unit == "µs" and abs(value) >= 1000:
        return f"{figure(value / 1000)} ms"
    if unit == "s" and abs(value) < 1:
        return f"{figure(value * 1000)} ms"
    return f"{figure(value)} {unit}".rstrip()


def figure(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def told(verdict: Verdict) -> str:
    """A target and what has become of it: `✓ 26.1 × by hand (≥ 25)`."""
    goal, found = verdict.goal, verdict.figure
    whose = "" if goal.who == LEASED else f"{goal.who.removeprefix('mprun ')}: "
    if found is None:
        return f"{whose}not measured ({bound(goal)})"
    mark = REACHED if verdict.reached else MISSED
    name = "" if goal.metric.unit == "/s" else f"{goal.metric.name} "
    if goal.against:
        return f"{mark} {whose}{name}{found:.3g} × {' or '.join(goal.against)} ({bound(goal)})"
    return f"{mark} {whose}{name}{quantity(found, goal.metric.unit)} ({bound(goal)})"


def bound(goal: Goal) -> str:
    """What is to be reached, without what it is the bound of."""
    return f"{'≥' if goal.at_least else '≤'} {goal.bound:.4g}"
