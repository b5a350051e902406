"""How text looks in a terminal: how many cells it takes, and how to keep columns straight.

Chinese characters take two cells, combining marks none, and control characters must not reach a terminal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

TAB = "    "
# Joiners hold emoji and several scripts together: invisible, but meant.
_JOINERS = "\u200c\u200d"


def cells(text: str) -> int:
    """Count the terminal cells that `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_char_cells(char) for char in text)


def visible(text: str) -> str:
    """
    Spell out what a terminal would obey or hide: escape codes, text-direction marks, odd spaces.

    A tab becomes four spaces, so that what is printed below can line up with it.
    """
    if text.isprintable():
        return text
    return "".join(_visible_char(char) for char in text)


def pad(text: str, width: int) -> str:
    """Fill `text` with spaces on the right until it takes `width` cells."""
    return text + " " * (width - cells(text))


def columns(rows: Sequence[Sequence[str]], *, gap: str = "  ", indent: str = "") -> list[str]:
    """Lay out `rows` of equal length as lines with straight columns; the first row may be a heading."""
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(cells, column)) for column in zip(*shown, strict=True)]
    return [
        (indent + gap.join(pad(cell, width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in shown
    ]


def _char_cells(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _visible_char(char: str) -> str:
    if char == "\t":
        return TAB
    if char.isprintable() or char in _JOINERS:
        return char
    return char.encode("unicode_escape").decode("ascii")
