"""The control groups that this process is in, and what they bound: cgroup v1, v2, and both mounted at once.

    /proc/self/cgroup ─────┐
                           ├──► the folders from the own group to the topmost that is seen ──► a Limit each
    /proc/self/mountinfo ──┘

A process is held to the limit of its own group and to that of every group above, so the smallest on the way counts. A
container sees its groups from somewhere in the middle: what is above the topmost folder bounds too, and can't be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

PROC = Path("/proc")
UNLIMITED = 1 << 62
"""No limit is this high: cgroup v1 writes a number just below 2**63 where there is none."""
_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_ESCAPED = re.compile(r"\\([0-7]{3})")


class Limit(NamedTuple):
    """What one group may have at most, and what of it is in use."""

    most: int
    used: int

    @property
    def left(self) -> int:
        """What the group may still have."""
        return max(0, self.most - self.used)


class _Hierarchy(NamedTuple):
    """The folders of one controller, from the own group up."""

    is_v2: bool
    folders: tuple[Path, ...]


class _Mount(NamedTuple):
    """Where a tree of groups is mounted, and which group is its topmost folder."""

    is_v2: bool
    controllers: frozenset[str]
    top: PurePosixPath
    folder: Path


def memory_limits(proc: Path = PROC) -> tuple[Limit, ...]:
    """Return the limits of memory in bytes, that of the own group first. Groups without a limit are left out."""
    return tuple(
        limit
        for hierarchy in _hierarchies("memory", proc)
        for folder in hierarchy.folders
        if (limit := _memory_limit(folder, hierarchy.is_v2)) is not None
    )


def process_limits(proc: Path = PROC) -> tuple[Limit, ...]:
    """Return the limits of processes and threads, as `memory_limits` does."""
    return tuple(
        limit
        for hierarchy in _hierarchies("pids", proc)
        for folder in hierarchy.folders
        if (limit := _limit(folder / "pids.max", folder / "pids.current")) is not None
    )


def out_of_memory_counter(proc: Path = PROC) -> Path | None:
    """Return the file in which the kernel counts, for the own group, its kills for want of memory."""
    for hierarchy in _hierarchies("memory", proc):
        file = hierarchy.folders[0] / ("memory.events" if hierarchy.is_v2 else "memory.oom_control")
        if count_kills(file) is not None:
            return file
    return None


def count_kills(file: Path) -> int | None:
    """Return the number behind `oom_kill` in a file of the kernel's; None if it has no such line."""
    found = _KILLS.search(read_kernel_file(file))
    return None if found is None else int(found[1])


def read_kernel_file(file: Path) -> str:
    """Return what a file of the kernel's says; nothing where it can't be read."""
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def read_number(file: Path, otherwise: int = UNLIMITED) -> int:
    """Return the number in a file of the kernel's; `otherwise` where there is none, or the word "max"."""
    text = read_kernel_file(file).strip()
    return int(text) if text.isdecimal() else otherwise


def _memory_limit(folder: Path, is_v2: bool) -> Limit | None:
    """Files that were read and may be forgotten at once count as used, and are not."""
    if is_v2:
        limit, forgettable = _limit(folder / "memory.max", folder / "memory.current"), "inactive_file"
    else:
        limit = _limit(folder / "memory.limit_in_bytes", folder / "memory.usage_in_bytes")
        forgettable = "total_inactive_file"
    if limit is None:
        return None
    found = re.search(rf"^{forgettable} (\d+)$", read_kernel_file(folder / "memory.stat"), re.MULTILINE)
    return limit if found is None else Limit(limit.most, max(0, limit.used - int(found[1])))


def _limit(most: Path, used: Path) -> Limit | None:
    number = read_number(most)
    return Limit(number, read_number(used, 0)) if number < UNLIMITED else None


def _hierarchies(controller: str, proc: Path) -> Iterator[_Hierarchy]:
    """Yield the trees that may have a controller: its own under v1, and the one of v2, where it may be unused."""
    mounts = _mounts(proc / "self/mountinfo")
    for line in read_kernel_file(proc / "self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        is_v2 = number == "0" and not controllers
        if is_v2 or controller in controllers.split(","):
            fitting = [m for m in mounts if m.is_v2 == is_v2 and (is_v2 or controller in m.controllers)]
            if folders := _way_up(PurePosixPath(path), fitting):
                yield _Hierarchy(is_v2, folders)


def _way_up(group: PurePosixPath, mounts: list[_Mount]) -> tuple[Path, ...]:
    """Return the folders of a group and of those above it, as far as they are mounted.

    A group outside of what is mounted, such as `/../..` in a namespace, can't be seen: there the topmost folder is
    all there is to go by.
    """
    for mount in mounts:
        if group.is_relative_to(mount.top) and ".." not in (below := group.relative_to(mount.top)).parts:
            return tuple(mount.folder / each for each in (below, *below.parents))
    return tuple(mount.folder for mount in mounts[:1])


@cache  # asked for each very big item, and nobody mounts control groups meanwhile
def _mounts(mountinfo: Path) -> tuple[_Mount, ...]:
    """Find the mounted trees of groups: see "/proc/pid/mountinfo" in proc(5)."""
    return tuple(_mounts_in(read_kernel_file(mountinfo)))


def _mounts_in(mountinfo: str) -> Iterator[_Mount]:
    for line in mountinfo.splitlines():
        about, _, behind = line.partition(" - ")
        kind, _, options = behind.partition(" ")
        fields = about.split(" ")
        if kind in ("cgroup", "cgroup2") and len(fields) > 4:
            top, folder = map(_unescaped, fields[3:5])
            controllers = frozenset(options.rpartition(" ")[2].split(","))
            yield _Mount(kind == "cgroup2", controllers, PurePosixPath(top), Path(folder))


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
