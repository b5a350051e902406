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
_Told = list[tuple[DataPath, Any]]
_Edits = tuple[Text, list[Edit], _Told]


def update_files(source: SourceDocument, wrong: Wrong) -> list[str]:
    """
    Write what came into the files that the tests are in, and return their names. All of them, or none of one.

    Raises:
        MprunError: a file can't be changed without changing something else of it, or can't be written.
    """
    return [_write(*each) for each in _edits_by_file(source, wrong)]


def why_not_updated(source: SourceDocument, test: FileTest, mismatches: Sequence[Mismatch]) -> str | None:
    """Say why what came of a test can't be written into its file; None where it can. Nothing is written."""
    try:
        for text, edits, told in _edits_by_file(source, [(test, mismatches)]):
            _edited(text, edits, told)
    except MprunError as error:
        return str(error)
    return None


def _edits_by_file(source: SourceDocument, wrong: Wrong) -> Iterable[_Edits]:
    edits: dict[int, _Edits] = {}
    for test, mismatches in wrong:
        for mismatch in mismatches:
            path: DataPath = ("tests", test.name, *mismatch.where)
            node = source.root.entries()["tests"].entries()[test.name]
            _, into, told = edits.setdefault(id(node.mark.text), (node.mark.text, [], []))
            into += _edits(node, mismatch.where, mismatch.right)
            told.append((path, mismatch.right))
    return edits.values()


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


def _edited(text: Text, edits: Iterable[Edit], told: _Told) -> str:
    new = apply_edits(text.text, edits)
    _check(text, new, told)
    return new


def _write(text: Text, edits: Iterable[Edit], told: _Told) -> str:
    path = Path(text.file)
    new = _edited(text, edits, told)
    try:
        before = path.read_bytes()
        mark = codecs.BOM_UTF8 if before.startswith(codecs.BOM_UTF8) else b""
        if before != mark + text.text.encode():
            raise MprunError(f"'{path}' has changed meanwhile: run the tests again")
        write_atomically(path, mark + new.encode())
    except OSError as error:
        raise MprunError(f"'{path}' can't be written: {error.strerror}") from error
    return text.file


def _check(text: Text, new: str, told: _Told) -> None:
    """Make sure that the new file says what came, and all else as before."""
    before = _unshared(read_text(text.text, text.file).data)
    try:
        after = _unshared(read_text(new, text.file).data)
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


def _unshared(data: Any) -> Any:
    """Copy what aliases have in common as often as it is there, so that a change of one is not one of all."""
    match data:
        case dict():
            return {key: _unshared(value) for key, value in data.items()}
        case list():
            return [_unshared(value) for value in data]
        case _:
            return data


def _put(data: Any, path: DataPath, value: Any) -> None:
    for step in path[:-1]:
        data = data.setdefault(step, {})
    data[path[-1]] = value
