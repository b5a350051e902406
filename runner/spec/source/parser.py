"""YAML text -> nodes, by PyYAML's parsers: this is the one module that knows them.

    text ──► as the parser can take it ──► events ──► Composer ──► SourceNode, traps
                       ▲                     │
                       └── read otherwise ◄──┴── a complaint that is the parser's own, not YAML's

libyaml is quick and refuses some of what YAML allows. Where it does, the text is read once more in another way.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runner.errors import SpecError
from runner.facts import dataclass
from runner.spec.diagnostics import LocatedDiagnostic
from runner.spec.source.composer import Composer
from runner.spec.source.positions import SourceNode, Text
from runner.text import late_pattern

if TYPE_CHECKING:
    from runner.spec.source.syntax_errors import Complaint

# All that is not on YAML's own list of what may stand in a text: it is a slip, or the file is no text. And three
# that YAML 1.1 takes for the end of a line, hence of a comment, where every editor and every tool shows none.
# Turned round and told one by one, `[^…]` means the same and takes ten times as long to compile.
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]|[\ud800-\udfff]|[\ufffe\uffff]")
_UNSEEN_LINE_ENDS = {"\x85": "\\N", "\u2028": "\\L", "\u2029": "\\P"}
"""With the escape for each, in double quotes."""


def compose(text: Text, base: int, key: str = "") -> tuple[SourceNode | None, tuple[LocatedDiagnostic, ...]]:
    """Return the one value that is written from `base` to the end, None if there is nothing, and its traps.

    Raises:
        SpecError: it is not YAML.
    """
    _check_characters(text)
    reading = _Reading(base, len(text.text))
    while True:
        composer = Composer(text, base, key)
        try:
            root = composer.compose(_events(text, reading))
        except _NotYaml as error:
            again = _read_otherwise(text.text, reading, error.complaint)
            if again is None:
                from runner.spec.source.syntax_errors import syntax_problem

                raise SpecError([*composer.traps, syntax_problem(text, error.complaint)]) from None
            reading = again
        else:
            return root, tuple(composer.traps)


class _NotYaml(Exception):
    def __init__(self, complaint: Complaint) -> None:
        self.complaint = complaint


@dataclass(frozen=True, slots=True)
class _Reading:
    """How the parser is given a text: from where to where, which of the two parsers, what is written otherwise."""

    start: int
    end: int
    in_c: bool = True
    pairs: tuple[int, ...] = ()
    """Where two escapes stand that are the halves of one character. libyaml takes the one escape of it instead."""
    tries: int = 0

    @property
    def given(self) -> list[int]:
        """Where these stand in the text as the parser gets it, counted from where the whole text begins."""
        return [at - _SHORTER * number for number, at in enumerate(self.pairs)]


def _read_otherwise(text: str, reading: _Reading, complaint: Complaint) -> _Reading | None:
    """Return how to read what YAML allows and this parser refuses; None where the complaint is right."""
    if complaint.is_of_depth and reading.end == len(text):
        # The parser looks ahead, so it met its bound before the Composer had seen the levels below ours.
        return replace(reading, end=complaint.at)
    if complaint.is_of_half and reading.tries < _MOST_TRIES:
        found = _pairs_behind(text, reading, complaint)
        if len(found) > len(reading.pairs):
            return replace(reading, pairs=found, tries=reading.tries + 1)
    return replace(reading, in_c=False) if complaint.is_of_tab_in_script and reading.in_c else None


_PAIR = late_pattern(r"\\(?:u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})|.)", re.IGNORECASE | re.DOTALL)
_DOUBLE_QUOTED = late_pattern(r'"(?:[^"\\]|\\.)*', re.DOTALL)
_SHORTER = len(r"\ud83d\ude00") - len(r"\U0001f600")
_MOST_TRIES = 100
"""How often a text that is not JSON is read again, for one more text in quotes that has such pairs."""


def _pairs_behind(text: str, reading: _Reading, complaint: Complaint) -> tuple[int, ...]:
    """The pairs known so far, and those of the text in quotes that is complained of; of JSON, all there are."""
    quoted = _DOUBLE_QUOTED.match(text, complaint.begun, reading.end)
    span = quoted.span() if quoted else (complaint.at, complaint.at)
    if _is_json(text[reading.start : reading.end]):
        span = (reading.start, reading.end)
    found = (pair.start() for pair in _PAIR.finditer(text, *span) if pair[1])
    return tuple(sorted({*reading.pairs, *found}))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _as_given(text: str, reading: _Reading) -> str:
    """The text as the parser gets it, each pair as the one escape that is two characters shorter."""
    parts, start = [], reading.start
    for at in reading.pairs:
        high, low = int(text[at + 2 : at + 6], 16), int(text[at + 8 : at + 12], 16)
        code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
        parts += [text[start:at], f"\\U{code:08x}"]
        start = at + 12
    return "".join([*parts, text[start : reading.end]])


@dataclass(frozen=True, slots=True)
class _YamlPath:
    """A mark of the parser, with the offset that it has in the text as written."""

    index: int


def _as_written(given: list[int], index: int) -> int:
    return index + _SHORTER * bisect_left(given, index)


def _events(text: Text, reading: _Reading) -> Iterator[Any]:
    import yaml  # costs as much as all the rest of a small validation, so not before it is needed

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if reading.in_c else yaml.SafeLoader
    try:
        yield from _moved(yaml.parse(_as_given(text.text, reading), Loader=loader), reading)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        begun = error.context_mark or at
        given = reading.given
        offsets = [_as_written(given, reading.start + (mark.index if mark else 0)) for mark in (begun, at)]
        raise _not_yaml(error.context or "", error.problem or "", *offsets) from None
    except (yaml.YAMLError, ValueError) as error:
        raise _not_yaml("", str(error), reading.start, reading.start) from None


def _not_yaml(reading: str, diagnostic: str, begun: int, at: int) -> _NotYaml:
    from runner.spec.source.syntax_errors import Complaint  # most files never need it

    return _NotYaml(Complaint(reading, diagnostic, begun, at))


def _moved(events: Iterator[Any], reading: _Reading) -> Iterator[Any]:
    """Give the marks the offsets in the text as written, where these differ."""
    if not reading.pairs:
        yield from events
        return
    start, given = reading.start, reading.given
    for event in events:
        event.start_mark = _YamlPath(_as_written(given, start + event.start_mark.index) - start)
        event.end_mark = _YamlPath(_as_written(given, start + event.end_mark.index) - start)
        yield event


def _check_characters(text: Text) -> None:
    found = _CONTROL.search(text.text)
    if found is None:
        return
    name = f"U+{ord(found[0]):04X}"
    message = f"the character {name} may not stand in a YAML file"
    help_ = "remove it; an editor may not show it"
    if found[0] in _UNSEEN_LINE_ENDS:
        message = f"YAML ends a line at the character {name}, which editors do not show as a line's end"
        help_ = f"remove it; where a text needs it, write {_UNSEEN_LINE_ENDS[found[0]]} in double quotes"
    where = text.location(found.start(), found.end())
    raise SpecError([where.diagnostic("control-character", message, help=help_)])
