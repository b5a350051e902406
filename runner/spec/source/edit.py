"""Edits of a YAML file in place: another value where one stands, and all that is not of it stays byte for byte. Pure.

    expect:                                 expect:
      outputs:         # by hand              outputs:         # by hand
        - {a: 1}       # the first    ──►       - {a: 1}       # the first
        - {a: 5}                                - {a: 4}

What is the same of the value stays as it is written: of a mapping its keys, of a list its entries. What comes in is
written as what is round it is, between brackets or line by line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from difflib import SequenceMatcher
from typing import Any

from runner.facts import dataclass
from runner.spec.source.emitter import WIDTH, emit_block, emit_flow, emit_scalar
from runner.spec.source.positions import Mark, SourceNode, Text

_OPENING = re.compile(r"(?:[&!]\S*\s+)*[\[{]")


@dataclass(frozen=True, slots=True)
class Edit:
    """Other text for a stretch of a file."""

    start: int
    end: int
    text: str


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """Return a text with edits that don't overlap."""
    for each in sorted(edits, key=lambda e: (e.start, e.end), reverse=True):
        text = text[: each.start] + each.text + text[each.end :]
    return text


def replaced(node: SourceNode, new: Any) -> Iterator[Edit]:
    """Yield the edits of the file of `node` that make `new` of its value."""
    if _key(node.data) == _key(new):
        return
    if (
        node.mark.aliased is None
        and isinstance(node.data, dict)
        and isinstance(new, dict)
        and node.data
        and new
    ):
        yield from _Mapping(node).become(new)
    elif (
        node.mark.aliased is None
        and isinstance(node.data, list)
        and isinstance(new, list)
        and node.data
        and new
    ):
        yield from _List(node).become(new)
    else:
        yield _whole(node, new)


def inserted(node: SourceNode, key: str, value: Any) -> Iterator[Edit]:
    """Yield the edits that give a mapping one more entry, at its end."""
    yield from _Mapping(node).add([(key, value)])


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _whole(node: SourceNode, new: Any) -> Edit:
    """Write a value anew: a collection in a block only where it has no room on the line."""
    text, mark = node.mark.text, node.mark
    start, end = mark.start, _end(mark)
    flow = emit_flow(new)
    column = start - _line_start(text.text, start)
    is_block = isinstance(node.data, dict | list) and not _is_in_brackets(mark)
    if is_block and mark.key_end >= 0:
        start = text.text.index(":", mark.key_end) + 1
        column, flow = start - _line_start(text.text, start), f" {flow}"
    if isinstance(new, list | dict) and new and column + len(flow) > WIDTH and mark.key_end >= 0:
        indent = " " * (mark.key_start - _line_start(text.text, mark.key_start) + 2)
        follows = text.text[end : _line_end(text.text, max(end - 1, start))].strip()
        if not follows and not _is_in_flow(text.text, mark.key_start):
            while text.text[start - 1] == " ":
                start -= 1
            return Edit(start, end, "\n" + "\n".join(emit_block(new, indent)))
    return Edit(start, end, flow)


def _is_in_flow(text: str, at: int, marks: str = "- ") -> bool:
    """Say whether what begins at an offset does so behind something else of its line than `marks`."""
    before = text[_line_start(text, at) : at]
    return bool(before.strip().strip(marks or None))


def _is_in_brackets(mark: Mark) -> bool:
    """Say whether a collection stands in brackets, behind its anchor if it has one."""
    return _OPENING.match(mark.text.text, mark.start) is not None


def _end(mark: Mark) -> int:
    """Return where a value ends, without what follows the last that is in it."""
    if mark.aliased is not None or mark.children is None:
        return mark.start + len(mark.text.text[mark.start : mark.end].rstrip())
    if _is_in_brackets(mark):
        return mark.end
    below = mark.children.values() if not isinstance(mark.children, list) else mark.children
    return max((_end(each) for each in below), default=mark.end)


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    """Return where the line ends that `at` is in, its newline included."""
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


class _Collection:
    """A mapping or a list with entries, in brackets or in lines. Its entries are stretches of the text."""

    def __init__(self, node: SourceNode) -> None:
        self.node = node
        self.text: Text = node.mark.text
        self.raw = self.text.text
        self.in_brackets = _is_in_brackets(node.mark)

    def stretches(self) -> list[tuple[int, int]]:
        """Return where each entry begins and ends."""
        raise NotImplementedError

    def shown(self, entry: Any) -> list[str]:
        """Return the lines of a new entry, if it is written by lines."""
        raise NotImplementedError

    def short(self, entry: Any) -> str:
        """Return a new entry on one line, as between brackets."""
        raise NotImplementedError

    def rebuilt(self, kept: list[int | None], new: Callable[[int], Any]) -> Iterator[Edit]:
        """Yield the edits for other entries: each an old one, by its number, or a new one. Others are left out."""
        if self.in_brackets:
            yield self._in_brackets(kept, new)
        else:
            yield from self._by_lines(kept, new)

    def _in_brackets(self, kept: list[int | None], new: Callable[[int], Any]) -> Edit:
        """Write what is between the brackets anew, with what stands behind each entry that stays: comments, say."""
        old = self.stretches()
        if kept[: len(old)] == [*range(len(old))]:
            return self._appended(len(old), len(kept), new)
        behind = [self.raw[end : old[n + 1][0]] for n, (_, end) in enumerate(old[:-1])]
        usual = behind[0] if behind else ", "
        usual = usual if "#" not in usual else ",\n" + " " * (old[0][0] - _line_start(self.raw, old[0][0]))
        parts = []
        for place, number in enumerate(kept):
            is_last = place == len(kept) - 1
            parts.append(self.short(new(place)) if number is None else self.raw[slice(*old[number])])
            if not is_last:
                parts.append(behind[number] if number is not None and number < len(behind) else usual)
        return Edit(old[0][0], old[-1][1], "".join(parts))

    def _appended(self, first: int, length: int, new: Callable[[int], Any]) -> Edit:
        """Write entries behind the last one, which stays."""
        old = self.stretches()
        between = self.raw[old[-2][1] : old[-1][0]] if len(old) > 1 else ", "
        usual = between if "#" not in between else ", "
        text = "".join(f"{usual}{self.short(new(place))}" for place in range(first, length))
        return Edit(old[-1][1], old[-1][1], text)

    def _by_lines(self, kept: list[int | None], new: Callable[[int], Any]) -> Iterator[Edit]:
        old = self.stretches()
        lines = [
            (self._first_of_lines(start), _line_end(self.raw, max(end - 1, start))) for start, end in old
        ]
        stay = [number for number in kept if number is not None]
        yield from (Edit(*lines[number], "") for number in range(len(old)) if number not in stay)
        anchor = lines[0][0]
        coming: list[str] = []
        for place, number in enumerate(kept):
            if number is None:
                coming += self.shown(new(place))
                continue
            yield from self._at(anchor, coming)
            anchor, coming = lines[number][1], []
        yield from self._at(anchor, coming)

    def _first_of_lines(self, start: int) -> int:
        return _line_start(self.raw, start)

    def _at(self, anchor: int, lines: list[str]) -> Iterator[Edit]:
        if lines:
            newline = "\r\n" if "\r\n" in self.raw else "\n"
            text = "".join(f"{line}{newline}" for line in lines)
            is_open = anchor == len(self.raw) and not self.raw.endswith("\n")
            yield Edit(anchor, anchor, newline + text.removesuffix(newline) if is_open else text)


class _List(_Collection):
    def stretches(self) -> list[tuple[int, int]]:
        return [(each.mark.start, _end(each.mark)) for each in self.node.items()]

    def become(self, new: list[Any]) -> Iterator[Edit]:
        """Yield the edits that make this list `new`."""
        items = self.node.items()
        matcher = SequenceMatcher(
            None, [_key(each.data) for each in items], [_key(each) for each in new], autojunk=False
        )
        kept: list[int | None] = []
        changed: list[tuple[SourceNode, Any]] = []
        for tag, first, last, new_first, new_last in matcher.get_opcodes():
            if tag == "equal":
                kept += range(first, last)
            elif tag in ("replace", "insert"):
                both = min(last - first, new_last - new_first)
                kept += range(first, first + both)
                changed += zip(items[first : first + both], new[new_first : new_first + both], strict=True)
                kept += [None] * (new_last - new_first - both)
        if kept != [*range(len(items))] and (changed and self.in_brackets):
            yield (
                _whole(self.node, new) if "#" not in self.raw[slice(*self._span())] else self._all(items, new)
            )
            return
        if kept != [*range(len(items))]:
            yield from self.rebuilt(kept, lambda place: new[place])
        for node, value in changed:
            yield from replaced(node, value)

    def _span(self) -> tuple[int, int]:
        return self.node.mark.start, _end(self.node.mark)

    def _all(self, items: list[SourceNode], new: list[Any]) -> Edit:
        """Keep what is the same, with what stands behind it; all else is new."""
        keys = [_key(each.data) for each in items]
        kept: list[int | None] = []
        for each in new:
            place = next((n for n, key in enumerate(keys) if key == _key(each) and n not in kept), None)
            kept.append(place)
        return self._in_brackets(kept, lambda place: new[place])

    def shown(self, entry: Any) -> list[str]:
        return [f"{self._indent()}- {emit_flow(entry)}"]

    def short(self, entry: Any) -> str:
        return emit_flow(entry)

    def _indent(self) -> str:
        start = self.node.items()[0].mark.start
        first = _line_start(self.raw, start)
        return " " * (self.raw.rindex("-", first, start) - first)


class _Mapping(_Collection):
    def stretches(self) -> list[tuple[int, int]]:
        marks = [each.mark for each in self.node.entries().values()]
        return [(mark.key_start, max(mark.key_end, _end(mark))) for mark in marks]

    def become(self, new: dict[str, Any]) -> Iterator[Edit]:
        """Yield the edits that make this mapping `new`; keys keep their order."""
        entries = self.node.entries()
        names = [*entries]
        coming = [key for key in new if key not in entries]
        kept: list[int | None] = [n for n, key in enumerate(names) if key in new]
        if len(kept) < len(names) or coming:
            if self._has_to_be_whole(new):
                yield _whole(self.node, {key: new[key] for key in [*(k for k in names if k in new), *coming]})
                return
            first = len(kept)
            yield from self.rebuilt(
                kept + [None] * len(coming), lambda place: (coming[place - first], new[coming[place - first]])
            )
        for key in names:
            if key in new:
                yield from replaced(entries[key], new[key])

    def _has_to_be_whole(self, new: dict[str, Any]) -> bool:
        """Say whether entries can't be written one by one: as the first goes with the `-` before it, say."""
        entries = self.node.entries()
        if self.in_brackets:
            return any(_key(each.data) != _key(new[key]) for key, each in entries.items() if key in new)
        first = next(iter(entries))
        return first not in new and _is_in_flow(self.raw, self.stretches()[0][0], marks="")

    def add(self, entries: list[tuple[str, Any]]) -> Iterator[Edit]:
        """Yield the edits that put entries at its end."""
        there: list[int | None] = [*range(len(self.node.data))]
        if not there:
            yield _whole(self.node, dict(entries))
            return
        yield from self.rebuilt(there + [None] * len(entries), lambda place: entries[place - len(there)])

    def shown(self, entry: Any) -> list[str]:
        key, value = entry
        start = self.stretches()[0][0]
        indent = " " * (start - _line_start(self.raw, start))
        flow = f"{indent}{self.short(entry)}"
        if len(flow) <= WIDTH or not isinstance(value, dict | list):
            return [flow]
        return [f"{indent}{emit_scalar(key)}:", *emit_block(value, f"{indent}  ")]

    def short(self, entry: Any) -> str:
        key, value = entry
        return f"{emit_scalar(key, flow=True)}: {emit_flow(value)}"
