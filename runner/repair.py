"""What to go on with where a file is wrong, so that one mistake neither hides the others nor causes more.

    source ──► put_right ──► source with misspelt keys under the name that was meant, and a problem for each
    data ────► without ────► data without the values that do not fit
    spoilt_by ──► the places where nothing is known, so that nobody complains of what may well be there

Nothing of this runs: the problems are errors, and a workflow with errors is never handed out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

from runner.findings import Finding, Spoilt
from runner.problems import Problem
from runner.schema_problems import schema_for, shape_findings
from runner.source_marks import DataPath, Node, Source

# A right key may bring more misspelt ones to light, but no deeper than the schema has levels.
_MOST_ROUNDS = 8


def put_right(source: Source) -> tuple[Source, list[Problem], frozenset[DataPath]]:
    """
    Rename the keys of `source` whose right name is clear.

    Returns the source with the right names at the old places, one problem for each key, and the new paths.
    """
    problems: list[Problem] = []
    renamed: set[DataPath] = set()
    for _ in range(_MOST_ROUNDS):
        misspelt = _clear_ones(shape_findings(schema_for(source.data), source.data))
        if not misspelt:
            break
        problems += [finding.at(source) for finding in misspelt]
        renamed |= {(*finding.path[:-1], str(finding.meant)) for finding in misspelt}
        source = source.with_root(_renamed(source.root, {f.path: str(f.meant) for f in misspelt}))
    return source, problems, frozenset(renamed)


def _clear_ones(findings: Iterable[Finding]) -> list[Finding]:
    """Of two keys that both seem to mean a third, the first is taken for it."""
    wanted: dict[DataPath, Finding] = {}
    for finding in findings:
        if finding.meant is not None:
            wanted.setdefault((*finding.path[:-1], finding.meant), finding)
    return list(wanted.values())


def _renamed(node: Node, names: dict[DataPath, str]) -> Node:
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


def without(data: Any, paths: Collection[DataPath]) -> Any:
    """Return `data` without what is at `paths`; `data` itself stays as it is."""
    below: dict[str | int, list[DataPath]] = defaultdict(list)
    for path in paths:
        if path:
            below[path[0]].append(path[1:])
    if not below:
        return data
    if isinstance(data, dict):
        return {
            key: without(v, below.get(key, ())) for key, v in data.items() if () not in below.get(key, ())
        }
    if isinstance(data, list):
        return [without(v, below.get(i, ())) for i, v in enumerate(data) if () not in below.get(i, ())]
    return data


def spoilt_by(findings: Iterable[Finding], unread: Iterable[DataPath]) -> Spoilt:
    """Return what is not known after `findings`, and `unread`: the paths of references that lead nowhere."""
    return Spoilt(
        frozenset(unread) | {place for finding in findings if (place := _spoils(finding)) is not None}
    )


def _spoils(finding: Finding) -> DataPath | None:
    match finding.code:
        case "unknown-key":
            return finding.path[
                :-1
            ]  # a key that nobody understands may have been meant for any that is left out
        case "bad-name" | "duplicate-entry":
            return None
        case "missing-key" if len(finding.path) == 2 and finding.path[0] == "stages":
            return (*finding.path, "run")
    return finding.path or None


def unfit(findings: Iterable[Finding]) -> list[DataPath]:
    """Return the paths that have to go before a spec can be built. A stage or a job as a whole never goes."""
    wrong = (finding.path for finding in findings if finding.code not in ("missing-key", "bad-name"))
    return [path for path in wrong if len(path) != 2 or path[0] not in ("stages", "jobs")]
