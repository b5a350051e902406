"""A stream of YAML events becomes data with marks. Knows no YAML library, only the shape of its events.

    events ──► Composer ──► Node            one pass, no recursion; collections still open are on a stack
                  └───────► traps           what was read, but surely not as its author meant it

Whatever could cost unbounded time or memory is refused here, before anything is built from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NamedTuple, NoReturn

from runner import source_traps as traps
from runner.errors import SpecError
from runner.problems import Problem, did_you_mean
from runner.source_marks import NO_KEY, Mark, Node, Text
from runner.source_scalars import resolve

MAX_DEPTH = 100
MAX_NODES = 300_000
"""Values in one file. A workflow of ten thousand stages has a third of them."""
MAX_BORROWED = 100_000
"""Values that aliases may add to those that are written."""

_TAG = re.compile(r"!\S*")
_PROPERTIES = re.compile(r"(?:[&!]\S*\s*)*")
_UNUSABLE = re.compile("[\0\ud800-\udfff]")

_OLD_BOOLEANS = frozenset({"yes", "no", "on", "off"})
_TAKES_ON = frozenset({"restart", "retry"})
"""Keys of the file format below which `on` is a key too, as in the CI files that people know: no slip there."""

_CORE = "tag:yaml.org,2002:"
_SCALAR_TAGS = {"!": str, "str": str, "int": int, "float": float, "bool": bool, "null": type(None)}
_COLLECTION_TAGS = {"map": (dict,), "seq": (list,), "!": (dict, list)}


class _Expects(Enum):
    """What the next value is to the collection that it falls into."""

    ITEM = auto()
    KEY = auto()
    VALUE = auto()
    MERGE = auto()
    NOTHING = auto()
    """Its key is no good: the value is read and let go."""


@dataclass(slots=True)
class _Open:
    """A collection whose end has not been seen."""

    data: Any
    children: Any
    start: int
    anchor: str | None
    expects: _Expects
    key: str = ""
    key_start: int = NO_KEY
    key_end: int = NO_KEY
    merged: list[Node] = field(default_factory=list)
    merge_start: int = NO_KEY
    size: int = 1
    height: int = 1


class _Anchored(NamedTuple):
    node: Node
    size: int
    """Values in it, those of aliases in it included."""
    height: int
    """Levels of collections in it."""


class Composer:
    """Composes one document. `traps` grows as it goes, and is whole when `compose` returns or raises."""

    def __init__(self, text: Text, base: int = 0) -> None:
        """Prepare to compose events of `text.text[base:]`."""
        self.traps: list[Problem] = []
        self._text = text
        self._base = base
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored | None] = {}
        self._root: Node | None = None
        self._documents = self._nodes = self._borrowed = 0
        self._steps: dict[str, Callable[[Any], None]] = {
            "ScalarEvent": self._scalar,
            "AliasEvent": self._alias,
            "MappingStartEvent": self._begin_mapping,
            "SequenceStartEvent": self._begin_list,
            "MappingEndEvent": self._end,
            "SequenceEndEvent": self._end,
        }

    def compose(self, events: Iterable[Any]) -> Node | None:
        """Return the first document, or None if there is nothing in it.

        Raises:
            SpecError: it nests too deep, is too large, or an alias in it can't be followed.
        """
        steps = self._steps
        for event in events:
            name = type(event).__name__
            if name in steps:
                steps[name](event)
            elif name == "DocumentStartEvent" and self._is_second_document(event):
                break
        return self._root

    def _is_second_document(self, event: Any) -> bool:
        self._documents += 1
        if self._documents == 1:
            return False
        self._trap(traps.MANY_DOCUMENTS, event)
        return True

    def _scalar(self, event: Any) -> None:
        if self._open and self._open[-1].expects is _Expects.KEY:
            self._scalar_key(event)
            return
        self._count(event)
        value = self._value(event)
        start, end = self._extent(event)
        node = self._put(value, Mark(self._text, start, end))
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(node, 1, 0)

    def _extent(self, event: Any) -> tuple[int, int]:
        start, end = event.start_mark.index + self._base, event.end_mark.index + self._base
        if event.anchor is not None or event.tag is not None:
            found = _PROPERTIES.match(self._text.text, start, end)
            start = found.end() if found else start
        return start, end

    def _value(self, event: Any) -> Any:
        if event.tag is not None:
            return self._tagged(event)
        if event.implicit[0] and not event.style:
            return resolve(event.value)
        if event.style == '"' and _UNUSABLE.search(event.value):
            self._trap(traps.UNUSABLE_ESCAPE, event)
        return event.value

    def _tagged(self, event: Any) -> Any:
        wanted = _SCALAR_TAGS.get(event.tag.removeprefix(_CORE))
        if wanted is str or wanted is None:
            if wanted is None:
                self._trap_tag(traps.tag(event.tag), event)
                # With nothing behind it, it was meant as text, such as `!cancelled()`: told once, not missed as well.
                return event.value or event.tag
            return event.value
        value = resolve(event.value)
        if wanted is float and type(value) is int:
            return float(value)
        if type(value) is not wanted:
            self._trap_tag(traps.tag_misfit(event.tag, event.value), event)
        return value

    def _scalar_key(self, event: Any) -> None:
        start, end = self._extent(event)
        if event.tag is not None and event.tag != _CORE + "str":
            self._trap_tag(traps.tag(event.tag), event)
        plain = event.implicit[0] and not event.style
        if event.anchor is not None:
            key = Node(event.value, Mark(self._text, start, end))
            self._anchors[event.anchor] = _Anchored(key, 1, 0)
        if plain and event.value == "<<":
            self._expect_merge(start, end)
            return
        if plain:
            self._check_plain_key(event)
        self._take_key(event.value, start, end)

    def _check_plain_key(self, event: Any) -> None:
        value = resolve(event.value)
        if value is None:
            self._trap(traps.null_key(event.value), event)
        elif event.value == "on" and len(self._open) > 1 and self._open[-2].key in _TAKES_ON:
            return
        elif isinstance(value, bool) or event.value.lower() in _OLD_BOOLEANS:
            self._trap(traps.boolean_key(event.value), event)
        elif not isinstance(value, str):
            self._trap(traps.number_key(event.value), event)

    def _take_key(self, key: str, start: int, end: int) -> None:
        into = self._open[-1]
        if key in into.data:
            first = into.children[key].key_start
            self._trap_at(traps.duplicate_key(key, self._text.line_of(first)), start, end)
            into.expects = _Expects.NOTHING
            return
        into.key, into.key_start, into.key_end = key, start, end
        into.expects = _Expects.VALUE

    def _expect_merge(self, start: int, end: int) -> None:
        into = self._open[-1]
        if into.merge_start != NO_KEY:
            self._trap_at(traps.second_merge(self._text.line_of(into.merge_start)), start, end)
        into.merge_start, into.expects = start, _Expects.MERGE

    def _alias(self, event: Any) -> None:
        target = self._follow(event)
        self._borrowed += target.size
        if self._borrowed > MAX_BORROWED:
            self._refuse(traps.alias_bomb(MAX_BORROWED), event)
        if len(self._open) + target.height > MAX_DEPTH:
            self._refuse(traps.too_deep(MAX_DEPTH), event)
        start, end = event.start_mark.index + self._base, event.end_mark.index + self._base
        data, mark = target.node
        if self._open and self._open[-1].expects is _Expects.KEY and isinstance(data, str):
            self._take_key(data, start, end)
            return
        self._put(data, Mark(self._text, start, end, children=mark.children, aliased=mark.aliased or mark))
        self._grow(target.size - 1, target.height)

    def _follow(self, event: Any) -> _Anchored:
        if event.anchor not in self._anchors:
            self._refuse(traps.unknown_alias(event.anchor, did_you_mean(event.anchor, self._anchors)), event)
        target = self._anchors[event.anchor]
        if target is None:
            self._refuse(traps.recursive_alias(event.anchor), event)
        return target

    def _begin_mapping(self, event: Any) -> None:
        self._begin(event, _Open({}, {}, 0, event.anchor, _Expects.KEY))

    def _begin_list(self, event: Any) -> None:
        self._begin(event, _Open([], [], 0, event.anchor, _Expects.ITEM))

    def _begin(self, event: Any, opened: _Open) -> None:
        self._count(event)
        if len(self._open) >= MAX_DEPTH:
            self._refuse(traps.too_deep(MAX_DEPTH), event)
        if event.tag is not None:
            self._check_collection_tag(event, type(opened.data))
        opened.start = event.start_mark.index + self._base
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._open.append(opened)

    def _check_collection_tag(self, event: Any, kind: type) -> None:
        if kind not in _COLLECTION_TAGS.get(event.tag.removeprefix(_CORE), ()):
            self._trap_tag(traps.tag(event.tag), event)

    def _end(self, event: Any) -> None:
        closed = self._open.pop()
        for node in closed.merged:
            self._merge(closed, node)
        end = event.end_mark.index + self._base
        node = self._put(closed.data, Mark(self._text, closed.start, end, children=closed.children))
        self._grow(closed.size - 1, closed.height)
        if closed.anchor is not None:
            self._anchors[closed.anchor] = _Anchored(node, closed.size, closed.height)

    def _merge(self, into: _Open, node: Node) -> None:
        for key, entry in node.entries().items():
            if key not in into.data:
                into.data[key], into.children[key] = entry

    def _put(self, data: Any, mark: Mark) -> Node:
        """Give a finished value to the collection that it is in, and return it as it is kept."""
        if not self._open:
            self._root = Node(data, mark)
            return self._root
        into = self._open[-1]
        into.size += 1
        if into.expects is _Expects.ITEM:
            into.data.append(data)
            into.children.append(mark)
        elif into.expects is _Expects.VALUE:
            mark = mark._replace(key_start=into.key_start, key_end=into.key_end)
            into.data[into.key], into.children[into.key] = data, mark
            into.expects = _Expects.KEY
        else:
            self._put_aside(into, Node(data, mark))
        return Node(data, mark)

    def _put_aside(self, into: _Open, node: Node) -> None:
        if into.expects is _Expects.KEY:
            self._trap_at(traps.COLLECTION_KEY, node.mark.start, node.mark.start + 1)
            into.expects = _Expects.NOTHING
            return
        if into.expects is _Expects.MERGE:
            into.merged += self._mergeable(node)
        into.expects = _Expects.KEY

    def _mergeable(self, node: Node) -> list[Node]:
        nodes = node.items() if isinstance(node.data, list) else [node]
        if not all(isinstance(each.data, dict) for each in nodes):
            self._trap_at(traps.MERGE_KEY, node.mark.start, node.mark.end)
        return [each for each in nodes if isinstance(each.data, dict)]

    def _grow(self, size: int, height: int) -> None:
        if self._open:
            into = self._open[-1]
            into.size += size
            into.height = max(into.height, height + 1)

    def _count(self, event: Any) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(traps.too_many_nodes(MAX_NODES), event)

    def _trap(self, trap: traps.Trap, event: Any) -> None:
        self._trap_at(trap, event.start_mark.index + self._base, event.end_mark.index + self._base)

    def _trap_tag(self, trap: traps.Trap, event: Any) -> None:
        start, end = event.start_mark.index + self._base, event.end_mark.index + self._base
        found = _TAG.search(self._text.text, start, end)
        self._trap_at(trap, *(found.span() if found else (start, end)))

    def _trap_at(self, trap: traps.Trap, start: int, end: int) -> None:
        self.traps.append(self._text.location(start, end).problem(trap.code, trap.message, help=trap.help))

    def _refuse(self, trap: traps.Trap, event: Any) -> NoReturn:
        self._trap(trap, event)
        raise SpecError(self.traps)
