"""A stream of YAML events becomes data with marks, its plain scalars typed by the core schema of YAML 1.2.

    events ──► Composer ──► SourceNode      one pass, no recursion; collections still open are on a stack
                  └───────► traps           what was read, but surely not as its author meant it

Knows no YAML library, only the shape of its events. A trap says the cause and the fix; the place is for whoever met it
to add. Whatever could cost unbounded time or memory is refused here, before anything is built from it.

A scalar without quotes means what the core schema of YAML 1.2 says, less what is read in two ways:

    3 → int     3.10 → float     true → bool     ~ → None     everything else → text

So yes, on, 2024-01-31, 12:30:45, 0777 and 1_000 stay as they were typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import field
from enum import Enum, auto
from typing import Any, NamedTuple, NoReturn

from runner.errors import SpecError
from runner.facts import dataclass
from runner.spec.diagnostics import LocatedDiagnostic
from runner.spec.source.positions import NO_KEY, Mark, SourceNode, Text
from runner.spec.suggestions import did_you_mean
from runner.text import late_pattern


class Trap(NamedTuple):
    """What is wrong, without where."""

    code: str
    message: str
    help: str | None = None


MANY_DOCUMENTS = Trap(
    "many-documents",
    "a second document starts here; a workflow file holds one",
    "put the second into a file of its own; 'include' brings it in",
)
UNUSABLE_ESCAPE = Trap(
    "control-character",
    "the escapes in this text make a NUL or half a character, which no program can be given",
    "take the escape out",
)
COLLECTION_KEY = Trap("collection-key", "this key is a list or a mapping; keys are text", "write a name here")
MERGE_KEY = Trap(
    "merge-key", "'<<' takes a mapping or a list of mappings", "write '<<: *name', where name marks a mapping"
)


def duplicate_key(key: str, first_line: int) -> Trap:
    """Say that a mapping has `key` twice."""
    return Trap(
        "duplicate-key",
        f"'{key}' is given twice; first on line {first_line}",
        "YAML readers would silently keep one of them: remove or rename the other",
    )


def second_merge(first_line: int) -> Trap:
    """Say that a mapping has two merge keys."""
    message = f"'<<' is given twice; first on line {first_line}"
    return Trap("duplicate-key", message, "put both into one list: '<<: [*one, *two]'")


def boolean_key(key: str) -> Trap:
    """Say that YAML 1.1 readers take this key for a truth value."""
    message = f"many YAML readers take the key {key} for true or false"
    return Trap("boolean-key", message, f"quote it if text is meant: '{key}'")


def null_key(key: str) -> Trap:
    """Say that a key is null or left out."""
    if not key:
        return Trap("null-key", "there is no key before this ':'", "write a name there")
    return Trap("null-key", f"the key {key} means null in YAML", f"quote it if text is meant: '{key}'")


def number_key(key: str) -> Trap:
    """Say that a key is a number."""
    return Trap("number-key", f"the key {key} is a number; keys are text", f"quote it: '{key}'")


def tag(name: str) -> Trap:
    """Say that a tag is not one of the core schema."""
    shown = name.replace("tag:yaml.org,2002:", "!!", 1)
    help_ = "remove it; a text that starts with '!' needs quotes"
    return Trap("yaml-tag", f"the tag {shown} has no meaning here", help_)


def lone_tag() -> Trap:
    """Say that a `!` alone stands before a value: YAML takes it for a tag, and it would be gone."""
    message = "YAML takes this '!' for a tag and drops it from the value"
    return Trap("yaml-tag", message, "quote the whole value if the '!' belongs to it; else remove it")


def cut_anchor(name: str, following: str) -> Trap:
    """Say that an anchor ends earlier than whoever wrote it meant."""
    message = f"the anchor ends before {following!r}: its name has letters a to z, digits, '-' and '_' only"
    return Trap("anchor-name", message, f"write a space after &{name}, or rename it")


def glued_question_mark() -> Trap:
    """Say that a `?` is read as the mark of a key, though no space follows it."""
    message = "YAML takes this '?' for the mark of a key, and drops it"
    return Trap(
        "question-mark", message, "quote the text if the '?' belongs to it; else put a space behind it"
    )


def tag_misfit(name: str, value: str) -> Trap:
    """Say that a core tag and its value do not fit."""
    shown = name.replace("tag:yaml.org,2002:", "!!", 1)
    message = f"{shown} does not fit the value {value[:40]!r}"
    return Trap("yaml-tag", message, "remove the tag or change the value")


def alias_bomb(limit: int) -> Trap:
    """Say that aliases would grow the file beyond reason."""
    message = f"the aliases up to here repeat more than {limit:,} values"
    return Trap("alias-bomb", message, "write out what is needed, or generate the file")


def recursive_alias(name: str) -> Trap:
    """Say that an alias stands inside what it names."""
    message = f"*{name} stands inside the value that it names, so it would never end"
    return Trap("recursive-alias", message, f"move what *{name} should repeat out of it")


def unknown_alias(name: str, suggestion: str | None) -> Trap:
    """Say that nothing is marked with this name."""
    quote = f"mark a value with &{name} above, or quote the text if it is meant to start with '*'"
    return Trap("unknown-alias", f"nothing above is marked &{name}", suggestion or quote)


def too_deep(limit: int) -> Trap:
    """Say that collections nest too deep."""
    return Trap("too-deep", f"this is nested more than {limit} levels deep", "flatten it")


def too_many_nodes(limit: int) -> Trap:
    """Say that there are too many values."""
    message = f"the file holds more than {limit:,} values"
    return Trap("too-large", message, "keep data in data files, which handlers read")


_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# A leading zero means octal to some readers and nothing to others, so such a "number" stays text. The bound
# on digits keeps the conversion away from Python's own limit.
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,999})|0o[0-7]{1,999}|0x[0-9a-fA-F]{1,999}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITY = late_pattern(r"([-+]?)\.(?:inf|Inf|INF)")
_NOT_A_NUMBER = late_pattern(r"\.(?:nan|NaN|NAN)")
_MAYBE_NUMBER = frozenset("0123456789.+-")


def resolve(plain: str) -> str | int | float | bool | None:
    """Return the value of a plain scalar. Never raises."""
    if plain in _NULLS:
        return None
    if plain in _BOOLEANS:
        return _BOOLEANS[plain]
    return _number(plain) if plain[0] in _MAYBE_NUMBER else plain


def _number(plain: str) -> int | float | str:
    if _INTEGER.fullmatch(plain):
        return int(plain, 0)
    if len(plain) < 1000 and _FLOAT.fullmatch(plain):
        return float(plain)
    if infinity := _INFINITY.fullmatch(plain):
        return float(infinity[1] + "inf")
    return float("nan") if _NOT_A_NUMBER.fullmatch(plain) else plain


def _joined(halves: re.Match[str]) -> str:
    return halves[0].encode("utf-16", "surrogatepass").decode("utf-16")


MAX_DEPTH = 100
MAX_NODES = 300_000
"""Values in one file. A workflow of ten thousand stages has a third of them."""
MAX_BORROWED = 100_000
"""Values that aliases may add to those that are written."""

_TAG = late_pattern(r"!\S*")
# A comment may stand between an anchor or a tag and what it belongs to.
_PROPERTIES = late_pattern(r"(?:[&!]\S*\s*(?:#[^\r\n]*\s*)*)*")
_AFTER_ANCHOR = late_pattern(r"&[\w-]+([^\s,\]}\[{].*)", re.ASCII)
_UNUSABLE = re.compile("[\0\ud800-\udfff]")
_PAIR = late_pattern("[\ud800-\udbff][\udc00-\udfff]")

_LISTS_TAKING_ON = frozenset({"notify"})
"""Keys with a list of mappings that may have one."""
_OLD_BOOLEANS = frozenset({"yes", "no", "on", "off"})
_TAKES_ON = frozenset({"attempts", "restart", "retry"})
"""Keys of the file format below which `on` is a key too, as in the CI files that people know: no slip there."""

_CORE = "tag:yaml.org,2002:"
_SCALAR_TAGS = {"str": str, "int": int, "float": float, "bool": bool, "null": type(None)}
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
    merged: list[SourceNode] = field(default_factory=list)
    merge_start: int = NO_KEY
    size: int = 1
    height: int = 1


class _Anchored(NamedTuple):
    node: SourceNode
    size: int
    """Values in it, those of aliases in it included."""
    height: int
    """Levels of collections in it."""


class Composer:
    """Composes one document. `traps` grows as it goes, and is whole when `compose` returns or raises."""

    def __init__(self, text: Text, base: int = 0, key: str = "") -> None:
        """Prepare to compose events of `text.text[base:]`, which is what stands at `key`."""
        self._key = key
        self.traps: list[LocatedDiagnostic] = []
        self._text = text
        self._base = base
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored | None] = {}
        self._root: SourceNode | None = None
        self._documents = self._nodes = self._borrowed = 0
        self._steps: dict[str, Callable[[Any], None]] = {
            "ScalarEvent": self._scalar,
            "AliasEvent": self._alias,
            "MappingStartEvent": self._begin_mapping,
            "SequenceStartEvent": self._begin_list,
            "MappingEndEvent": self._end,
            "SequenceEndEvent": self._end,
        }

    def compose(self, events: Iterable[Any]) -> SourceNode | None:
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
        self._trap(MANY_DOCUMENTS, event)
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
            self._check_anchor(event)
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
        return self._quoted(event) if event.style == '"' else event.value

    def _quoted(self, event: Any) -> str:
        # JSON writes a character beyond U+FFFF as the escapes of its two halves.
        value = _PAIR.sub(_joined, event.value)
        if _UNUSABLE.search(value):
            self._trap(UNUSABLE_ESCAPE, event)
        return value

    def _tagged(self, event: Any) -> Any:
        if event.tag == "!":
            self._trap_tag(lone_tag(), event)
            return event.value
        wanted = _SCALAR_TAGS.get(event.tag.removeprefix(_CORE))
        if wanted is str or wanted is None:
            if wanted is None:
                self._trap_tag(tag(event.tag), event)
                # With nothing behind it, it was meant as text, such as `!cancelled()`: told once, not missed as well.
                return event.value or event.tag
            return event.value
        value = resolve(event.value)
        if wanted is float and type(value) is int:
            return float(value)
        if type(value) is not wanted:
            self._trap_tag(tag_misfit(event.tag, event.value), event)
        return value

    def _scalar_key(self, event: Any) -> None:
        start, end = self._extent(event)
        if event.tag is not None and event.tag != _CORE + "str":
            self._trap_tag(tag(event.tag), event)
        if start < end and self._text.text[start - 1 : start] == "?":
            self._trap_at(glued_question_mark(), start - 1, start)
        plain = event.implicit[0] and not event.style
        name = self._quoted(event) if event.style == '"' else event.value
        if not event.value and event.tag is not None and not event.style:
            self._trap(null_key(""), event)
        if event.anchor is not None:
            self._check_anchor(event)
            key = SourceNode(name, Mark(self._text, start, end))
            self._anchors[event.anchor] = _Anchored(key, 1, 0)
        if plain and event.value == "<<":
            self._expect_merge(start, end)
            return
        if plain:
            self._check_plain_key(event)
        self._take_key(name, start, end)

    def _check_anchor(self, event: Any) -> None:
        start, end = event.start_mark.index + self._base, event.end_mark.index + self._base
        found = _AFTER_ANCHOR.search(self._text.text, start, end)
        if found is not None and found[0].startswith(f"&{event.anchor}{found[1]}"):
            self._trap_at(cut_anchor(event.anchor, found[1][:20]), found.start(), found.start(1) + 1)

    def _check_plain_key(self, event: Any) -> None:
        value = resolve(event.value)
        if value is None:
            self._trap(null_key(event.value), event)
        elif event.value == "on" and self._takes_on():
            return
        elif isinstance(value, bool) or event.value.lower() in _OLD_BOOLEANS:
            self._trap(boolean_key(event.value), event)
        elif not isinstance(value, str):
            self._trap(number_key(event.value), event)

    def _takes_on(self) -> bool:
        """Say whether `on` may be a key here; below the user's own notes, what is an alias for may take one."""
        if len(self._open) == 1:
            return self._key in _TAKES_ON
        own_note = str(self._open[0].key).startswith("x-")
        in_list = len(self._open) > 2 and self._open[-3].key in _LISTS_TAKING_ON
        return own_note or in_list or self._open[-2].key in _TAKES_ON

    def _take_key(self, key: str, start: int, end: int) -> None:
        into = self._open[-1]
        if key in into.data:
            first = into.children[key].key_start
            self._trap_at(duplicate_key(key, self._text.line_of(first)), start, end)
            into.expects = _Expects.NOTHING
            return
        into.key, into.key_start, into.key_end = key, start, end
        into.expects = _Expects.VALUE

    def _expect_merge(self, start: int, end: int) -> None:
        into = self._open[-1]
        if into.merge_start != NO_KEY:
            self._trap_at(second_merge(self._text.line_of(into.merge_start)), start, end)
        into.merge_start, into.expects = start, _Expects.MERGE

    def _alias(self, event: Any) -> None:
        target = self._follow(event)
        self._borrowed += target.size
        if self._borrowed > MAX_BORROWED:
            self._refuse(alias_bomb(MAX_BORROWED), event)
        if len(self._open) + target.height > MAX_DEPTH:
            self._refuse(too_deep(MAX_DEPTH), event)
        start, end = event.start_mark.index + self._base, event.end_mark.index + self._base
        data, mark = target.node
        if self._open and self._open[-1].expects is _Expects.KEY and isinstance(data, str):
            self._take_key(data, start, end)
            return
        self._put(data, Mark(self._text, start, end, children=mark.children, aliased=mark.aliased or mark))
        self._grow(target.size - 1, target.height)

    def _follow(self, event: Any) -> _Anchored:
        if event.anchor not in self._anchors:
            self._refuse(unknown_alias(event.anchor, did_you_mean(event.anchor, self._anchors)), event)
        target = self._anchors[event.anchor]
        if target is None:
            self._refuse(recursive_alias(event.anchor), event)
        return target

    def _begin_mapping(self, event: Any) -> None:
        self._begin(event, _Open({}, {}, 0, event.anchor, _Expects.KEY))

    def _begin_list(self, event: Any) -> None:
        self._begin(event, _Open([], [], 0, event.anchor, _Expects.ITEM))

    def _begin(self, event: Any, opened: _Open) -> None:
        self._count(event)
        if len(self._open) >= MAX_DEPTH:
            self._refuse(too_deep(MAX_DEPTH), event)
        if event.tag is not None:
            self._check_collection_tag(event, type(opened.data))
        opened.start = event.start_mark.index + self._base
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._open.append(opened)

    def _check_collection_tag(self, event: Any, kind: type) -> None:
        if kind not in _COLLECTION_TAGS.get(event.tag.removeprefix(_CORE), ()):
            self._trap_tag(tag(event.tag), event)

    def _end(self, event: Any) -> None:
        closed = self._open.pop()
        if closed.merged:
            self._merge(closed)
        end = event.end_mark.index + self._base
        node = self._put(closed.data, Mark(self._text, closed.start, end, children=closed.children))
        self._grow(closed.size - 1, closed.height)
        if closed.anchor is not None:
            self._anchors[closed.anchor] = _Anchored(node, closed.size, closed.height)

    def _merge(self, into: _Open) -> None:
        """Put what `<<` brings in before the own entries, which win; of what several bring in, the first wins."""
        own_data, own_children = into.data, into.children
        into.data, into.children = {}, {}
        for node in into.merged:
            for key, entry in node.entries().items():
                if key not in into.data:
                    into.data[key], into.children[key] = entry
        into.data.update(own_data)
        into.children.update(own_children)

    def _put(self, data: Any, mark: Mark) -> SourceNode:
        """Give a finished value to the collection that it is in, and return it as it is kept."""
        if not self._open:
            self._root = SourceNode(data, mark)
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
            self._put_aside(into, SourceNode(data, mark))
        return SourceNode(data, mark)

    def _put_aside(self, into: _Open, node: SourceNode) -> None:
        if into.expects is _Expects.KEY:
            self._trap_at(COLLECTION_KEY, node.mark.start, node.mark.start + 1)
            into.expects = _Expects.NOTHING
            return
        if into.expects is _Expects.MERGE:
            into.merged += self._mergeable(node)
        into.expects = _Expects.KEY

    def _mergeable(self, node: SourceNode) -> list[SourceNode]:
        nodes = node.items() if isinstance(node.data, list) else [node]
        if not all(isinstance(each.data, dict) for each in nodes):
            self._trap_at(MERGE_KEY, node.mark.start, node.mark.end)
        return [each for each in nodes if isinstance(each.data, dict)]

    def _grow(self, size: int, height: int) -> None:
        if self._open:
            into = self._open[-1]
            into.size += size
            into.height = max(into.height, height + 1)

    def _count(self, event: Any) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(too_many_nodes(MAX_NODES), event)

    def _trap(self, trap: Trap, event: Any) -> None:
        self._trap_at(trap, event.start_mark.index + self._base, event.end_mark.index + self._base)

    def _trap_tag(self, trap: Trap, event: Any) -> None:
        start, end = event.start_mark.index + self._base, event.end_mark.index + self._base
        found = _TAG.search(self._text.text, start, end)
        self._trap_at(trap, *(found.span() if found else (start, end)))

    def _trap_at(self, trap: Trap, start: int, end: int) -> None:
        self.traps.append(self._text.location(start, end).diagnostic(trap.code, trap.message, help=trap.help))

    def _refuse(self, trap: Trap, event: Any) -> NoReturn:
        self._trap(trap, event)
        raise SpecError(self.traps)
