"""Memory: how much there is for a run, the limit of a worker, and whether the kernel killed for lack of it.

    memory_limit ──► RLIMIT_DATA of the worker ──► an allocation beyond it fails ──► MemoryError in the handler

RLIMIT_DATA counts what the process may write and shares with nobody: its heap, its anonymous and private mappings, the
stacks of its threads. RLIMIT_AS would count each shared page, library and reserved address too, so that a worker that
looks at a big item in shared memory, or starts a few threads, would run into it long before it uses the memory.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterable
from pathlib import Path

from runner.process import cgroup
from runner.process.cgroup import PROC, count_kills, out_of_memory_counter, read_kernel_file
from runner.units import format_size

_FREE = 4 << 20
"""Bytes that a fresh worker must have left: with less not even its handler's module can be imported."""


def total(proc: Path = PROC) -> int:
    """Bytes that all processes together may have. Raises `OSError` where the kernel does not tell."""
    return min([_of_machine(proc, "MemTotal"), *(limit.most for limit in cgroup.memory_limits(proc))])


def available(proc: Path = PROC) -> int:
    """Bytes that are free, or could be at once. Raises `OSError` where the kernel does not tell."""
    return min([_of_machine(proc, "MemAvailable"), *(limit.left for limit in cgroup.memory_limits(proc))])


def _of_machine(proc: Path, name: str) -> int:
    file = proc / "meminfo"
    for line in file.read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise OSError(f"{file} has no {name}")


def limit_own_memory(most: int) -> None:
    """
    Called in a fresh worker: let it have at most `most` bytes of memory of its own.

    Raises:
        OSError: it has more than that already, before its handler has been imported.
    """
    used = own_bytes()
    if used + _FREE > most:
        raise OSError(
            errno.ENOMEM,
            f"memory_limit is {_mebibytes(most)}, and a worker has {_mebibytes(used)} before its handler begins",
        )
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def out_of_memory() -> MemoryError:
    """Say, in a worker, that an item does not fit into its memory, and what bounds that."""
    most, _ = resource.getrlimit(resource.RLIMIT_DATA)
    bound = "" if most == resource.RLIM_INFINITY else f"; its `memory_limit` is {format_size(most)}"
    return MemoryError(f"the item does not fit into what memory the worker has left{bound}")


class OomMonitor:
    """Tells whether the kernel has killed for want of memory since it was last asked."""

    def __init__(self, counters: Iterable[Path] | None = None) -> None:
        """`counters` are files with a line `oom_kill N`: this process's cgroups, or the whole machine's count."""
        self._files = list(_counters() if counters is None else counters)
        self._seen = self._count()

    def has_killed(self) -> bool:
        """Whether there were more such kills than last time. False where nobody counts them."""
        before, self._seen = self._seen, self._count()
        return self._seen > before

    def _count(self) -> int:
        return sum(count_kills(file) or 0 for file in self._files)


def _counters() -> list[Path]:
    """Where the kernel counts its kills: for the own control group, or else for the whole machine."""
    return [out_of_memory_counter() or PROC / "vmstat"]


def own_bytes() -> int:
    """What RLIMIT_DATA counts of this process: the sixth number of statm also has its stack, which is small."""
    return int(read_kernel_file(PROC / "self/statm").split()[5]) * os.sysconf("SC_PAGE_SIZE")


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"
