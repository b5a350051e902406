"""SVG as wide as there is room: lengths across in percent of that, lengths down in pixels, so that text stays text.

    svg("100%" wide) ─┬─ lines, texts, bars            x in percent
                      └─ stretched(curve)              a view of its own, drawn to its edges whatever its shape

Each colour stands in an attribute, so that a viewer which strips styles shows it, and has a class by which the style
of a page gives it the shade for a dark screen. Pure.
"""

from __future__ import annotations

import math
from typing import Any

from runner.render.page.markup import Child, Markup, element

COLOURS = {
    "ink": ("#1f2328", "#e6e8eb"),
    "muted": ("#646c76", "#9aa3ae"),
    "grid": ("#e4e7eb", "#30363d"),
    "paper": ("#ffffff", "#15181c"),
    "shade": ("#f6f7f9", "#1c2026"),
    "accent": ("#2f6db3", "#6ea8e8"),
    "busy": ("#3a8f5c", "#5cb881"),
    "blocked": ("#d39b21", "#dfb14c"),
    "starved": ("#b9c1cb", "#4d5763"),
    "bad": ("#c3352b", "#f0776c"),
}
"""By what it means: on a light screen, and on a dark one."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', sans-serif"
TEXT = 11
"""Pixels, of the text of pictures."""
GENERATOR = "mprun"
"""By this a file is known as one of ours, which may be overwritten."""
NAMESPACE = "http://www.w3.org/2000/svg"


def colour_rules() -> str:
    """Return the style that makes the colours follow the screen."""
    light = "".join(f"--{name}:{shades[0]};" for name, shades in COLOURS.items())
    dark = "".join(f"--{name}:{shades[1]};" for name, shades in COLOURS.items())
    used = "".join(
        f".f-{name}{{fill:var(--{name})}}.s-{name}{{stroke:var(--{name})}}.c-{name}{{color:var(--{name})}}"
        for name in COLOURS
    )
    return (
        f":root{{color-scheme:light dark;{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}{used}"
    )


def fill(colour: str) -> dict[str, Any]:
    """Return the attributes of what is filled."""
    return {"fill": COLOURS[colour][0], "class_": f"f-{colour}"}


def stroke(colour: str, width: float = 1.0) -> dict[str, Any]:
    """Return the attributes of what is drawn as a line, and not filled."""
    drawn: dict[str, Any] = {"stroke": COLOURS[colour][0], "stroke_width": width, "fill": "none"}
    return {**drawn, "class_": f"s-{colour}"}


def percent(share: float) -> str:
    """Write a share of the width."""
    return f"{min(max(share, -1.0), 2.0) * 100:.3f}".rstrip("0").rstrip(".") + "%"


def picture(
    kind: str, label: str, height: float, *children: Child, **attributes: str | float | None
) -> Markup:
    """Return one picture as wide as its place; `kind` says which chart it is, and `label` what it tells, in words."""
    return element(
        "svg",
        *children,
        width="100%",
        height=height,
        role="img",
        aria_label=label,
        data_chart=kind,
        overflow="visible",
        font_family=FONT,
        font_size=TEXT,
        display="block",
        **attributes,
    )


def stretched(width: float, height: float, top: float, tall: float, *children: Child) -> Markup:
    """Draw in units of one's own: `width` of them fill the width there is, and `height` of them `tall` pixels."""
    return element(
        "svg",
        *children,
        x=0,
        y=top,
        width="100%",
        height=tall,
        viewBox=f"0 0 {width:.6g} {height:.6g}",
        preserveAspectRatio="none",
    )


def words(x: str | float, y: float, text: Child, colour: str = "muted", **attributes: Any) -> Markup:
    """Write over whatever is drawn there, with a rim in the colour of the paper."""
    rim: dict[str, Any] = {"stroke": COLOURS["paper"][0], "stroke_width": 3, "paint_order": "stroke"}
    own: dict[str, Any] = {"fill": COLOURS[colour][0], "class_": f"f-{colour} s-paper"}
    return element("text", text, x=x, y=y, **rim, **own, **attributes)


def told(what: str) -> Markup:
    """Return what is shown when the mouse rests on the element that this stands in."""
    return element("title", what)


def standalone(width: float, height: float, *children: Child) -> Markup:
    """Return a file of its own: with its style, and paper below."""
    paper = element("rect", width="100%", height="100%", **fill("paper"))
    style = element("style", Markup(colour_rules()))
    shape: dict[str, Any] = {"width": width, "height": height, "viewBox": f"0 0 {width:.6g} {height:.6g}"}
    known: dict[str, Any] = {"xmlns": NAMESPACE, "data_generator": GENERATOR}
    return element("svg", style, paper, *children, **known, **shape, font_family=FONT, font_size=TEXT)


def is_picture(beginning: bytes) -> bool:
    """Say by the beginning of a file whether it is a standalone picture of ours."""
    return beginning.startswith(b"<svg ") and f'data-generator="{GENERATOR}"'.encode() in beginning


def placed(x: float, y: float, width: float, height: float, *children: Child) -> Markup:
    """Give a picture, or text, a place in a standalone file; percent are of its width."""
    return element("svg", *children, x=x, y=y, width=width, height=height, overflow="visible")


# Scales.

_STEPS = (1.0, 2.0, 5.0, 10.0)
_CLOCK = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800),
)


def ticks(top: float, most: int = 4) -> list[float]:
    """Return round numbers from 0 up to `top`, at most so many above 0."""
    if top <= 0 or not math.isfinite(top):
        return [0.0]
    power = 10.0 ** math.floor(math.log10(top / most))
    step = next((s * power for s in _STEPS if top / (s * power) <= most), 10 * power)
    return [n * step for n in range(int(top / step + 1e-9) + 1)]


def clock_ticks(seconds: float, most: int) -> list[float]:
    """Return round times from 0 up to `seconds`, at most so many above 0."""
    step = next((s for s in _CLOCK if seconds / s <= most), max(seconds, 1.0))
    return [n * step for n in range(int(seconds / step + 1e-9) + 1)]


def clock(seconds: float) -> str:
    """Write a moment of a run as shortly as can be: `0`, `500ms`, `30s`, `1m30s`, `2h`, `3d`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms" if seconds else "0"
    rest, parts = round(seconds, 1), []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if rest >= size:
            parts.append(f"{int(rest // size)}{unit}")
            rest %= size
    if rest >= 0.05:
        parts.append(f"{rest:.1f}".removesuffix(".0") + "s")
    return "".join(parts)


def short_number(value: float) -> str:
    """Write a number of an axis in at most five characters: `0.5`, `120`, `1,500`, `12k`, `3.4M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            scale = 1e3 if unit == "k" else size
            return f"{value / scale:.1f}".removesuffix(".0") + unit
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"
