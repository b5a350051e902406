"""A plot of ratios, as an SVG written by hand: one group of bars for each row, on a logarithmic scale round 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

_LEFT, _WIDTH, _BAR, _GAP, _TOP = 230, 620, 13, 10, 46
_COLOURS = ("#8c9aa8", "#d9542b", "#4c78a8", "#72a35a", "#b279a2", "#d8a23f")

Ratios = Sequence[tuple[str, Mapping[str, float]]]


def write_plot(path: Path, rows: Ratios) -> None:
    """Write the ratios to the hand-written script: right of the line is better than it."""
    path.write_text(draw(rows), encoding="utf-8")


def draw(rows: Ratios) -> str:
    """Return the plot as text."""
    names = list(dict.fromkeys(name for _, ratios in rows for name in ratios))
    values = [ratio for _, ratios in rows for ratio in ratios.values()] or [1.0]
    low, high = _decade_below(min(*values, 0.5)), _decade_above(max(*values, 2.0))

    def x(ratio: float) -> float:
        return _LEFT + _WIDTH * (math.log10(ratio) - low) / (high - low)

    body: list[str] = []
    y = _TOP
    for label, ratios in rows:
        body.append(_text(_LEFT - 8, y + _BAR * len(ratios) / 2 + 4, label, "end"))
        for name, ratio in ratios.items():
            body.append(_bar(x(1.0), x(ratio), y, _COLOURS[names.index(name) % len(_COLOURS)]))
            body.append(_text(max(x(ratio), x(1.0)) + 4, y + _BAR - 3, f"{ratio:.3g}", "start"))
            y += _BAR
        y += _GAP
    lines = [_grid(x(10.0**power), y, f"{10.0**power:g}×") for power in range(low, high + 1)]
    size = f'width="{_LEFT + _WIDTH + 60}" height="{y + 10}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
    white = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([head, white, *_legend(names), *lines, *body, "</svg>"]) + "\n"


def _decade_below(value: float) -> int:
    return math.floor(math.log10(value))


def _decade_above(value: float) -> int:
    return math.ceil(math.log10(value))


def _bar(start: float, end: float, y: float, colour: str) -> str:
    left, width = min(start, end), max(abs(end - start), 1.0)
    return f'<rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="{_BAR - 2}" fill="{colour}"/>'


def _grid(x: float, bottom: float, label: str) -> str:
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{bottom}" stroke="#d0d0d0"/>'
    return line + _text(x, _TOP - 10, label, "middle")


def _legend(names: Sequence[str]) -> list[str]:
    parts = [_text(8, 16, "times the hand-written JoinableQueue script", "start")]
    for place, name in enumerate(names):
        x = _LEFT + 40 + 125 * place
        parts.append(f'<rect x="{x}" y="7" width="10" height="10" fill="{_COLOURS[place % len(_COLOURS)]}"/>')
        parts.append(_text(x + 14, 16, name, "start"))
    return parts


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
