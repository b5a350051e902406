"""The names of files: the kind `files`. An item says which file; a handler opens it, a command gets its path.

photos/**/*.jpg ──► {path: photos/2024/a.jpg, relative: 2024/a.jpg, stem: a, suffix: .jpg, size: 81920, mtime: 1.7e9}
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from runner.errors import HandlerError
from runner.handlers.kinds import Handler, HandlerKind, Source, WorkerContext
from runner.handlers.sources.inputs import PATH_OPTION, is_url, list_inputs, paths_of
from runner.spec.model import Role
from runner.spec.plan import InputFile


def _list(options: Mapping[str, Any], folder: Path) -> Sequence[InputFile]:
    for path in paths_of(options["path"]):
        if path == "-" or is_url(path):
            raise HandlerError(f"'{path}' is no file of this machine")
    try:
        return list_inputs(options["path"], folder)
    except HandlerError:
        if options.get("missing") == "ok":
            return []
        raise


def _item(file: InputFile) -> dict[str, object]:
    path = PurePath(file.path)
    return {
        "path": file.path,
        "relative": os.path.relpath(file.path, file.root),
        "stem": path.stem,
        "suffix": path.suffix,
        "size": file.size or 0,
        "mtime": file.mtime,
    }


def _items(options: Mapping[str, Any], context: WorkerContext) -> Iterator[object]:
    listed = _list(options, Path()) if context.inputs is None else context.inputs
    mine = listed[context.share.index :: context.share.of]
    for number, file in enumerate(mine[context.offset :], context.offset + 1):
        yield _item(file)
        context.progress(number, len(mine))


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    return Source(lambda: _items(options, context))


FILES = HandlerKind(
    name="files",
    summary=(
        "Make an item of each file that is there, not of what is in it: `{path, relative, stem, suffix, size, mtime}`. "
        "`relative` begins behind the folder that the pattern begins with. Several workers share them."
    ),
    roles=frozenset({Role.PRODUCER}),
    options={
        "type": "object",
        "properties": {
            "path": {
                **PATH_OPTION,
                "description": (
                    "A file, a pattern such as `photos/**/*.jpg`, or a list of these. What a pattern matches comes in "
                    "order of the names. A relative path starts from the stage's working directory. What there is is "
                    "settled when the stage begins."
                ),
            },
            "missing": {
                "enum": ["fail", "ok"],
                "default": "fail",
                "description": "What it is when nothing is there: a failure, or no item.",
            },
        },
        "required": ["path"],
        "additionalProperties": False,
    },
    example="""\
stages:
  photos:
    run: {files: {path: "photos/**/*.jpg"}}
    to: photos
""",
    build=_build,
    inputs=_list,
    resumes=lambda _options: True,
)
