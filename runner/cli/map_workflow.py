"""The workflow that `mprun map` stands for: plain data, which it runs, or prints as a file. Pure.

words after --   run: {items: [...]}      ┐                            ┌ output: whole
stdin, --from    run: {lines: {path: -}}  ┴─► items ─► the command ────┴ output: whole, order: keep ─► text
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.errors import UsageError
from runner.facts import dataclass
from runner.spec.references import as_template, references
from runner.text import visible

_KINDS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
STDIN = "-"


@dataclass(frozen=True, slots=True)
class MapRequest:
    """What the command line asks for."""

    script: str
    items: Sequence[str] | None
    """Those of the command line; None where they are read."""
    source: str = STDIN
    """The file that they are read from."""
    nul: bool = False
    workers: int = 1
    retry: int = 0
    timeout: str | None = None
    keep_order: bool = False
    max_errors: str | None = None


def map_workflow(asked: MapRequest) -> dict[str, Any]:
    """Return the workflow file as data. Raises `UsageError` for items that no file can hold."""
    command: dict[str, Any] = {
        "run": {"command": {"run": _with_item(asked.script), "output": "whole"}},
        "count": asked.workers,
        "on_error": "dead_letter",
    }
    if asked.retry:
        command["retry"] = {"attempts": asked.retry + 1}
    if asked.timeout is not None:
        command["timeout"] = asked.timeout
    source: dict[str, Any] = {"run": _source(asked), "to": "items"}
    if asked.items is None:  # what is no text, or no record, fails like an item that the command fails on
        source["on_error"] = "dead_letter"
    stages: dict[str, Any] = {"items": source, "command": command}
    command["from"] = "items"
    if asked.keep_order:
        command |= {"order": "keep", "to": "printed"}
        stages["printer"] = {"run": {"text": {"path": "-", "end": ""}}, "from": "printed"}
    limits = {} if asked.max_errors is None else {"limits": {"max_errors": _number_or_text(asked.max_errors)}}
    return {"name": "map", **limits, "stages": stages}


def _with_item(script: str) -> str:
    """Return the command; one that names no item gets it as its last word."""
    named = any(each.names[0] == "item" for each in references(script))
    return script if named or "${{" in script.replace("$${{", "") else f"{script} ${{{{ item }}}}"


def _source(asked: MapRequest) -> dict[str, Any]:
    if asked.items is not None:
        return {"items": [as_template(_text(item)) for item in asked.items]}
    kind = _kind_of(asked.source)
    if kind != "lines" and asked.nul:
        raise UsageError(f"-0 is for texts, and '{asked.source}' is read as {kind}")
    ends = {"end": "nul"} if asked.nul else {}
    return {kind: {"path": _text(asked.source), **ends}}


def _kind_of(path: str) -> str:
    """Name the kind of handler that reads a file, by its name."""
    plain = path
    for suffix in _COMPRESSED:
        plain = plain.removesuffix(suffix)
    return next((kind for suffix, kind in _KINDS.items() if plain.endswith(suffix)), "lines")


def _text(item: str) -> str:
    try:
        item.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"'{visible(item)}' is not UTF-8, and a workflow file is: hand such names over on standard input, in an "
            "encoding that a workflow with `lines: {encoding: …}` names"
        ) from None
    return item


def _number_or_text(written: str) -> int | str:
    return int(written) if written.isdecimal() else written
