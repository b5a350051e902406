"""A YAML file -> plain data with positions.

    path ──bytes──► text ──events──► Composer ──► SourceDocument        data, the place of every key and value, traps
           size      characters        one pass, bounded
           UTF-8

Whoever needs a place asks the document; whoever needs data takes `source.data`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from runner.errors import SpecError
from runner.spec.diagnostics import DataPath, Diagnostic, LocatedDiagnostic, Part, Span, UseSite
from runner.spec.source.composer import resolve
from runner.spec.source.parser import compose
from runner.spec.source.positions import Location, Mark, SourceDocument, SourceNode, Text
from runner.spec.suggestions import nearest

__all__ = [
    "DataPath",
    "Location",
    "Part",
    "SourceDocument",
    "SourceNode",
    "read",
    "read_characters",
    "read_text",
    "read_value",
]

MAX_BYTES = 16 * 1024 * 1024
_STDIN = Path("/dev/stdin")
"""What `-` stands for."""
NO_FILE = "no-file"
UNREADABLE = "unreadable"


def read(path: Path, shown: str | None = None, used: tuple[UseSite, ...] = ()) -> SourceDocument:
    """Read a file, of a template where it is `used`; problems call it `shown`, or else as `path` is written.

    Raises:
        SpecError: it can't be read, is too large, is not UTF-8, or is not YAML with a mapping at its top.
    """
    file = str(path) if shown is None else shown
    return _source(Text(file, _decode(file, _read_bytes(path, file)), used), path)


def read_characters(path: Path) -> str:
    """Return the text of a file that need be no YAML. Raises SpecError as `read` does."""
    return _decode(str(path), _read_bytes(path, str(path)))


def read_text(text: str, file: str, path: Path | None = None) -> SourceDocument:
    """Read text as if it stood in `file`, which is at `path` if it is anywhere. Raises SpecError as `read` does."""
    return _source(Text(file, text.lstrip("\ufeff")), path)


def read_value(text: Text, base: int, key: str = "") -> tuple[SourceNode, tuple[LocatedDiagnostic, ...]]:
    """Read the one value, of any kind, that is written from `base` to the end, and is to stand at `key`; and its traps.

    Raises:
        SpecError: it is not YAML.
    """
    node, traps = compose(text, base, key)
    end = len(text.text)
    return node or SourceNode(None, Mark(text, end, end)), traps


Written = Callable[[DataPath], str | None]
"""Returns the text of a scalar as the file has it."""


def lossy_numbers(data: Any, path: DataPath, written: Written) -> Iterator[Diagnostic]:
    """Find, in data that stands at `path`, the numbers that lose something."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from lossy_numbers(value, (*path, key), written)
    elif isinstance(data, list | tuple):
        for number, value in enumerate(data):
            yield from lossy_numbers(value, (*path, number), written)
    elif isinstance(data, int | float) and not isinstance(data, bool):
        typed = written(path)
        if typed is not None and typed != str(data) and _means(typed, data):
            message = f"{typed} is read as the number {data}"
            help_ = f"write '{typed}' if the text is meant, or {data} if the number is"
            yield Diagnostic(path, "lossy-number", message, help=help_)


def _means(typed: str, value: object) -> bool:
    """Say whether `value` was read from what was typed, and did not come by a reference."""
    return "${{" not in typed and resolve(typed) == value


def _source(text: Text, path: Path | None) -> SourceDocument:
    root, traps = compose(text, 0)
    if root is None or not isinstance(root.data, dict):
        raise SpecError([*traps, _not_a_mapping(text, root)])
    return SourceDocument(text.file, root.data, traps, root.mark, path)


def _read_bytes(path: Path, file: str) -> bytes:
    source = _STDIN if str(path) == "-" else path
    try:
        with source.open("rb") as stream:
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
    return SpecError([LocatedDiagnostic(file, Span(1, 1), code, message, help_)])


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


def _not_utf8(file: str, content: bytes, bad: int) -> LocatedDiagnostic:
    before = Text(file, content[:bad].decode() + "\ufffd")
    where = before.location(len(before.text) - 1, len(before.text))
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    found = "it looks like UTF-16" if wide else f"byte 0x{content[bad]:02x} is not"
    message = f"a workflow file is UTF-8 text; {found}"
    return where.diagnostic("not-utf8", message, help="save the file as UTF-8")


def _not_a_mapping(text: Text, root: SourceNode | None) -> LocatedDiagnostic:
    if root is None or root.data is None:
        help_ = "'mprun new' writes a workflow to start from"
        message = (
            "the file holds nothing but comments"
            if root is None and text.text.strip()
            else "the file is empty"
        )
        return text.location(0, 1).diagnostic("empty-file", message, help=help_)
    kind = "list" if isinstance(root.data, list) else "single value"
    spaceless = isinstance(root.data, str) and re.match(r"[\w.-]+:\S", root.data)
    help_ = "write a space after the ':'" if spaceless else "begin with 'name: …' and 'stages:'"
    message = f"a workflow is a mapping of keys to values; this is a {kind}"
    return root.mark.at_value().diagnostic("not-a-mapping", message, help=help_)
