"""The kind `jsonl`: a file of JSON lines, to end a workflow with or to start the next one from.

item ──► consumer ──► one line of out.jsonl ──► producer ──► item
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from runner.handlers.base import Handler, HandlerKind, Mapper, Source, WorkerContext
from runner.handlers.sources import json_lines
from runner.spec import Role


class JsonLinesFile:
    """Appends items to a file, each as one line. Several processes may do so to the same file."""

    def __init__(self, path: Path) -> None:
        """Open `path` to append; it and the folders that it is in are made if need be."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)

    def __call__(self, item: object) -> None:
        """
        Append one item.

        Raises:
            TypeError, ValueError: the item has no form in JSON.
            OSError: the line could not be written whole.
        """
        line = _encode(item)
        # One write, so that the lines of several processes never mix: the system appends each as a whole.
        written = os.write(self._descriptor, line)
        if written != len(line):
            raise OSError(f"{self._path}: only {written} of {len(line)} bytes of a line could be written")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _encode(item: object) -> bytes:
    line = json.dumps(item, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        return line.encode("utf-8")
    except UnicodeEncodeError:  # half characters, as from a file name that is not UTF-8: JSON can escape them
        return (json.dumps(item, allow_nan=False) + "\n").encode("ascii")


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    if context.role is Role.PRODUCER:
        return Source(partial(json_lines, options["path"]))
    file = JsonLinesFile(Path(options["path"]))
    return Mapper(file, file.close)


JSONL = HandlerKind(
    name="jsonl",
    summary="Append each item to a file as a line of JSON; or, as a producer, make an item of each line.",
    roles=frozenset({Role.PRODUCER, Role.CONSUMER}),
    options={
        "type": "object",
        "properties": {
            "path": {
                "type": "string",
                "minLength": 1,
                "description": (
                    "The file; a relative path starts from the stage's working directory. A consumer adds to "
                    "what is there, and makes folders that are not."
                ),
            },
        },
        "required": ["path"],
        "additionalProperties": False,
    },
    example="""\
stages:
  writer:
    run: {jsonl: {path: results/counts.jsonl}}
    from: counts
""",
    build=_build,
)
