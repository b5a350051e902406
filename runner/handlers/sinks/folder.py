"""A file for each item: the kind `dir`.

    item ──► written under a name of its worker's own ──► renamed: it is there, whole, under the item's name

Done again after a kill it makes the same file, so that a name that is taken by the same bytes is no clash. Where the
runner was killed, files of items that its last cut does not know of are taken back before anybody makes them again.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from runner.errors import HandlerError, OutputFailed
from runner.handlers.kinds import Handler, HandlerKind, Mapper, WorkerContext
from runner.handlers.outputs import MODE, Opening, Writes, write_mode
from runner.handlers.sinks.files import advised
from runner.handlers.sinks.folder_output import (
    PARTIAL,
    FileNotes,
    FolderOutput,
    PreparedFolder,
    hidden_beside,
)
from runner.handlers.sinks.forms import FormError, as_json, in_text, item_text, json_bytes, text_bytes
from runner.handlers.sinks.renames import rename_new, sync_folder
from runner.spec.model import Role
from runner.spec.resume import OverDeath

_NOBODYS_FAULT = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
    }
)
"""What is wrong with the folder, and not with one name."""


class NameTaken(OSError):
    """Another item has a file of that name, and it holds something else."""


class WrittenFile:
    """A worker's hand on a folder: one file at a time."""

    def __init__(self, prepared: PreparedFolder, worker: str, *, sync: bool = False) -> None:
        """The folder is there. With `sync` each file is on the disk before it has its name. Raises OSError."""
        self._folder = prepared.folder
        self._root = os.path.realpath(self._folder)
        self._sync = sync
        os.makedirs(prepared.partial, exist_ok=True)  # noqa: PTH103
        self._partial = f"{prepared.partial}/{quote(worker, safe=' ')}"
        self._notes = FileNotes(self._partial) if prepared.is_noted else None

    def write(self, name: str, data: bytes, place: int | None = None) -> None:
        """
        Make a file of this name with these bytes, for the item at a place in its queue.

        Raises:
            ValueError: the name leads out of the folder, or is none.
            NameTaken: there is one, with others.
            OSError: it can't be written.
        """
        target = self._path_of(name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._partial)  # noqa: PTH108 - where there is no rename, it may be the file that was made last
        descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            if self._sync:
                os.fsync(descriptor)
            if self._notes is not None and place is not None:
                self._notes.add(place, os.fstat(descriptor), name)
        finally:
            os.close(descriptor)
        self.put_in_place(target, name, data)
        if self._sync:
            sync_folder(os.path.dirname(target))  # noqa: PTH120

    def put_in_place(self, target: str, name: str, data: bytes) -> None:
        """Give what was written its name."""
        try:
            rename_new(self._partial, target)
        except FileExistsError:
            if not _holds(target, data):
                raise NameTaken(f"{name}: a file of this name is there, with something else in it") from None

    def _path_of(self, name: str) -> str:
        parts = name.split("/")
        if not name or "\0" in name or parts[0] == PARTIAL or {"", ".", ".."} & set(parts):
            raise ValueError(f"{name!r} is no name of a file in {self._folder}")
        target = f"{self._folder}/{name}"
        if len(parts) > 1:
            above = os.path.dirname(target)  # noqa: PTH120
            os.makedirs(above, exist_ok=True)  # noqa: PTH103
            if not f"{os.path.realpath(above)}/".startswith(f"{self._root}/"):
                raise ValueError(f"{name!r} leads out of {self._folder}")
        return target


def _holds(path: str, data: bytes) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(len(data) + 1) == data
    except OSError:
        return False


def content_of(item: object) -> tuple[bytes, str]:
    """Return an item as the bytes of a file, and the suffix that suits them. Raises `FormError`."""
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item), ".bin"
    if isinstance(item, str):
        return text_bytes(item), ".txt"
    return json_bytes(as_json(item) + "\n"), ".json"


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    from runner.spec.references import compile_template

    prepared = context.prepared or PreparedFolder(options["path"], f"{options['path']}/{PARTIAL}")
    file = WrittenFile(prepared, context.name, sync=context.fsync)
    named = compile_template(options["name"], in_text) if "name" in options else None
    filled = compile_template(options["content"], in_text) if "content" in options else None

    def write(item: object) -> None:
        data, suffix = content_of(item if filled is None else filled(item))
        name = context.item_id.replace("/", "-") + suffix if named is None else _name(named(item))
        try:
            file.write(name, data, _place(context))
        except NameTaken:
            raise
        except OSError as error:
            if error.errno in _NOBODYS_FAULT:
                raise OutputFailed(str(advised(f"{options['path']}/{name}", error))) from error
            raise advised(f"{options['path']}/{name}", error) from error

    return Mapper(write)


def _place(context: WorkerContext) -> int | None:
    try:
        places = context.places()
    except HandlerError:  # nobody counts them
        return None
    return places[0] if len(places) == 1 else None


def _name(value: object) -> str:
    try:
        return item_text(value)
    except FormError as error:
        raise FormError(f"`name`: {error}") from None


def _in(opening: Opening, options: Mapping[str, Any]) -> str:
    return os.path.join(opening.folder, options["path"])  # noqa: PTH118


def _writes(options: Mapping[str, Any]) -> Writes:
    mode = write_mode(options)
    return Writes(
        path=options["path"],
        counted="" if "name" in options else "files have no names of their own; say `name`",
        over_death=OverDeath.EXACTLY_ONCE,
        open=lambda opening: FolderOutput(_in(opening, options), mode, opening),
        hides=lambda opening: hidden_beside(_in(opening, options), opening.run),
    )


DIR = HandlerKind(
    name="dir",
    summary="Make a file of each item in a folder: of bytes and text as they are, of all else as JSON.",
    roles=frozenset({Role.CONSUMER}),
    options={
        "type": "object",
        "properties": {
            "path": {
                "type": "string",
                "minLength": 1,
                "description": (
                    "The folder; a relative path starts from the stage's working directory, and it is made if need be."
                ),
            },
            "name": {
                "type": "string",
                "minLength": 1,
                "examples": ["${{ item.stem }}.json"],
                "description": (
                    "The name of an item's file; it may begin with folders, and can't lead out. Without it, what names "
                    "the item in the run, with a suffix that suits. Two items can't have one name."
                ),
            },
            "content": {
                "type": "string",
                "examples": ["${{ item.page }}"],
                "description": "What is in the file. Without it, the item.",
            },
            "mode": MODE,
        },
        "required": ["path"],
        "additionalProperties": False,
    },
    example="""\
stages:
  writer:
    run: {dir: {path: pages, name: "${{ item.stem }}.html", content: "${{ item.page }}"}}
    from: pages
    count: 2
""",
    build=_build,
    writes=_writes,
)
