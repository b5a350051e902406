"""Text files as sources: the kind `lines`, and JSON lines for the kind `jsonl`. Read line by line.

access.log ──► lines ──► "GET /", "GET /buns"            out.jsonl ──► json_lines ──► {"chef": "neo"}, …
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from runner.handlers.base import Handler, HandlerKind, Source, WorkerContext
from runner.spec import Role


def text_lines(path: str, encoding: str = "utf-8") -> Iterator[str]:
    """Yield the lines of a file without their ends. A relative path starts from the worker's own folder."""
    with Path(path).open(encoding=encoding) as file:
        for line in file:
            yield line.removesuffix("\n")


def json_lines(path: str) -> Iterator[object]:
    """
    Yield what each line of a file holds, as JSON; empty lines hold nothing.

    Raises:
        ValueError: a line is not JSON; the message has its number.
    """
    for number, line in enumerate(text_lines(path), start=1):
        if line.strip():
            yield _parse(line, path, number)


def _parse(line: str, path: str, number: int) -> object:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{number}:{error.colno}: not JSON: {error.msg}") from None


def _build_lines(options: Mapping[str, Any], _context: WorkerContext) -> Handler:
    return Source(partial(text_lines, **options))


LINES = HandlerKind(
    name="lines",
    summary="Make an item of each line of a text file. Every worker of the stage reads all of it.",
    roles=frozenset({Role.PRODUCER}),
    options={
        "type": "object",
        "properties": {
            "path": {
                "type": "string",
                "minLength": 1,
                "description": "The file; a relative path starts from the stage's working directory.",
            },
            "encoding": {"type": "string", "default": "utf-8", "description": "How the file is encoded."},
        },
        "required": ["path"],
        "additionalProperties": False,
    },
    example="""\
stages:
  reader:
    run: {lines: {path: access.log}}
    to: requests
""",
    build=_build_lines,
)
