"""What came of tests, written into their files instead of what was expected. All else of the files stays as it is.

mismatches ──► edits of the values that are wrong ──► text ──read again──► does it say what it should? ──► file
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.errors import MprunError, SpecError
from runner.file_tests.verdict import Mismatch
from runner.spec.diagnostics import DataPath
from runner.spec.file_tests.model import FileTest
from runner.spec.source.edit import Edit, apply_edits, inserted, replaced
from runner.spec.source.positions import SourceDocument, SourceNode, Text
from runner.spec.source.reader import read_text
from runner.text import write_atomically

Wrong = Sequence[tuple[FileTest, Sequence[Mismatch]]]


def update_files(source: SourceDocument, wrong: Wrong) -> list[str]:
    """
    Write what came into the files that the tests are in, and return their names. All of them, or none of one.

    Raises:
        MprunError: a file can't be changed without changing something else of it, or can't be written.
    """
    edits: dict[int, tuple[Text, list[Edit], list[tuple[DataPath, Any]]]] = {}
    for test, mismatches in wrong:
        for mismatch in mismatches:
            path: DataPath = ("tests", test.name, *mismatch.where)
            node = source.root.entries()["tests"].entries()[test.name]
            _, into, told = edits.setdefault(id(node.mark.text), (node.mark.text, [], []))
            into += _edits(node, mismatch.where, mismatch.right)
            told.append((path, mismatch.right))
    return [_write(*each) for each in edits.values()]


def _edits(node: SourceNode, where: DataPath, right: Any) -> Iterator[Edit]:
    """Yield the edits that put a value at a path below a test; keys that lack are made."""
    for number, step in enumerate(where):
        below = node.entries().get(str(step))
        if below is None:
            for key in reversed(where[number + 1 :]):
                right = {key: right}
            yield from inserted(node, str(step), right)
            return
        node = below
    yield from replaced(node, right)


def _write(text: Text, edits: Iterable[Edit], told: Sequence[tuple[DataPath, Any]]) -> str:
    path = Path(text.file)
    new = apply_edits(text.text, edits)
    _check(text, new, told)
    try:
        before = path.read_bytes()
        mark = codecs.BOM_UTF8 if before.startswith(codecs.BOM_UTF8) else b""
        if before != mark + text.text.encode():
            raise MprunError(f"'{path}' has changed meanwhile: run the tests again")
        write_atomically(path, mark + new.encode())
    except OSError as error:
        raise MprunError(f"'{path}' can't be written: {error.strerror}") from error
    return text.file


def _check(text: Text, new: str, told: Sequence[tuple[DataPath, Any]]) -> None:
    """Make sure that the new file says what came, and all else as before."""
    before = read_text(text.text, text.file).data
    try:
        after = read_text(new, text.file).data
    except SpecError:
        after = None
    for path, right in told:
        _put(before, path, right)
    if before != after:
        names = ", ".join(dict.fromkeys(f"'{path[1]}'" for path, _ in told))
        raise MprunError(
            f"'{text.file}' is not changed: the expectations of {names} are written in a way, with anchors or aliases "
            "say, in which they can't be written anew alone; change them by hand"
        )


def _put(data: Any, path: DataPath, value: Any) -> None:
    for step in path[:-1]:
        data = data.setdefault(step, {})
    data[path[-1]] = value
