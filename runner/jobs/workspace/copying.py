"""Files copied one by one into a tree that is new: as clones where the file system can, with holes, modes and times.

    paths ──► copy_paths ──► the tree        directories · regular files · symbolic links, as they are
                        └──► Copied          what was left out: sockets, pipes, devices; what was gone meanwhile

A file that is written to while it is copied is copied again, a few times: each is as it was at some moment. The tree as
a whole is not: who changes many files during the copy may find some of the old and some of the new in it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import field

from runner.facts import dataclass

_FICLONE = 0x40049409
"""The request to share a file's blocks until one of both is written to: btrfs, XFS, bcachefs, overlays of these."""
_SMALL = 1 << 16
_CHUNK = 1 << 26
_TRIES = 3
_CANNOT = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EPERM})
_no_clones: set[tuple[int, int]] = set()
"""Pairs of devices between which nothing can be cloned."""


@dataclass(slots=True)
class Copied:
    """What has come of a copy."""

    files: int = 0
    bytes: int = 0
    left_out: list[str] = field(default_factory=list)
    """What is neither file, folder nor link."""


def copy_paths(
    source: str,
    target: str,
    paths: Iterable[str],
    keep_going: Callable[[], None],
    *,
    is_written_once: Callable[[str], bool] = lambda _: False,
) -> Copied:
    """
    Copy what lies at `paths`, relative to `source`, to the same places below `target`, which has none of it yet.

    What is gone meanwhile is none of it; what `is_written_once` is linked, where that can be. `keep_going` is called
    before each, and may raise. Raises OSError.
    """
    copied = Copied()
    folders: dict[str, int] = {"": 0}
    for path in paths:
        keep_going()
        try:
            _copy_one(
                source, target, path, folders, copied, link_or_copy if is_written_once(path) else copy_file
            )
        except (FileNotFoundError, NotADirectoryError):
            if not os.path.isdir(target):  # noqa: PTH112 - of texts that may be no UTF-8
                raise
    for path, mode in reversed(folders.items()):  # at last: what can't be written to could not be filled
        if path:
            os.chmod(os.path.join(target, path), mode)  # noqa: PTH101, PTH118
    return copied


def _copy_one(
    source: str,
    target: str,
    path: str,
    folders: dict[str, int],
    copied: Copied,
    copy: Callable[[str, str], int],
) -> None:
    origin = os.path.join(source, path)  # noqa: PTH118 - thousands
    facts = os.lstat(origin)
    if stat.S_ISDIR(facts.st_mode):
        _make_folder(source, target, path, folders)
        return
    _make_folder(source, target, os.path.dirname(path), folders)  # noqa: PTH120
    place = os.path.join(target, path)  # noqa: PTH118
    if stat.S_ISLNK(facts.st_mode):
        os.symlink(os.readlink(origin), place)  # noqa: PTH115, PTH211
    elif stat.S_ISREG(facts.st_mode):
        copied.bytes += copy(origin, place)
    else:
        copied.left_out.append(path)
        return
    copied.files += 1


def _make_folder(source: str, target: str, path: str, folders: dict[str, int]) -> None:
    if path in folders:
        return
    _make_folder(source, target, os.path.dirname(path), folders)  # noqa: PTH120
    mode = stat.S_IMODE(os.stat(os.path.join(source, path)).st_mode)  # noqa: PTH116, PTH118
    os.mkdir(os.path.join(target, path), 0o700)  # noqa: PTH102, PTH118
    folders[path] = mode & 0o777


def copy_file(source: str, target: str) -> int:
    """Copy one file to a place where none is; return its size. Raises OSError, and then leaves none there."""
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            return _fill(reading, writing)
        except BaseException:
            os.unlink(target)  # noqa: PTH108
            raise
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _fill(reading: int, writing: int) -> int:
    facts = os.fstat(reading)
    for _ in range(_TRIES):
        if not _clone(reading, writing, facts.st_dev):
            _copy_content(reading, writing, facts)
        before, facts = facts, os.fstat(reading)
        if (before.st_mtime_ns, before.st_size) == (facts.st_mtime_ns, facts.st_size):
            break
    os.fchmod(writing, stat.S_IMODE(facts.st_mode) & 0o777)
    os.utime(writing, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    return facts.st_size


def _clone(reading: int, writing: int, device: int) -> bool:
    pair = device, os.fstat(writing).st_dev
    if pair in _no_clones:
        return False
    try:
        fcntl.ioctl(writing, _FICLONE, reading)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        _no_clones.add(pair)
        return False
    return True


def _copy_content(reading: int, writing: int, facts: os.stat_result) -> None:
    os.ftruncate(writing, 0)
    size = facts.st_size
    if size <= _SMALL:
        os.pwrite(writing, os.pread(reading, size, 0), 0)
        return
    if facts.st_blocks * 512 >= size:
        _copy_range(reading, writing, 0, size)
        return
    at = 0
    while at < size:  # a sparse file: only what is there
        try:
            at = os.lseek(reading, at, os.SEEK_DATA)
        except OSError:  # there is nothing more
            break
        end = os.lseek(reading, at, os.SEEK_HOLE)
        _copy_range(reading, writing, at, end - at)
        at = end
    os.ftruncate(writing, size)


def _copy_range(reading: int, writing: int, at: int, count: int) -> None:
    end = at + count
    while at < end:
        try:
            done = os.copy_file_range(reading, writing, min(end - at, _CHUNK), at, at)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            done = os.pwrite(writing, os.pread(reading, min(end - at, 1 << 20), at), at)
        if not done:  # it has become shorter
            return
        at += done


def link_or_copy(source: str, target: str) -> int:
    """Have a file that nobody is going to write to at another place too; return its size. Raises OSError."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
            raise
        return copy_file(source, target)
    return os.lstat(target).st_size
