"""What to go on with where a file is wrong, so that one mistake neither hides the others nor causes more.

    source ──► correct_keys ──► source with misspelt keys under the name that was meant, and a diagnostic for each
    data ────► drop_paths ────► data without the values that do not fit
    unknown_paths ──► the places where nothing is known, so that nobody complains of what may well be there

Nothing of this runs: the diagnostics are errors, and a workflow with errors is never handed out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any

from runner.loader.schema.validate import schema_for, unknown_keys
from runner.spec.diagnostics import DataPath, Diagnostic, LocatedDiagnostic, UnknownPaths
from runner.spec.keys import Fragment
from runner.spec.source.positions import SourceDocument, SourceNode

# A right key may bring more misspelt ones to light, but no deeper than the schema has levels.
_MOST_ROUNDS = 8


def correct_keys(
    source: SourceDocument, schema_of: Callable[[Any], Fragment] = schema_for
) -> tuple[SourceDocument, list[LocatedDiagnostic], frozenset[DataPath]]:
    """
    Rename the keys of `source` whose right name is clear from the schema of its data.

    Returns the source with the right names at the old places, one problem for each key, and the new paths.
    """
    diagnostics: list[LocatedDiagnostic] = []
    renamed: set[DataPath] = set()
    for _ in range(_MOST_ROUNDS):
        misspelt = _clear_ones(unknown_keys(schema_of(source.data), source.data))
        if not misspelt:
            break
        diagnostics += [source.place(diagnostic) for diagnostic in misspelt]
        renamed |= {(*diagnostic.path[:-1], str(diagnostic.meant)) for diagnostic in misspelt}
        source = source.with_root(_renamed(source.root, {f.path: str(f.meant) for f in misspelt}))
    return source, diagnostics, frozenset(renamed)


def _clear_ones(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """
    Of two keys that both seem to mean a third, the first is taken for it.

    The name of a handler kind is only guessed: another package may have one of that name, and what the guess takes
    and which stages it fits would be problems of a kind that nobody has named.
    """
    wanted: dict[DataPath, Diagnostic] = {}
    for diagnostic in diagnostics:
        if diagnostic.meant is not None and diagnostic.code != "unknown-kind":
            wanted.setdefault((*diagnostic.path[:-1], diagnostic.meant), diagnostic)
    return list(wanted.values())


def _renamed(node: SourceNode, names: dict[DataPath, str]) -> SourceNode:
    """Rename the key at each path of `names`."""
    here = {path[0]: name for path, name in names.items() if len(path) == 1}
    below: dict[str | int, dict[DataPath, str]] = defaultdict(dict)
    for path, name in names.items():
        if len(path) > 1:
            below[path[0]][path[1:]] = name
    if isinstance(node.data, list):
        return node.with_items(
            [_renamed(item, below[i]) if i in below else item for i, item in enumerate(node.items())]
        )
    entries = {
        here.get(key, key): _renamed(entry, below[key]) if key in below else entry
        for key, entry in node.entries().items()
    }
    return node.with_entries(entries)


def drop_paths(data: Any, paths: Collection[DataPath]) -> Any:
    """Return `data` without what is at `paths`; `data` itself stays as it is."""
    below: dict[str | int, list[DataPath]] = defaultdict(list)
    for path in paths:
        if path:
            below[path[0]].append(path[1:])
    if not below:
        return data
    if isinstance(data, dict):
        return {
            key: drop_paths(v, below.get(key, ())) for key, v in data.items() if () not in below.get(key, ())
        }
    if isinstance(data, list):
        return [drop_paths(v, below.get(i, ())) for i, v in enumerate(data) if () not in below.get(i, ())]
    return data


def unknown_paths(diagnostics: Iterable[Diagnostic], unread: Iterable[DataPath]) -> UnknownPaths:
    """Return what is not known after `diagnostics`, and `unread`: the paths of references that lead nowhere."""
    return UnknownPaths(
        frozenset(unread)
        | {place for diagnostic in diagnostics if (place := _spoils(diagnostic)) is not None}
    )


def _spoils(diagnostic: Diagnostic) -> DataPath | None:
    match diagnostic.code:
        case "unknown-key":
            return diagnostic.path[
                :-1
            ]  # a key that nobody understands may have been meant for any that is left out
        case "bad-name" | "duplicate-entry":
            return None
        case "missing-key" if len(diagnostic.path) == 2 and diagnostic.path[0] == "stages":
            return (*diagnostic.path, "run")
    return diagnostic.path or None


def unusable_paths(diagnostics: Iterable[Diagnostic]) -> list[DataPath]:
    """Return the paths that have to go before a spec can be built. A stage or a job as a whole never goes."""
    wrong = (
        diagnostic.path for diagnostic in diagnostics if diagnostic.code not in ("missing-key", "bad-name")
    )
    return [path for path in wrong if len(path) != 2 or path[0] not in ("stages", "jobs")]
