"""Files and folders put in their place at one stroke: not over what is there, or in exchange for it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

_NOREPLACE, _EXCHANGE = 1, 2
_AT_FDCWD = -100


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


def rename_new(source: str, target: str) -> None:
    """Rename, but not over what is there. Raises FileExistsError, OSError."""
    if not _rename_as(source, target, _NOREPLACE):
        os.link(source, target)


def exchange(new: Path, path: Path) -> None:
    """Put a new folder in the place of the old one, at once where the system can. Raises OSError."""
    old = new.with_name(f"{new.name}-old")
    if not path.exists():
        new.rename(path)
    elif _rename_as(str(new), str(path), _EXCHANGE):
        shutil.rmtree(new, ignore_errors=True)
    else:
        path.rename(old)
        new.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def sync_folder(folder: str) -> None:
    """Wait until the names in a folder are on the disk. Raises OSError."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def sync_file(file: str | Path) -> None:
    """Wait until a file is on the disk. Raises OSError."""
    _sync(file, os.O_RDONLY)


def _sync(path: str | Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
