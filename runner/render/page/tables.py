"""Tables and lists of a page: in a box that scrolls where the screen is narrow, so that the page does not. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from runner.render.page.markup import Child, Markup, element
from runner.text import cells
from runner.units import short_time

_LONG_NAME = 44
"""Cells."""


def sheet(
    headings: Sequence[str],
    rows: Iterable[Sequence[Child]],
    words: Collection[int] = (0,),
    texts: Collection[int] = (),
    now_and_then: Collection[str] = (),
) -> Markup:
    """
    Return a table. Columns are numbers, which stand at the right, but `words`, and `texts` of several lines.

    A column that is headed by a word of `now_and_then` is left out where it has nothing but zeros.
    """
    rows = list(rows)
    shown = [
        place
        for place, heading in enumerate(headings)
        if heading not in now_and_then or any(row[place] != "0" for row in rows)
    ]

    def cell(name: str, place: int, content: Child) -> Markup:
        kind = "text" if place in texts else None if place in words else "n"
        return element(name, content, class_="name" if place == 0 and kind is None else kind)

    head = element("tr", [cell("th", place, headings[place]) for place in shown])
    body = [element("tr", [cell("td", place, row[place]) for place in shown]) for row in rows]
    return boxed(element("table", element("thead", head), element("tbody", body)))


def boxed(content: Child) -> Markup:
    """Put something wide in a box that scrolls."""
    return element("div", content, class_="scroll", tabindex=0)


def pairs(known: Mapping[str, Child]) -> Markup:
    """Return a list of words with what they are; what is not known is left out."""
    shown = [(word, what) for word, what in known.items() if what not in (None, "")]
    return element("dl", [[element("dt", word), element("dd", what)] for word, what in shown])


def folded(summary: Child, *content: Child, is_open: bool = False) -> Markup:
    """Return what is shown when its summary is pressed, without a script."""
    return element("details", element("summary", summary), *content, open=is_open or None)


def row_name(name: str) -> Markup:
    """Return what names a row of pictures: in one line where the screen is wide, unless it is very long."""
    return element("th", name, scope="row", class_="long" if cells(name) > _LONG_NAME else None)


def prose(text: str) -> list[Child]:
    """Return a sentence with what stands between backticks as code, beginning with a capital letter."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # one of them stands alone
        return [text]
    parts[0] = parts[0][:1].upper() + parts[0][1:]
    return [element("code", part) if place % 2 else part for place, part in enumerate(parts)]


def text_block(text: str) -> Markup:
    """Return text as it stands, with its line breaks."""
    return element("pre", text, tabindex=0)


def figure(caption: Child, *content: Child) -> Markup:
    """Return a picture with its name above it."""
    return element("figure", element("figcaption", caption), *content)


def grid(figures: Iterable[Child]) -> Markup:
    """Return small pictures beside each other, as many as there is room for."""
    return element("div", figures, class_="grid")


def count(number: int) -> str:
    """Write a number of things."""
    return f"{number:,}"


def share(part: float) -> str:
    """Write a part of a whole: a little is not nothing, nor is almost all of it all."""
    if 0 < part < 0.005:
        return "<1%"
    return "99%" if 0.99 < part < 0.995 else f"{min(part, 1.0):.0%}"


def took(seconds: float | None) -> str:
    """Write how long something took; `-` where that is not known."""
    return short_time(seconds)
