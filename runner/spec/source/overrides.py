"""`--set a.b=c` and `--param k=v`: what the command line changes in a file, with places of its own.

SourceDocument + ["queues.steamer.maxsize=5"] ──► SourceDocument     the changed values are written at `--set`, line 1
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from runner.errors import SpecError
from runner.spec.diagnostics import LocatedDiagnostic
from runner.spec.source.composer import MAX_DEPTH
from runner.spec.source.positions import Mark, SourceDocument, SourceNode, Text
from runner.spec.source.reader import read_value

_STEP = re.compile(r"(?:\\.|[^.\\])+")
_ESCAPED = re.compile(r"\\(.)")


class _Step(NamedTuple):
    """One name of a dotted path, with its place in the argument."""

    text: Text
    name: str
    start: int
    end: int

    def refuse(self, message: str, help_: str | None = None) -> SpecError:
        where = self.text.location(self.start, self.end)
        return SpecError([where.diagnostic("override-path", message, help=help_)])


def override(
    source: SourceDocument, settings: Iterable[str]
) -> tuple[SourceDocument, list[LocatedDiagnostic]]:
    r"""Return the source with each `a.b=value` of `settings` in place; of two for one key the later wins.

    The value is read as YAML. Mappings that are missing are made; a list's entries go by number; a dot that
    belongs to a name is written `\.`. A setting with a problem changes nothing.
    """
    diagnostics: list[LocatedDiagnostic] = []
    for setting in settings:
        try:
            source = _override_one(source, Text("--set", setting))
        except SpecError as error:
            diagnostics += error.diagnostics
    return source, diagnostics


def parse_params(settings: Iterable[str]) -> tuple[dict[str, str], list[LocatedDiagnostic]]:
    """Return the `k=v` of `--param` as text by name; of two for one name the later wins."""
    params: dict[str, str] = {}
    diagnostics: list[LocatedDiagnostic] = []
    for setting in settings:
        name, equals, value = setting.partition("=")
        if equals and name.strip():
            params[name.strip()] = value
        else:
            diagnostics.append(_no_equals(Text("--param", setting), "param-syntax", "buns=5"))
    return params, diagnostics


def _override_one(source: SourceDocument, text: Text) -> SourceDocument:
    steps, value_start = _split(text)
    value, traps = read_value(text, value_start, steps[-1].name)
    return source.with_root(_place(source.root, steps, value), (*source.traps, *traps))


def _split(text: Text) -> tuple[list[_Step], int]:
    path, equals, _ = text.text.partition("=")
    steps = [
        _Step(text, _ESCAPED.sub(r"\1", found[0]), found.start(), found.end())
        for found in _STEP.finditer(path)
    ]
    if not equals or not steps:
        raise SpecError([_no_equals(text, "override-syntax", "queues.steamer.maxsize=5")])
    if len(steps) > MAX_DEPTH:
        raise steps[MAX_DEPTH].refuse(f"this path is more than {MAX_DEPTH} names long")
    if _joined(steps) != path:
        whole = _Step(text, path, 0, len(path))
        raise whole.refuse(f"'{path}' is not a path", "write names joined by single dots")
    return steps, len(path) + 1


def _joined(steps: Sequence[_Step]) -> str:
    return ".".join(step.text.text[step.start : step.end] for step in steps)


def _place(at: SourceNode | None, steps: Sequence[_Step], value: SourceNode) -> SourceNode:
    """Return `at` with `value` put where `steps` lead; what is on the way is copied, never changed."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if at is None or at.data is None:
        at = SourceNode({}, Mark(step.text, step.start, step.end, children={}))
    if isinstance(at.data, list):
        items = at.items()
        index = _index(step, len(items))
        items[index] = _keyed(_place(items[index], rest, value), step)
        return at.with_items(items)
    if not isinstance(at.data, dict):
        raise step.refuse(f"'{step.name}' can't be set inside {at.data!r:.60}", "set what is above it first")
    entries = at.entries()
    entries[step.name] = _keyed(_place(entries.get(step.name), rest, value), step)
    return at.with_entries(entries)


def _index(step: _Step, length: int) -> int:
    number = int(step.name) if step.name.isascii() and step.name.isdecimal() and len(step.name) < 10 else -1
    if not 0 <= number < length:
        known = f"its entries are 0 to {length - 1}" if length else "the list is empty"
        raise step.refuse(
            f"'{step.name}' is no entry of this list", f"{known}; set the whole list to change that"
        )
    return number


def _keyed(node: SourceNode, step: _Step) -> SourceNode:
    """Place the key in the argument, unless the argument only passed through on its way down."""
    if node.mark.text is not step.text:
        return node
    return node._replace(mark=node.mark._replace(key_start=step.start, key_end=step.end))


def _no_equals(text: Text, code: str, example: str) -> LocatedDiagnostic:
    where = text.location(0, len(text.text))
    return where.diagnostic(
        code, f"expected NAME=VALUE, got '{text.text}'", help=f"write it like {text.file} {example}"
    )
