"""A file for each item: the kind `dir`.

    item ──► written under a name of its worker's own ──► renamed: it is there, whole, under the item's name

Done again after a kill it makes the same file, so that a name that is taken by the same bytes is no clash.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from runner.errors import OutputFailed
from runner.handlers.kinds import Handler, HandlerKind, Mapper, WorkerContext
from runner.handlers.outputs import MODE, REMEDY, Opening, OutputRefused, WriteMode, Writes, write_mode
from runner.handlers.sinks.files import advised
from runner.handlers.sinks.forms import FormError, as_json, in_text, item_text, json_bytes, text_bytes
from runner.handlers.sinks.hidden import hidden, inode, remove_abandoned
from runner.spec.model import Role

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
_NOREPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100
_PARTIAL = ".mprun"
"""Where files are that are being written, within the folder."""


class NameTaken(OSError):
    """Another item has a file of that name, and it holds something else."""


class WrittenFile:
    """A worker's hand on a folder: one file at a time."""

    def __init__(self, folder: str, worker: str) -> None:
        """`folder` is there. Raises OSError."""
        self._folder = folder
        self._root = os.path.realpath(folder)
        self._partial = f"{folder}/{_PARTIAL}/{quote(worker, safe=' ')}"
        os.makedirs(os.path.dirname(self._partial), exist_ok=True)  # noqa: PTH103, PTH120

    def write(self, name: str, data: bytes) -> None:
        """
        Make a file of this name with these bytes.

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
        finally:
            os.close(descriptor)
        self.put_in_place(target, name, data)

    def put_in_place(self, target: str, name: str, data: bytes) -> None:
        """Give what was written its name."""
        try:
            _rename(self._partial, target)
        except FileExistsError:
            if not _holds(target, data):
                raise NameTaken(f"{name}: a file of this name is there, with something else in it") from None

    def _path_of(self, name: str) -> str:
        parts = name.split("/")
        if not name or "\0" in name or parts[0] == _PARTIAL or {"", ".", ".."} & set(parts):
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


@cache
def _renameat2() -> Callable[..., int] | None:
    import ctypes  # whoever only checks a file does not wait for it

    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def _rename_as(source: str, target: str, flags: int) -> bool:
    """Rename at one stroke; False where the system or the file system has no such thing. Raises OSError."""
    rename = _renameat2()
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags) == 0:
        return True
    import ctypes

    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number), target)


def _rename(source: str, target: str) -> None:
    """Rename, but not over what is there. Raises FileExistsError, OSError."""
    if not _rename_as(source, target, _NOREPLACE):
        os.link(source, target)


class FolderOutput:
    """The supervisor's hand on a folder."""

    def __init__(self, path: str, mode: WriteMode, opening: Opening) -> None:
        """See to it that it may be written to. Raises `OutputRefused`, OSError."""
        self._path = Path(os.path.realpath(path))
        self._new = hidden(self._path, opening.run) if mode is WriteMode.REPLACE else None
        self._is_placed = False
        known: Mapping[str, Any] = {}
        if opening.before is None:
            self._check(path, mode)
        else:
            known = json.loads(opening.before.data)
            self._check_again(path, known, over=opening.before.over)
        self._is_new = known.get("new", not self._path.exists())
        self._old = known.get("old", inode(self._path))
        """The inode of what is to be replaced."""
        folder = self._new or self._path
        self.prepared = str(folder)
        self._descriptor = -1
        if self._is_placed:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        lock(self._descriptor)
        if not os.access(folder, os.W_OK):
            self.finish(complete=False, states=None, stays=opening.before is not None)
            raise OutputRefused(f"{path}: permission denied: it can't be written to")

    def _check(self, path: str, mode: WriteMode) -> None:
        is_there = self._path.exists()
        if is_there and not self._path.is_dir():
            raise OutputRefused(f"{path}: it is a file, and a folder is to be written")
        if mode is WriteMode.FAIL and is_there and any(self._path.iterdir()):
            raise OutputRefused(f"{path}: the folder is there already, and not empty; {REMEDY}")
        if self._new is not None:
            remove_abandoned(self._path)

    def _check_again(self, path: str, known: Mapping[str, Any], *, over: bool) -> None:
        """Another runner had it before."""
        if self._new is None or self._new.is_dir():
            if self._new is None and not self._path.is_dir():
                raise OutputRefused(f"{path}: the folder that the run had written to is gone")
            return
        self._is_placed = over and inode(self._path) not in (None, known["old"])
        if not self._is_placed:  # else the runner was killed right behind the rename
            raise OutputRefused(
                f"{path}: what the run had written is gone: '{self._new}' was beside it; another run that writes it "
                "takes it away"
            )

    def kept(self) -> bytes:
        """Return what it takes to open it once more."""
        return json.dumps({"new": self._is_new, "old": self._old}).encode()

    def finish(self, *, complete: bool, states: Mapping[str, bytes] | None, stays: bool = False) -> None:  # noqa: ARG002 - nothing is kept
        """Take away what is not whole; put a new folder in the place of the old one. Raises OSError."""
        if self._is_placed:
            return
        shutil.rmtree(f"{self.prepared}/{_PARTIAL}", ignore_errors=True)
        os.close(self._descriptor)
        if complete:
            if self._new is not None:
                exchange(self._new, self._path)
        elif stays:
            return
        elif self._new is not None:
            shutil.rmtree(self._new, ignore_errors=True)
        elif self._is_new:
            with contextlib.suppress(OSError):  # something is in it
                self._path.rmdir()


def exchange(new: Path, path: Path) -> None:
    """Put a new folder in the place of the old one, at once where the system can. Raises OSError."""
    if not path.exists():
        new.rename(path)
    elif _rename_as(str(new), str(path), _EXCHANGE):
        shutil.rmtree(new, ignore_errors=True)
    else:
        old = new.with_name(f"{new.name}-old")
        path.rename(old)
        new.rename(path)
        shutil.rmtree(old, ignore_errors=True)


def lock(descriptor: int) -> None:
    """Say that a run is at work in a folder. Several may be in one."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def content_of(item: object) -> tuple[bytes, str]:
    """Return an item as the bytes of a file, and the suffix that suits them. Raises `FormError`."""
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item), ".bin"
    if isinstance(item, str):
        return text_bytes(item), ".txt"
    return json_bytes(as_json(item) + "\n"), ".json"


def _build(options: Mapping[str, Any], context: WorkerContext) -> Handler:
    from runner.spec.references import compile_template

    folder = context.prepared or options["path"]
    file = WrittenFile(folder, context.name)
    named = compile_template(options["name"], in_text) if "name" in options else None
    filled = compile_template(options["content"], in_text) if "content" in options else None

    def write(item: object) -> None:
        data, suffix = content_of(item if filled is None else filled(item))
        name = context.item_id.replace("/", "-") + suffix if named is None else _name(named(item))
        try:
            file.write(name, data)
        except NameTaken:
            raise
        except OSError as error:
            if error.errno in _NOBODYS_FAULT:
                raise OutputFailed(str(advised(f"{options['path']}/{name}", error))) from error
            raise advised(f"{options['path']}/{name}", error) from error

    return Mapper(write)


def _name(value: object) -> str:
    try:
        return item_text(value)
    except FormError as error:
        raise FormError(f"`name`: {error}") from None


def _writes(options: Mapping[str, Any]) -> Writes:
    mode = write_mode(options)
    return Writes(
        path=options["path"],
        counted="" if "name" in options else "files have no names of their own; say `name`",
        open=lambda opening: FolderOutput(os.path.join(opening.folder, options["path"]), mode, opening),  # noqa: PTH118
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
