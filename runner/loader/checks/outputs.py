"""What stages leave: two that write one file, several workers at it, a library that is not there. Opens nothing.

check_outputs      after the shape of the options is known to be right
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib.util import find_spec

from runner.errors import HandlerNotFound
from runner.handlers.outputs import Writes
from runner.handlers.registry import find_kind, writes_of
from runner.handlers.sources.inputs import is_url
from runner.handlers.sources.reading import compression_of
from runner.loader.schema.validate import check_value
from runner.spec.diagnostics import Diagnostic, UnknownPaths
from runner.spec.model import StageSpec
from runner.spec.references import ITEM, names_used

_SHARED = "shared-output"

_AS_TEXT = frozenset({"text", "jsonl", "csv"})


def valid_writes(stage: StageSpec) -> Writes | None:
    """Return what a stage leaves; None where it leaves nothing, or its kind, role and options do not fit together."""
    if stage.handler.kind == "python" or not stage.handler.is_known:
        return None
    try:
        kind = find_kind(stage.handler.kind).of_role(stage.role)
    except HandlerNotFound:
        return None
    if kind.writes is None or stage.role not in kind.roles:
        return None
    if check_value(kind.options, stage.handler.options):
        return None
    return writes_of(stage.handler, stage.role)


def check_outputs(
    stages: Iterable[StageSpec], transport: str, unknowns: UnknownPaths
) -> Iterator[Diagnostic]:
    """Return what stages can't write, or not together. Nothing is opened."""
    first: dict[str, str] = {}
    for stage in stages:
        path = ("stages", stage.name, "run")
        if not all(unknowns.knows("stages", stage.name, key) for key in ("run", "from", "to")):
            continue
        if (writes := valid_writes(stage)) is None:
            continue
        yield from _check_library(stage, writes)
        yield from _check_path(stage, writes)
        if writes.misfit is not None:
            yield Diagnostic(
                (*path, stage.handler.kind), "conflicting-keys", writes.misfit[0], "key", writes.misfit[1]
            )
        if writes.counted and transport == "joinable":
            message = f"stage '{stage.name}': under `joinable` nobody counts items, so that {writes.counted}"
            yield Diagnostic(path, "transport-cannot", message, "key", "use `leased`")
        if unknowns.knows("stages", stage.name, "count"):
            yield from _check_alone(stage, writes)
        if not writes.path:
            continue
        where = os.path.realpath(os.path.join(stage.cwd or "", writes.path))  # noqa: PTH118
        if where in first:
            message = f"stages '{first[where]}' and '{stage.name}' both write '{writes.path}'"
            help_ = (
                "give one of them another path; or let one stage write what both of them send to one queue"
            )
            yield Diagnostic((*path, stage.handler.kind, "path"), _SHARED, message, "value", help_)
        first.setdefault(where, stage.name)


def _check_alone(stage: StageSpec, writes: Writes) -> Iterator[Diagnostic]:
    if writes.alone is None or len(stage.workers) == 1:
        return
    why, remedy = writes.alone
    key = "count" if stage.workers[0] == f"{stage.name}-1" else "names"
    message = f"stage '{stage.name}' has {len(stage.workers)} workers, and {why}"
    yield Diagnostic(("stages", stage.name, key), _SHARED, message, "key", remedy)


def _check_library(stage: StageSpec, writes: Writes) -> Iterator[Diagnostic]:
    if writes.library is None or find_spec(writes.library[0]) is not None:
        return
    library, extra = writes.library
    message = f"'{stage.handler.kind}' needs {library}, which is not installed"
    yield Diagnostic(
        ("stages", stage.name, "run"), "missing-library", message, "value", f"pip install 'mprun[{extra}]'"
    )


def _check_path(stage: StageSpec, writes: Writes) -> Iterator[Diagnostic]:
    path = ("stages", stage.name, "run", stage.handler.kind, "path")
    if any(names[0] == ITEM for names in names_used(writes.path)):
        message = (
            f"'path' of '{stage.handler.kind}' is one for all items, so it can't have a part of an item in it"
        )
        yield Diagnostic(path, "unknown-reference", message, "value", "`dir` writes a file for each item")
    if is_url(writes.path):
        message = f"expected a path on this machine, got a URL: '{writes.path}'"
        yield Diagnostic(
            path, "wrong-format", message, "value", "write a file, and upload it in a later stage"
        )
    if stage.handler.kind in _AS_TEXT and compression_of(writes.path) != "none":
        message = f"'{stage.handler.kind}' compresses nothing, and the end of '{writes.path}' says that it is"
        yield Diagnostic(
            path, "wrong-format", message, "value", "leave out that end; a later stage may pack the file"
        )
