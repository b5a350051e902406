"""Parts of a drawing, as SVG written by hand, that is read on a light page as on a dark one.

A class of the style says what a part is; which colour that has depends on the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

LIGHT = {
    "ground": "#ffffff",
    "ink": "#1f2328",
    "dim": "#59636e",
    "line": "#d1d9e0",
    "good": "#cfe8d5",
    "bad": "#f6d9c6",
}
DARK = {
    "ground": "#0d1117",
    "ink": "#e6edf3",
    "dim": "#9198a1",
    "line": "#30363d",
    "good": "#1d4429",
    "bad": "#5c3219",
}


def page(width: float, height: float, title: str, parts: Sequence[str], marks: Mapping[str, str]) -> str:
    """Put a drawing together. `marks` are colours that are the same on any page, by class."""
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif" font-size="12">'
    )
    ground = '<rect width="100%" height="100%" rx="6" class="ground"/>'
    return (
        "\n".join([head, f"<title>{escape(title)}</title>", _style(marks), ground, *parts, "</svg>"]) + "\n"
    )


def _style(marks: Mapping[str, str]) -> str:
    light = [_rules({**LIGHT, **marks})]
    dark = ["@media (prefers-color-scheme: dark) {", _rules(DARK), "}"]
    return "\n".join(["<style>", *light, *dark, "</style>"])


def _rules(colours: Mapping[str, str]) -> str:
    return "\n".join(
        f".{name} {{ fill: {colour} }} .{name}-stroke {{ stroke: {colour} }}"
        for name, colour in colours.items()
    )


def text(
    x: float, y: float, words: str, *, anchor: str = "start", kind: str = "ink", bold: bool = False
) -> str:
    """Words, with their baseline at y."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}"{weight}>{escape(words)}</text>'
    )


def bar(x: float, y: float, width: float, height: float, kind: str) -> str:
    """A rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" class="{kind}"/>'


def dot(x: float, y: float, kind: str, *, hollow: bool = False) -> str:
    """A disc, or a ring."""
    if hollow:
        return (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="none" stroke-width="1.5" class="{kind}-stroke"/>'
        )
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{kind} ground-stroke" stroke-width="0.8"/>'


def line(points: Sequence[tuple[float, float]], kind: str, *, width: float = 1, dashed: bool = False) -> str:
    """Straight from point to point."""
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke-width="{width:g}" class="{kind}-stroke"{dashes}/>'
