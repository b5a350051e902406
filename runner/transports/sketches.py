"""What an item looks like as JSON, in bounded time and size: itself where it is small JSON, else parts of it.

    {"url": "…", "status": 200}      ──► itself                                     whole
    an array of 8 MB                 ──► "<ndarray of uint8, shape (2000, 4000)>"   not whole
    a dataclass, a mapping of texts  ──► a mapping, its long texts cut              not whole

What is no JSON and has no parts is shown by `safe_repr`. Nothing here raises but what ends a worker.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from runner.errors import WorkerSignal
from runner.text import clip, safe_repr

_MOST_TEXT = 1000
"""Characters of one text."""
_MOST_CHARACTERS = 4000
"""And of all of them."""
_MOST_PARTS = 300
"""Values in a sketch."""
_MOST_MEMBERS = 100
"""Of one list or mapping."""
_LEVELS = 8
_WIDEST_INT = 1024
"""In bits."""
_CUT = "…"


class Sketch(NamedTuple):
    """What is shown of an item."""

    value: Any
    """As JSON can hold it."""
    is_whole: bool
    """Whether that is all of the item, as JSON says it; else parts are left out, or only described."""


def sketch(item: object) -> Sketch:
    """Return what an item looks like."""
    drawing = _Drawing()
    try:
        return Sketch(drawing.draw(item, _LEVELS), drawing.is_whole)
    except (WorkerSignal, KeyboardInterrupt):
        raise
    except BaseException:  # a part that is asked for is the user's code; or it was changed meanwhile
        return Sketch(safe_repr(item), is_whole=False)


class _Drawing:
    def __init__(self) -> None:
        self.is_whole = True
        self._characters = _MOST_CHARACTERS
        self._parts = _MOST_PARTS

    def draw(self, item: Any, levels: int) -> Any:
        self._parts -= 1
        kind = type(item)
        if item is None or kind is bool:
            return item
        if kind is str:
            return self._text(item)
        if kind is int and item.bit_length() <= _WIDEST_INT:
            return item
        if kind is float and math.isfinite(item):
            return item
        if levels and kind in (list, tuple):
            return self._list(item, levels)
        if levels and (named := _named_parts(item)) is not None:
            self.is_whole &= kind is dict
            return self._mapping(*named, levels)
        return self._described(item)

    def _text(self, text: str) -> str:
        room = min(_MOST_TEXT, max(1, self._characters))
        self._characters -= min(len(text), room)
        self.is_whole &= len(text) <= room
        return clip(text, room)

    def _described(self, item: object) -> str:
        self.is_whole = False
        return self._text(safe_repr(item))

    def _has_room(self) -> bool:
        return self._parts > 0 and self._characters > 0

    def _list(self, members: Sequence[Any], levels: int) -> list[Any]:
        drawn: list[Any] = []
        for member in islice(members, _MOST_MEMBERS):
            if not self._has_room():
                break
            drawn.append(self.draw(member, levels - 1))
        if len(members) > len(drawn):
            self.is_whole = False
            drawn.append(f"{_CUT} {len(members)} in all")
        return drawn

    def _mapping(self, parts: Iterable[tuple[Any, Any]], count: int, levels: int) -> dict[str, Any]:
        drawn: dict[str, Any] = {}
        for name, part in islice(parts, _MOST_MEMBERS):
            if not self._has_room():
                break
            key = self._text(name) if type(name) is str else self._described(name)
            drawn[key] = self.draw(part, levels - 1)
        if count > len(drawn):
            self.is_whole = False
            drawn[_CUT] = f"{count} in all"
        return drawn


def _named_parts(item: Any) -> tuple[Iterable[tuple[Any, Any]], int] | None:
    """Return what an item has under names, and how many these are: a mapping, a dataclass, a named tuple; else None."""
    if isinstance(item, dict):
        return dict.items(item), dict.__len__(item)
    if isinstance(item, type):
        return None
    if dataclasses.is_dataclass(item):
        names: Sequence[str] = [field.name for field in dataclasses.fields(item) if field.repr]
        return ((name, getattr(item, name)) for name in names), len(names)
    names = getattr(type(item), "_fields", ())
    if isinstance(item, tuple) and isinstance(names, tuple):
        return zip(names, tuple.__iter__(item), strict=False), len(names)
    return None
