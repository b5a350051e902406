"""JSON lines, read: the producer's side of the kind `jsonl`."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from typing import Any

from runner.handlers.kinds import Handler, HandlerKind, Malformed, Source, WorkerContext
from runner.handlers.sources.inputs import OF_STDIN, PATH_OPTION, can_resume, inputs_of
from runner.handlers.sources.lines import line_text, parts_of, text_blocks
from runner.handlers.sources.reading import COMPRESSION_OPTION, why_whole
from runner.spec.model import Role

_BLANK = " \t\r\x0b\x0c"
"""What `bytes.strip` takes off, which counts the lines that hold something."""


def _count(data: bytes) -> int:
    """Count the lines of a block that hold something."""
    return sum(map(bool, map(bytes.strip, data.removeprefix(BOM_UTF8).split(b"\n"))))


def _skip(data: bytes, items: int) -> int:
    """Return where in a block so many lines that hold something end."""
    at = 0
    while items:
        end = data.find(b"\n", at) + 1 or len(data)
        items -= bool(data[at:end].strip())
        at = end
    return at


def _items(options: Mapping[str, Any], context: WorkerContext) -> Iterator[object]:
    for each in text_blocks(parts_of(options, context), options, context, _count, _skip):
        if isinstance(each, Malformed):
            yield each
            continue
        block, lines, first = each
        for index, line in enumerate(lines, first):
            if line.strip(_BLANK):
                try:
                    item = json.loads(line)
                except (ValueError, RecursionError) as error:
                    item = _not_json(line, block.position(index), error)
                yield item


def _not_json(line: str, position: str, error: Exception) -> Malformed:
    column, why = "", str(error)
    if isinstance(error, json.JSONDecodeError):
        column, why = f":{error.colno}", error.msg
    return Malformed(line, ValueError(f"{position}{column}: not JSON: {why}"), position)


def _remake(options: Mapping[str, Any], raw: object, position: str) -> object:
    text = line_text(options, raw, position)
    if isinstance(text, Malformed):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return _not_json(text, position, error)


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    return Source(lambda: _items(options, context))


JSONL = HandlerKind(
    name="jsonl",
    summary=(
        "Make an item of what each line of files holds as JSON; an empty line holds nothing. Several workers share "
        "them: parts of a file, or whole ones where they are compressed."
    ),
    roles=frozenset({Role.PRODUCER}),
    options={
        "type": "object",
        "properties": {"path": PATH_OPTION, "compression": COMPRESSION_OPTION},
        "required": ["path"],
        "additionalProperties": False,
    },
    example="""\
stages:
  reader:
    run: {jsonl: {path: results/counts.jsonl}}
    to: counts
""",
    build=_build,
    unshared=why_whole,
    inputs=inputs_of,
    rereads=True,
    resumes=can_resume,
    otherwise=OF_STDIN,
    rejects=True,
    remake=_remake,
)
