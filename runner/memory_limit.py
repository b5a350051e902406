"""Memory of a worker: the limit it sets itself at birth, and whether the kernel killed for want of memory.

    memory_limit ──► RLIMIT_DATA of the worker ──► an allocation beyond it fails ──► MemoryError in the handler

RLIMIT_DATA counts what the process may write and shares with nobody: its heap, its anonymous and private mappings, the
stacks of its threads. RLIMIT_AS would count each shared page, library and reserved address too, so that a worker that
looks at a big item in shared memory, or starts a few threads, would run into it long before it uses the memory.
"""

from __future__ import annotations

import errno
import os
import re
import resource
from collections.abc import Iterable
from pathlib import Path

from runner.units import format_size

_FREE = 4 << 20
"""Bytes that a fresh worker must have left: with less not even its handler's module can be imported."""
_CGROUPS = Path("/sys/fs/cgroup")
_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


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


class OomWatch:
    """Tells whether the kernel has killed for want of memory since it was last asked."""

    def __init__(self, counters: Iterable[Path] | None = None) -> None:
        """`counters` are files with a line `oom_kill N`: this process's cgroups, or the whole machine's count."""
        self._files = list(_counters() if counters is None else counters)
        self._seen = self._count()

    def has_struck(self) -> bool:
        """Whether there were more such kills than last time. False where nobody counts them."""
        before, self._seen = self._seen, self._count()
        return self._seen > before

    def _count(self) -> int:
        return sum(int(found[1]) for file in self._files if (found := _KILLS.search(_text(file))))


def _counters() -> list[Path]:
    """Where the kernel counts its kills: memory.events under cgroup v2, memory.oom_control under v1."""
    own = []
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            own.append(_CGROUPS / path.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            own.append(_CGROUPS / "memory" / path.lstrip("/") / "memory.oom_control")
    told = [file for file in own if _KILLS.search(_text(file))]
    return told[:1] or [Path("/proc/vmstat")]


def own_bytes() -> int:
    """What RLIMIT_DATA counts of this process: the sixth number of statm also has its stack, which is small."""
    return int(_text(Path("/proc/self/statm")).split()[5]) * os.sysconf("SC_PAGE_SIZE")


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
