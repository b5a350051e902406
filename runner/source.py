"""YAML text -> plain data with positions. The one module that knows PyYAML.

    path ──bytes──► text ──events──► Composer ──► Source        data, the place of every key and value, traps
           size      characters        one pass, bounded
           UTF-8

Whoever needs a place asks the Source; whoever needs data takes `source.data`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runner.errors import SpecError
from runner.problems import Problem, Span, nearest
from runner.source_compose import Composer
from runner.source_marks import DataPath, Location, Mark, Node, Part, Source, Text
from runner.source_syntax import Complaint, syntax_problem

__all__ = ["DataPath", "Location", "Node", "Part", "Source", "read", "read_text", "read_value"]

MAX_BYTES = 16 * 1024 * 1024
NO_FILE = "no-file"
UNREADABLE = "unreadable"

# All that is not on YAML's own list of what may stand in a text: it is a slip, or the file is no text.
# Turned round and told one by one, `[^…]` means the same and takes ten times as long to compile.
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]|[\ud800-\udfff]|[\ufffe\uffff]")


def read(path: Path, shown: str | None = None) -> Source:
    """Read a file; problems call it `shown`, or else as `path` is written.

    Raises:
        SpecError: it can't be read, is too large, is not UTF-8, or is not YAML with a mapping at its top.
    """
    file = str(path) if shown is None else shown
    return _source(Text(file, _decode(file, _read_bytes(path, file))), path)


def read_text(text: str, file: str) -> Source:
    """Read text as if it stood in `file`. Raises SpecError as `read` does."""
    return _source(Text(file, text.lstrip("\ufeff")), None)


def read_value(text: Text, base: int) -> tuple[Node, tuple[Problem, ...]]:
    """Read the one value, of any kind, that is written from `base` to the end, with its traps.

    Raises:
        SpecError: it is not YAML.
    """
    node, traps = _compose(text, base)
    end = len(text.text)
    return node or Node(None, Mark(text, end, end)), traps


def _source(text: Text, path: Path | None) -> Source:
    root, traps = _compose(text, 0)
    if root is None or not isinstance(root.data, dict):
        raise SpecError([*traps, _not_a_mapping(text, root)])
    return Source(text.file, root.data, traps, root.mark, path)


def _compose(text: Text, base: int) -> tuple[Node | None, tuple[Problem, ...]]:
    _check_characters(text)
    composer = Composer(text, base)
    try:
        root = composer.compose(_events(text, base))
    except _NotYaml as error:
        raise SpecError([*composer.traps, syntax_problem(text, error.complaint)]) from None
    return root, tuple(composer.traps)


class _NotYaml(Exception):
    def __init__(self, complaint: Complaint) -> None:
        self.complaint = complaint


def _events(text: Text, base: int) -> Iterator[Any]:
    import yaml  # costs as much as all the rest of a small validation, so not before it is needed

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        yield from yaml.parse(text.text[base:], Loader=loader)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        begun = error.context_mark or at
        offsets = [base + (mark.index if mark else 0) for mark in (begun, at)]
        raise _NotYaml(Complaint(error.context or "", error.problem or "", *offsets)) from None
    except (yaml.YAMLError, ValueError) as error:
        raise _NotYaml(Complaint("", str(error), base, base)) from None


def _read_bytes(path: Path, file: str) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _about_file(file, NO_FILE, f"there is no file '{file}'", _similar_file(path)) from None
    except IsADirectoryError:
        raise _about_file(file, UNREADABLE, f"'{file}' is a folder", "name a file in it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _about_file(file, UNREADABLE, f"'{file}' can't be read: {reason}", None) from None
    if len(content) > MAX_BYTES:
        help_ = "keep data in data files, which handlers read"
        raise _about_file(file, "too-large", f"'{file}' is larger than {MAX_BYTES >> 20} MiB", help_)
    return content


def _about_file(file: str, code: str, message: str, help_: str | None) -> SpecError:
    return SpecError([Problem(file, Span(1, 1), code, message, help_)])


def _similar_file(path: Path) -> str | None:
    try:
        beside = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except (OSError, ValueError):
        return None
    name = nearest(path.name, beside)
    return None if name is None else f"did you mean '{path.with_name(name)}'?"


def _decode(file: str, content: bytes) -> str:
    try:
        return content.decode().lstrip("\ufeff")
    except UnicodeDecodeError as error:
        raise SpecError([_not_utf8(file, content, error.start)]) from None


def _not_utf8(file: str, content: bytes, bad: int) -> Problem:
    before = Text(file, content[:bad].decode() + "\ufffd")
    where = before.location(len(before.text) - 1, len(before.text))
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    found = "it looks like UTF-16" if wide else f"byte 0x{content[bad]:02x} is not"
    message = f"a workflow file is UTF-8 text; {found}"
    return where.problem("not-utf8", message, help="save the file as UTF-8")


def _check_characters(text: Text) -> None:
    found = _CONTROL.search(text.text)
    if found is None:
        return
    name = f"U+{ord(found[0]):04X}"
    message = f"the character {name} may not stand in a YAML file"
    where = text.location(found.start(), found.end())
    raise SpecError(
        [where.problem("control-character", message, help="remove it; an editor may not show it")]
    )


def _not_a_mapping(text: Text, root: Node | None) -> Problem:
    if root is None or root.data is None:
        help_ = "'mprun new' writes a workflow to start from"
        return text.location(0, 1).problem("empty-file", "the file is empty", help=help_)
    kind = "list" if isinstance(root.data, list) else "single value"
    spaceless = isinstance(root.data, str) and re.match(r"[\w.-]+:\S", root.data)
    help_ = "write a space after the ':'" if spaceless else "begin with 'name: …' and 'stages:'"
    message = f"a workflow is a mapping of keys to values; this is a {kind}"
    return root.mark.at_value().problem("not-a-mapping", message, help=help_)
