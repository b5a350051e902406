"""Markup that text can't become: whatever is put into an element is escaped, unless it is an element itself. Pure.

    element("td", "<script>", class_="name") ──► <td class="name">&lt;script&gt;</td>

There is no other way in: names of elements and attributes are those of this package, and all else is text.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

from runner.facts import dataclass
from runner.text import visible

_VOID = frozenset({"meta", "br", "hr", "link", "input"})


@dataclass(frozen=True, slots=True)
class Markup:
    """A piece of HTML or SVG; `str()` of it is its text."""

    html: str

    def __str__(self) -> str:
        return self.html


Child: TypeAlias = "Markup | str | int | float | Iterable[Child] | None"
"""What may stand in an element; None is nothing."""
NOTHING = Markup("")


def element(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """
    Return one element.

    An attribute that is a word of Python ends in `_`, and `_` within one is written `-`. None and False leave it out.
    """
    given = "".join(
        f' {_attribute_name(key)}="{_number(value) if not isinstance(value, str) else _safe(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{joined(children).html}</{name}>")


def joined(*children: Child) -> Markup:
    """Return pieces one behind the other."""
    return Markup("".join(map(_html, children)))


def _html(child: Child) -> str:
    match child:
        case Markup():
            return child.html
        case str():
            return _safe(child)
        case None:
            return ""
        case int() | float():
            return _number(child)
    return "".join(map(_html, child))


def _safe(text: str) -> str:
    """Escape a text, line by line: what no page may hold, such as a control character, is spelt out."""
    return escape("\n".join(map(visible, text.split("\n"))), quote=True)


def _number(value: float) -> str:
    """Write a number as shortly as a picture needs it; True is an attribute without a value of its own."""
    if isinstance(value, bool):
        return "true"
    return str(value) if isinstance(value, int) else f"{value:.2f}".rstrip("0").rstrip(".")


def _attribute_name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
