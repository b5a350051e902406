"""A pipeline with what it includes, extends and refers to filled in. Each value keeps the line that it is written in.

include: {local: ci/build.yml}              its entries stand below those of the file
test: {extends: .base, …}                   .base, with the keys of test over its own
script: [!reference [.base, script], make]  the lines of .base, then make
"""

from __future__ import annotations

from pathlib import Path

from runner.errors import SpecError
from runner.importers.model import Note, Outcome
from runner.importers.nodes import note, text_of, texts_of
from runner.spec.source.positions import SourceDocument, SourceNode
from runner.spec.source.reader import read

_REFERENCE = "!reference"
_DEEPEST = 12
_MOST_FILES = 50


class Pipeline:
    """The entries of a pipeline, filled in when they are asked for."""

    def __init__(self, source: SourceDocument) -> None:
        self.notes: list[Note] = []
        self._folder = _top_of(source.path.absolute().parent) if source.path is not None else None
        self._files = 0
        self._root = self._included(source.root)

    def entries(self) -> dict[str, SourceNode]:
        """Return what stands at the top, templates among it."""
        return self._root.entries()

    def job(self, name: str) -> SourceNode:
        """Return a job with all that it extends, and its references filled in."""
        return self._referred(self._extended(name, ()), 0)

    def value(self, name: str) -> SourceNode | None:
        """Return what stands at the top under a name, or under it in `default`, with references filled in."""
        entries = self.entries()
        default = entries["default"].entries() if "default" in entries else {}
        found = default.get(name, entries.get(name))
        return None if found is None else self._referred(found, 0)

    def _extended(self, name: str, seen: tuple[str, ...]) -> SourceNode:
        node = self.entries()[name]
        base: SourceNode | None = None
        for each in texts_of(node.entries().get("extends")):
            if each not in self.entries() or each in seen or len(seen) > _DEEPEST:
                self.notes.append(note(node, Outcome.LEFT, f"it extends '{each}', which is not here"))
                continue
            found = self._extended(each, (*seen, name))
            base = found if base is None else merged(base, found)
        return node if base is None else merged(base, node)

    def _referred(self, node: SourceNode, depth: int) -> SourceNode:
        if depth > _DEEPEST:
            return node
        if is_reference(node):
            found = self._followed(texts_of(node))
            return node if found is None else self._referred(found, depth + 1)
        if isinstance(node.data, dict):
            return node.with_entries(
                {key: self._referred(each, depth + 1) for key, each in node.entries().items()}
            )
        if isinstance(node.data, list):
            return node.with_items([self._referred(each, depth + 1) for each in node.items()])
        return node

    def _followed(self, path: list[str]) -> SourceNode | None:
        if not path or path[0] not in self.entries():
            return None
        found: SourceNode | None = self._extended(path[0], ())
        for step in path[1:]:
            found = found.entries().get(step) if found is not None else None
        return found

    def _included(self, root: SourceNode) -> SourceNode:
        node = root.entries().get("include")
        if node is None:
            return root
        result = root
        for each in node.items() if isinstance(node.data, list) else [node]:
            found = self._file_of(each)
            for there in found:
                result = merged(there, result)
        return result

    def _file_of(self, node: SourceNode) -> list[SourceNode]:
        entries = node.entries()
        local = text_of(entries.get("local")) if entries else text_of(node)
        if not local or "://" in local or self._folder is None or "$" in local:
            self.notes.append(note(node, Outcome.LEFT, "what it includes is not here: import that file too"))
            return []
        found: list[SourceNode] = []
        for path in self._paths(local.lstrip("/")):
            self._files += 1
            try:
                found.append(self._included(read(path).root))
            except SpecError as error:
                self.notes.append(note(node, Outcome.LEFT, error.diagnostics[0].message))
        told = f"{len(found)} files are in" if len(found) > 1 else "it is in"
        self.notes.append(
            note(node, Outcome.TRANSLATED, told)
            if found
            else note(node, Outcome.LEFT, f"'{local}' can't be read from here")
        )
        return found

    def _paths(self, local: str) -> list[Path]:
        if self._folder is None or self._files > _MOST_FILES:
            return []
        try:
            if "*" in local:
                return sorted(path for path in self._folder.glob(local) if path.is_file())
            return [self._folder / local] if (self._folder / local).is_file() else []
        except (OSError, ValueError, NotImplementedError):
            return []


def _top_of(folder: Path) -> Path:
    """Return the folder that paths in a pipeline start at: that of the project, where it can be seen."""
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)


def is_reference(node: SourceNode) -> bool:
    """Say whether a list is written as `!reference […]`."""
    return isinstance(node.data, list) and node.mark.text.text.startswith(_REFERENCE, node.mark.start)


def merged(base: SourceNode, over: SourceNode) -> SourceNode:
    """Return a mapping with the entries of both; those of `over` win, mappings in both are merged too."""
    if not isinstance(base.data, dict) or not isinstance(over.data, dict):
        return over
    entries = dict(base.entries())
    for key, each in over.entries().items():
        entries[key] = merged(entries[key], each) if key in entries else each
    return over.with_entries(entries)
